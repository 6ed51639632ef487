"""Sending for botocore, which by itself reads whatever a server says, for as long as that says anything.

Nothing is read beyond a deadline, nor more than a page can have, nor less than was announced; and nobody is sent on to
somewhere else, but for what botocore makes of a bucket's region.
"""

from __future__ import annotations

import re
import threading
import time
from collections.abc import Iterator
from typing import Any

_PIECE = 1 << 16
_LARGEST = 1 << 26
"""Bytes that an answer may have: a page has a thousand keys, of three kilobytes each at most."""

_LEAST = 0.05
"""Seconds that a call gets at least: 0 would mean not to wait at all."""

_AUTHORITY = re.compile(r"[a-z][a-z0-9+.-]*://([A-Za-z0-9.:\[\]_-]{1,200})(?:/|$)", re.IGNORECASE)
_REGION = "x-amz-bucket-region"


class NoAnswer(Exception):
    """What came is not what was asked for; the message says what it is."""


class Sending:
    """Takes the place of botocore's own sending, on its event ``before-send``; ``session`` is what that sends with."""

    def __init__(self, session: Any) -> None:
        self._session = session
        self._local = threading.local()

    def until(self, deadline: float) -> None:
        """Set when what this thread asks has to be over, in seconds of ``time.monotonic``."""
        self._local.deadline = deadline

    def __call__(self, request: Any, **_more: object) -> Any:
        """Send a request and give its whole answer, as botocore takes it.

        Raises:
            NoAnswer: it is too long, or leads elsewhere. Besides, what botocore raises.
        """
        from botocore.awsrequest import AWSResponse

        left = max(_LEAST, self._local.deadline - time.monotonic())
        request.context = {**(getattr(request, "context", None) or {}), "read_timeout": left}
        # Else all of it would have been read already.
        request.stream_output = True
        response = self._session.send(request)
        try:
            if 300 <= response.status_code < 400 and _REGION not in response.headers:
                raise NoAnswer(f"{response.status_code}: sent on to {_host(response.headers.get('location', ''))}")
            whole = self._read(request.url, response.raw)
        except BaseException:
            response.raw.close()
            raise
        return AWSResponse(response.url, response.status_code, response.headers, _Whole(whole))

    def _read(self, url: str, raw: Any) -> bytes:
        from botocore import exceptions
        from urllib3.exceptions import HTTPError, ReadTimeoutError

        taken = bytearray()
        try:
            while piece := raw.read1(_PIECE):
                taken += piece
                if len(taken) > _LARGEST:
                    raise NoAnswer(f"an answer of more than {_LARGEST >> 20} MB")
                if time.monotonic() >= self._local.deadline:
                    raise exceptions.ReadTimeoutError(endpoint_url=url)
        except ReadTimeoutError as error:
            raise exceptions.ReadTimeoutError(endpoint_url=url) from error
        except HTTPError as error:
            raise exceptions.ResponseStreamingError(error=error) from error
        if raw.length_remaining:
            raise exceptions.IncompleteReadError(
                actual_bytes=len(taken), expected_bytes=len(taken) + raw.length_remaining
            )
        return bytes(taken)


class _Whole:
    """What was read, in the place of what it was read from."""

    def __init__(self, data: bytes) -> None:
        self._data = data

    def stream(self) -> Iterator[bytes]:
        yield self._data


def _host(location: str) -> str:
    match = _AUTHORITY.match(location)
    return match[1] if match else "nowhere"
