"""The protected list: what in an unmerged area is still needed, as its owner publishes it.

A JSON object whose ``result`` is a list of path prefixes, behind a URL or in a file. A list that is not wholly what it
should be is an error and never a shorter list, since everything that it leaves out may be deleted.

    ProtectedListError    the list cannot be had or relied on, in one line that says where it was looked for
"""

from __future__ import annotations

import http.client
import json
import ssl
import threading
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future
from contextlib import contextmanager
from typing import Any, BinaryIO
from urllib.parse import unquote_to_bytes, urlsplit

from engine import paths
from storage.shown import printable, quoted, shown

PATIENCE = 60.0
"""Seconds that the whole list may take to come."""

LARGEST = 256 << 20
"""Bytes that a list may have."""

_CHUNK = 1 << 16


class ProtectedListError(Exception):
    """The protected list cannot be had or relied on; nothing may be deleted."""


def read_protected_list(source: str, patience: float = PATIENCE, largest: int = LARGEST) -> frozenset[bytes]:
    """Read the prefixes, as canonical paths, from a URL (http, https, file) or a file name.

    Certificates are checked and redirections followed, from and to http and https only. ``patience`` is in seconds,
    ``largest`` in bytes.

    Raises:
        ProtectedListError: it cannot be read within these limits, is not such a list, is empty, or has an entry that
            would protect nothing.
    """
    where = f"protected list {quoted(source)}"
    scheme = urlsplit(source).scheme.lower() if "://" in source else ""
    try:
        if scheme in ("http", "https"):
            data = _within(patience, lambda: _fetch(source, patience, largest))
        elif scheme in ("", "file"):
            data = _read_file(source, largest)
        else:
            raise ProtectedListError("expected a URL with http, https or file, or a file name")
        return frozenset(_prefixes(data))
    except ProtectedListError as error:
        # A server may say anything; it is told on one line.
        words = printable(" ".join(str(error).split()))
        raise ProtectedListError(f"{where}: {words}; nothing is deleted without it") from error


def _read_file(source: str, largest: int) -> bytes:
    name: str | bytes = source
    if "://" in source:
        parts = urlsplit(source)
        if parts.netloc not in ("", "localhost") or not parts.path:
            raise ProtectedListError("a file URL has three slashes and an absolute path, as in file:///etc/list.json")
        name = unquote_to_bytes(parts.path)
    try:
        with open(name, "rb") as file:
            return _read(file, time.monotonic() + PATIENCE, largest)
    except (OSError, ValueError) as error:
        raise ProtectedListError(getattr(error, "strerror", None) or str(error)) from error


def _within(patience: float, fetch: Callable[[], bytes]) -> bytes:
    """Wait for an answer; the timeout of a socket covers neither a name server nor a server that drips."""
    answer: Future[bytes] = Future()

    def run() -> None:
        try:
            answer.set_result(fetch())
        except BaseException as error:
            answer.set_exception(error)

    threading.Thread(target=run, name="protected-list", daemon=True).start()
    try:
        return answer.result(patience)
    except TimeoutError as error:
        raise ProtectedListError(f"no whole answer within {patience:g} s") from error


def _fetch(url: str, patience: float, largest: int) -> bytes:
    deadline = time.monotonic() + patience
    # Written out, since the usual opener would follow a redirection to FTP as well.
    opener = urllib.request.OpenerDirector()
    for handler in (
        urllib.request.ProxyHandler(),
        urllib.request.HTTPHandler(),
        urllib.request.HTTPSHandler(context=ssl.create_default_context()),
        urllib.request.HTTPRedirectHandler(),
        urllib.request.HTTPDefaultErrorHandler(),
        urllib.request.HTTPErrorProcessor(),
        urllib.request.UnknownHandler(),
    ):
        opener.add_handler(handler)
    request = urllib.request.Request(url, headers={"Accept": "application/json", "User-Agent": "dynamo-consistency"})
    with _translated(patience), opener.open(request, timeout=patience) as response:
        if response.status != 200:
            raise ProtectedListError(f"the server answered {response.status} {response.reason}")
        data = _read(response, deadline, largest)
        expected = response.headers.get("Content-Length", "")
        if expected.isdigit() and int(expected) != len(data):
            raise ProtectedListError(f"{len(data)} of {expected} bytes came")
        return data


@contextmanager
def _translated(patience: float) -> Iterator[None]:
    try:
        yield
    except urllib.error.HTTPError as error:
        with error:
            raise ProtectedListError(f"the server answered {error.code} {error.reason}") from error
    except TimeoutError as error:
        raise ProtectedListError(f"no whole answer within {patience:g} s") from error
    except urllib.error.URLError as error:
        reason = error.reason
        if isinstance(reason, TimeoutError):
            raise ProtectedListError(f"no whole answer within {patience:g} s") from error
        words = getattr(reason, "strerror", None) or getattr(reason, "verify_message", None) or str(reason)
        raise ProtectedListError(words) from error
    except (OSError, http.client.HTTPException, ValueError) as error:
        raise ProtectedListError(str(error) or type(error).__name__) from error


def _read(stream: BinaryIO, deadline: float, largest: int) -> bytes:
    """Read to the end; a server that sends a byte now and then does not hold us up for ever."""
    parts: list[bytes] = []
    size = 0
    while part := stream.read1(_CHUNK) if hasattr(stream, "read1") else stream.read(_CHUNK):
        size += len(part)
        if size > largest:
            raise ProtectedListError(f"it has more than {largest} bytes")
        if time.monotonic() > deadline:
            raise TimeoutError
        parts.append(part)
    return b"".join(parts)


def _prefixes(data: bytes) -> Iterable[bytes]:
    if not data.strip():
        raise ProtectedListError("it is empty")
    try:
        value: Any = json.loads(data, object_pairs_hook=_without_repeats)
    except (ValueError, RecursionError) as error:
        raise ProtectedListError(f"it is no JSON: {error}") from error
    if not isinstance(value, dict) or not isinstance(value.get("result"), list):
        raise ProtectedListError('expected a JSON object with a list as its "result"')
    if not value["result"]:
        raise ProtectedListError('its "result" is empty')
    for number, entry in enumerate(value["result"], 1):
        yield _prefix(number, entry)


def _without_repeats(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    mapping = dict(pairs)
    if len(mapping) < len(pairs):
        raise ValueError("a key stands twice in one object")
    return mapping


def _prefix(number: int, entry: object) -> bytes:
    """Give one entry as a path; whatever would match no path, or another one than was meant, is refused."""
    why = "expected an absolute path"
    if isinstance(entry, str):
        try:
            if entry.startswith("/") and entry == entry.strip() and entry.isprintable() and "*" not in entry:
                return paths.canonical(paths.encode(entry))
        except (ValueError, UnicodeEncodeError) as error:
            why = f"{why} ({error})"
    raise ProtectedListError(f"entry {number}: {why}, found {shown(entry)}")
