"""How sites stand: the summary, whose process is at work, and which site is checked next."""
