"""Where a site is asked: doors and how they are found, from the command line or the configuration to a store."""
