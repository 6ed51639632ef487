"""The command line: typer commands, progress display and error messages."""
