"""The XRootD server of the demo, which tests and benchmarks use as well."""

from __future__ import annotations

from cli.xrootd_server import CannotServe, XRootDServer

__all__ = ["CannotServe", "XRootDServer"]
