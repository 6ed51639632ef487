"""Configurations: files, their keys, and the settings of a site that come out of them."""
