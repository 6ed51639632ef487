"""Commands that answer an operator's questions, and change nothing."""
