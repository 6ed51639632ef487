"""The clock of a WebDAV door, by the date in its answer, whatever that answer is."""

from __future__ import annotations

import http.client
import ssl
import time
from collections.abc import Mapping
from email.utils import parsedate_to_datetime

from storage.listers.wire.tls import TLSError, tls_context
from storage.shown import one_line, printable


def http_date(host: str, port: int, seconds: float, environment: Mapping[str, str]) -> tuple[float | None, float, str]:
    """Ask for nothing; give by how many seconds the clock is ahead, give or take how many, and what went wrong.

    The clock is None where the answer has no date.
    """
    try:
        context = tls_context(environment)
    except TLSError:
        context = ssl.create_default_context()
    connection = http.client.HTTPSConnection(host, port, timeout=seconds, context=context)
    try:
        connection.connect()
        asked = time.time()
        connection.request("OPTIONS", "/")
        answer = connection.getresponse()
        heard = time.time()
        date = answer.getheader("Date")
    except ssl.SSLError as error:
        return None, 1.0, printable(f"no encryption: {error.reason or one_line(error)}")
    except (OSError, http.client.HTTPException) as error:
        return None, 1.0, printable(f"no answer over HTTP: {one_line(error) or type(error).__name__}")
    finally:
        connection.close()
    try:
        told = parsedate_to_datetime(date).timestamp() if date else None
    except ValueError:
        told = None
    if told is None:
        return None, 1.0, ""
    return round(told + 0.5 - (asked + heard) / 2, 2), round(0.5 + (heard - asked) / 2, 2), ""
