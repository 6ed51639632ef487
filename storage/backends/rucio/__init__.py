"""The backend ``rucio``: what should be at a site, and who takes requests, as a Rucio knows it."""
