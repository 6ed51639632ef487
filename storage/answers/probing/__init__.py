"""Finding out whether a site, its doors and this machine are fit for a check, with a few questions."""
