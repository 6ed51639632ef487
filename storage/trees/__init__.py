"""Trees of directories in files."""
