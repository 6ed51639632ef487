"""Listing over XRootD's own protocol, without its client library."""
