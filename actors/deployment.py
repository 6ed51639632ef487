"""Which runtime actors are deployed on; each is loaded only when it is asked for."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from actors.runtime import Runtime


def with_token(token: str) -> dict[str, str]:
    """Give what the environment of whoever starts or uses a Ray node has to have for it to ask for this token."""
    return {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": token}


@contextmanager
def open_runtime(
    name: str, address: str | None = None, environment: str | None = None, command: str = "", site: str = ""
) -> Iterator[Runtime]:
    """Start the runtime ``ray`` or ``threads`` and end it afterwards; an ``address`` is that of a Ray cluster.

    With an ``environment``, which is Ray's ``runtime_env`` as JSON, its nodes are sent this program. Ray is loaded only
    when it is asked for; its dashboard shows the ``command`` and the ``site``.

    Raises:
        RuntimeUnavailable: Ray could not be started or reached.
    """
    runtime: Runtime
    if name == "threads":
        from actors.threads import ThreadRuntime

        runtime = ThreadRuntime()
    else:
        from actors.on_ray.runtime import RayRuntime
        from storage.listers.credentials import Credentials

        runtime = RayRuntime(address, Credentials.of(os.environ), environment, command, site)
    try:
        yield runtime
    finally:
        runtime.shutdown()
