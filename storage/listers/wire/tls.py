"""Whose certificates a client of XRootD takes: those of the authorities where the client library looks for them."""

from __future__ import annotations

import ssl
from collections.abc import Mapping

from storage.listers.credentials import CERTIFICATES


class TLSError(Exception):
    """There are no authorities that could be used; the message says what was looked at."""


def tls_context(environment: Mapping[str, str]) -> ssl.SSLContext:
    """Trust the authorities of ``X509_CERT_FILE`` and ``X509_CERT_DIR``, or of the grid's usual place, and no others.

    The name of the server has to be in its certificate.

    Raises:
        TLSError: they cannot be read.
    """
    file, directory = environment.get("X509_CERT_FILE"), environment.get("X509_CERT_DIR")
    if not file and not directory:
        directory = CERTIFICATES
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    try:
        context.load_verify_locations(file or None, directory or None)
    except (OSError, ssl.SSLError, ValueError) as error:
        raise TLSError(f"the authorities in {file or directory} cannot be read: {error}") from error
    return context
