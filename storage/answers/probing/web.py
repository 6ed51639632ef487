"""What a WebDAV door or an S3 store says over HTTP without being asked for anything: its clock, and its encryption."""

from __future__ import annotations

import http.client
import socket
import ssl
import threading
import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from email.utils import parsedate_to_datetime

from storage.listers.webdav.identity import Identity
from storage.listers.wire.tls import TLSError
from storage.shown import one_line, printable


@dataclass(frozen=True, slots=True)
class WebAnswer:
    """By how many seconds the clock is ahead of ours, give or take some; None where the answer has no date.

    ``seconds`` is what the answer took, ``tls`` and ``certificate_ends`` are as in `DoorProbe`.
    """

    ahead: float | None = None
    error: float = 1.0
    seconds: float | None = None
    tls: str = ""
    certificate_ends: float | None = None
    problem: str = ""
    advice: str = ""


_TRUST = "see docs/doors.md, credentials"
_SILENT = "see whether the server hangs, something on the way holds it up, or this is no port of its HTTP"


def ask_web(
    host: str, port: int, is_secure: bool, seconds: float, environment: Mapping[str, str], authorities: str = ""
) -> WebAnswer:
    """Ask what may be asked there; whatever the answer is, it has a date as a rule.

    Its certificate is held against the file ``authorities``; without that, against those that are for WebDAV doors.
    """
    try:
        context = _context(is_secure, environment, authorities)
    except (TLSError, OSError) as error:
        return WebAnswer(problem=printable(f"{authorities}: {error}" if authorities else str(error)), advice=_TRUST)
    connection = (
        http.client.HTTPConnection(host, port, timeout=seconds)
        if context is None
        else http.client.HTTPSConnection(host, port, timeout=seconds, context=context)
    )
    # One that says a byte now and then would never be late.
    late = threading.Timer(seconds, _break, (connection,))
    late.daemon = True
    try:
        connection.connect()
        late.start()
        tls, ends = _encryption(connection)
        asked = time.time()
        connection.request("OPTIONS", "/")
        date = connection.getresponse().getheader("Date")
        heard = time.time()
    except ssl.SSLError as error:
        if error.reason == "WRONG_VERSION_NUMBER":
            advice = "name the port that has TLS; dav://, http:// and s3+http:// ask without"
            return WebAnswer(problem="it has no encryption at this port", advice=advice)
        reason = getattr(error, "verify_message", "") or error.reason or one_line(error)
        return WebAnswer(problem=printable(f"no encryption: {reason}"), advice=_TRUST)
    except TimeoutError:
        return WebAnswer(problem="it says nothing", advice=_SILENT)
    except (OSError, http.client.HTTPException) as error:
        problem = printable(f"no answer over HTTP: {one_line(error) or type(error).__name__}")
        return WebAnswer(problem=problem, advice="see whether this is the port of its HTTP, and whether it wants TLS")
    finally:
        late.cancel()
        connection.close()
    said = WebAnswer(None, 1.0, heard - asked, tls, ends)
    try:
        told = parsedate_to_datetime(date).timestamp() if date else None
    except ValueError:
        told = None
    if told is None:
        return said
    # It says whole seconds, which began half a second ago on average.
    ahead, error_seconds = told + 0.5 - (asked + heard) / 2, 0.5 + (heard - asked) / 2
    return WebAnswer(round(ahead, 2), round(error_seconds, 2), said.seconds, tls, ends)


def _context(is_secure: bool, environment: Mapping[str, str], authorities: str) -> ssl.SSLContext | None:
    if is_secure and authorities:
        return ssl.create_default_context(cafile=authorities)
    return Identity(environment, is_secure).context()[1]


def _break(connection: http.client.HTTPConnection) -> None:
    with suppress(OSError, AttributeError):
        connection.sock.shutdown(socket.SHUT_RDWR)


def _encryption(connection: http.client.HTTPConnection) -> tuple[str, float | None]:
    stream = connection.sock
    if not isinstance(stream, ssl.SSLSocket):
        return "", None
    ends = (stream.getpeercert() or {}).get("notAfter")
    return stream.version() or "TLS", float(ssl.cert_time_to_seconds(ends)) if isinstance(ends, str) else None
