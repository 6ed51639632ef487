"""Plans of what is to be done at a site, and the log of what was."""
