"""What a run of a site leaves on disk: its directory, log, reports and lists."""
