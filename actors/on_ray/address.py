"""Who answers at an address: found out in seconds, where Ray itself would try for minutes."""

from __future__ import annotations

import json
import os
import secrets
import socket
import stat
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

import ray

_raylet: Any = ray._raylet

LOOPBACK = "127.0.0.1"

_PROBE_SECONDS = 5
_HEALTH_SECONDS = 15
_LOOK_EVERY = 0.02

_AUTH_MODE = "RAY_AUTH_MODE"

_ASK = """
import json, sys
from ray._raylet import GcsClient, GcsClientOptions, GlobalStateAccessor
from ray._common.usage.usage_lib import get_cluster_metadata
print(json.dumps(get_cluster_metadata(GcsClient(address=sys.argv[1]))), flush=True)
state = GlobalStateAccessor(GcsClientOptions.create(sys.argv[1], None, True, False))
state.connect()
print(json.dumps([node["RayletSocketName"] for node in state.get_node_table() if node["Alive"]]))
"""
"""Asks a head what it is, in a process of its own: Ray's client ends or hangs with what it does not like."""

_NOT_LET_IN = b"InvalidAuthToken"
"""What that process says, once a second, while it is refused."""


def current_cluster() -> str | None:
    """Give the address of the cluster that ``ray start`` started on this machine, if it still answers.

    Ray's own way of finding one would also take the node that another run has started for itself and will end.
    """
    address: str | None = ray._private.utils.read_ray_address()
    if address is None:
        return None
    try:
        must_answer(address)
    except ConnectionError:
        return None
    return address


def must_answer(address: str, from_a_node: bool = True) -> None:
    """Make sure that a Ray cluster answers, which this program can join; that it wants a token is found out besides.

    Whoever only asks the head something need not be on a node of the cluster.

    Raises:
        ConnectionError: nobody answers at the address, or not with Ray's protocol, or not to us.
    """
    host, colon, port = address.removeprefix("ray://").rpartition(":")
    if not colon or "/" in host or not port.isdigit() or not 0 < int(port) < 65536:
        raise ConnectionError(f"expected HOST:PORT, found {address!r}")
    try:
        socket.create_connection((host.strip("[]"), int(port)), timeout=_PROBE_SECONDS).close()
    except OSError as error:
        raise ConnectionError(
            f"nobody answers there ({error.strerror or error}); is the cluster up, and its port open to this machine?"
        ) from error
    if _is_on_loopback_only(address):
        stay_on_loopback()
    if not address.startswith("ray://"):
        sockets = _must_be_ray(address)
        if from_a_node and not any(_is_socket_here(path) for path in sockets):
            start = f"RAY_AUTH_MODE=token ray start --address={address}"
            raise ConnectionError(
                f"this machine is no node of the cluster: start one here ({start}), or run this on one that is"
            )


def stay_on_loopback() -> None:
    """Keep Ray on the loopback interface: whoever reaches its ports can run code.

    Ray replaces a loopback address by one that others can reach, except where it takes the system for one that has no
    clusters. It decides on that when it is imported, hence the second line; a test looks at the result.
    """
    os.environ["RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER"] = "0"
    ray._private.ray_constants.ENABLE_RAY_CLUSTER = False


def _is_open(address: str) -> bool:
    host, _, port = address.rpartition(":")
    try:
        socket.create_connection((host.strip("[]"), int(port)), timeout=_PROBE_SECONDS).close()
    except (OSError, ValueError):
        return False
    return True


def _is_on_loopback_only(address: str) -> bool:
    host, _, port = address.rpartition(":")
    utilities: Any = ray.util
    return host in ("localhost", LOOPBACK) and not _is_open(f"{utilities.get_node_ip_address()}:{port}")


def _is_socket_here(path: str) -> bool:
    try:
        return stat.S_ISSOCK(os.stat(path.removeprefix("unix:")).st_mode)
    except OSError:
        return False


def _must_be_ray(address: str) -> list[str]:
    """Make sure that what answers is a head of this version of Ray; gives the sockets of the nodes."""
    answer = _ask_head(address, os.environ)
    if answer is None and _AUTH_MODE not in os.environ and has_token():
        # Ray tries a token of this machine's with clusters that it has found by itself only.
        answer = _ask_head(address, {**os.environ, _AUTH_MODE: "token"})
        if answer is not None:
            os.environ[_AUTH_MODE] = "token"
            _raylet.Config.initialize("")
    if answer is None:
        raise ConnectionError(
            "the cluster wants another token: put that of its head (~/.ray/auth_token) into RAY_AUTH_TOKEN, or into "
            "the same file here, and set RAY_AUTH_MODE=token"
        )
    metadata, sockets = answer
    version = str(metadata.get("ray_version", ray.__version__))
    if version != ray.__version__:
        raise ConnectionError(
            f"the cluster runs Ray {version} (Python {metadata.get('python_version')}), and this program has Ray "
            f"{ray.__version__}: install the same on every machine"
        )
    return sockets


def make_token() -> None:
    """Make a token for this user, in its usual place, where nobody else can read it.

    Raises:
        OSError: it cannot be written.
    """
    place = Path.home() / ".ray" / "auth_token"
    place.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    with os.fdopen(os.open(place, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w") as file:
        file.write(secrets.token_hex(32))
    _raylet.AuthenticationTokenLoader.instance().reset_cache()


def note_of_address() -> Path:
    """Give the file in which Ray notes which cluster was started last on this machine."""
    from ray._common.utils import get_ray_address_file

    return Path(get_ray_address_file(None))


def has_token() -> bool:
    """Whether this user has a token, which nothing was said about using."""
    return bool(_raylet.AuthenticationTokenLoader.instance().has_token(ignore_auth_mode=True))


def _ask_head(address: str, environment: Any) -> tuple[dict[str, Any], list[str]] | None:
    """Ask what a head is, and for the sockets of the nodes that are alive; None when it wants another token.

    Raises:
        ConnectionError: what answers is no Ray.
    """
    # Not with the working directory: what lies there has nothing to say.
    process = subprocess.Popen(
        [sys.executable, "-P", "-c", _ASK, address],
        env=dict(environment),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    refused = threading.Event()
    said: list[bytes] = []

    def listen() -> None:
        assert process.stderr is not None
        for line in process.stderr:
            if _NOT_LET_IN in line:
                refused.set()

    def read() -> None:
        assert process.stdout is not None
        said.append(process.stdout.read())

    readers = [threading.Thread(target=read), threading.Thread(target=listen)]
    for reader in readers:
        reader.start()
    give_up = time.monotonic() + _HEALTH_SECONDS
    try:
        while process.poll() is None and not refused.is_set() and time.monotonic() < give_up:
            time.sleep(_LOOK_EVERY)
    finally:
        process.kill()
        process.wait()
        for reader in readers:
            reader.join()
        for stream in (process.stdout, process.stderr):
            assert stream is not None
            stream.close()
    if refused.is_set():
        return None
    lines = said[0].splitlines()
    try:
        metadata = json.loads(lines[0])
        # Another version may not say more than which it is.
        sockets = json.loads(lines[1]) if len(lines) > 1 else []
    except (ValueError, LookupError):
        metadata, sockets = None, []
    if not isinstance(metadata, dict):
        raise ConnectionError("what answers there is not a Ray cluster, or one of quite another version")
    return metadata, sockets
