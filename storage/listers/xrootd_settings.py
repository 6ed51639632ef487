"""The settings of XRootD's client, which it reads from the environment: in this process and in programs that we run."""

from __future__ import annotations

from collections.abc import Mapping

CLIENT_SETTINGS: Mapping[str, str] = {
    # How often, in seconds, the client looks at its deadlines; 15 by default.
    "XRD_TIMEOUTRESOLUTION": "1",
    "XRD_CONNECTIONWINDOW": "5",
    "XRD_CONNECTIONRETRY": "1",
    # How long a broken connection stays dead; 1800 by default.
    "XRD_STREAMERRORWINDOW": "1",
    "XRD_WORKERTHREADS": "1",
}
"""What stands in the environment already goes before these."""
