"""What people see of a run while it goes on: its sign of life, the log, the page, and the metrics."""
