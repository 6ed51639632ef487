"""What is read for the commands that answer an operator's questions, and change nothing."""
