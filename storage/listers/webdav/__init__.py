"""Listing over WebDAV."""
