"""What the cleaning of an unmerged area reads and keeps."""
