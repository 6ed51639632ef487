"""Measured against peers, on the same work, in one run: ``python -m benchmarks.run [--quick] [NAME…]``."""
