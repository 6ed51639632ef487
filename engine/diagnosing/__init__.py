"""Whether a site is fit to be checked: what was found out about it, and what that means for whoever looks after it."""
