"""Checksums of a share of the files: which are asked for when, how texts of checksums compare, what answers come to."""
