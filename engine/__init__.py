"""Pure logic: trees, the work queue, comparison, filters and safety gates.

Nothing in this package reads a file, a clock, the environment or the network, and nothing imports Ray. Every
decision that the program takes can be tested here without a server.
"""
