"""What the command line says: each command with its options, and nothing of its work.

The work of a command is in a module of its own, loaded when the command runs, so that the program starts quickly.
"""
