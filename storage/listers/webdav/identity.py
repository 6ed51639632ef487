"""Who a lister is at a WebDAV door: the token and the certificate that are in the environment, as long as they last."""

from __future__ import annotations

import os
import ssl
import threading
import time
from collections.abc import Mapping
from pathlib import Path

from storage.listers.credentials import CERTIFICATES, bearer_token, file_problem
from storage.listers.wire.tls import TLSError, tls_context

_EVERY = 1.0
"""Seconds after which it is looked at again what there is: tokens and proxies are renewed while a listing goes on."""


class Identity:
    """What there is to show, for all threads of a lister.

    With ``is_secure`` everything goes over TLS; else nothing is ever shown.
    """

    def __init__(self, environment: Mapping[str, str], is_secure: bool) -> None:
        self._environment = environment
        self._is_secure = is_secure
        self._lock = threading.Lock()
        self._looked_at = float("-inf")
        self._token = b""
        self._end: float | None = None
        self._context: ssl.SSLContext | None = None
        self._state: object = None
        # A higher number than before when connections that are open are no longer good.
        self._generation = 0

    def token(self, again: bool = False) -> bytes:
        """Give the token, empty if there is none; look for it ``again`` even if that was done just now."""
        with self._lock:
            self._look(again)
            return self._token

    @property
    def is_over(self) -> bool:
        """Whether there is a token, and it has ended."""
        return self._end is not None and time.time() >= self._end

    def context(self) -> tuple[int, ssl.SSLContext | None]:
        """Give what TLS needs, None where there is no TLS; and a number, by which connections with others are known.

        Raises:
            TLSError: the authorities, or the certificate that is to be shown, cannot be read.
        """
        with self._lock:
            self._look(False)
            if self._context is None and self._is_secure:
                self._context = _context(self._environment, shows_certificate=not self._token)
            return self._generation, self._context

    def _look(self, again: bool) -> None:
        now = time.monotonic()
        if not self._is_secure or (not again and now < self._looked_at + _EVERY):
            return
        self._looked_at = now
        self._token, self._end = bearer_token(self._environment)
        state = (not self._token, [_changed(file) for file in _certificate(self._environment)])
        if state != self._state:
            self._state, self._context = state, None
            self._generation += 1


def _certificate(environment: Mapping[str, str]) -> tuple[str, ...]:
    """Give the file of a proxy, or those of a certificate and its key; none if there is nothing to be shown."""
    proxy = environment.get("X509_USER_PROXY", "")
    if proxy:
        return (proxy,)
    pair = environment.get("X509_USER_CERT", ""), environment.get("X509_USER_KEY", "")
    if all(pair):
        return pair
    usual = f"/tmp/x509up_u{os.geteuid()}"
    return (usual,) if Path(usual).exists() else ()


def _changed(file: str) -> tuple[int, int] | None:
    try:
        found = os.stat(file)
    except (OSError, ValueError):
        return None
    return found.st_mtime_ns, found.st_ino


def _context(environment: Mapping[str, str], shows_certificate: bool) -> ssl.SSLContext:
    named = environment.get("X509_CERT_FILE") or environment.get("X509_CERT_DIR")
    # A machine that knows nothing of the grid has the authorities of its system.
    of_grid = bool(named) or os.path.isdir(CERTIFICATES)
    context = tls_context(environment) if of_grid else ssl.create_default_context()
    files = _certificate(environment) if shows_certificate else ()
    problem = file_problem(Path(files[-1])) if files else ""
    if problem:
        raise TLSError(f"initialize TLS: {files[-1]} cannot be used: {problem}")
    if files:
        try:
            # Without a password Python asks for one at the terminal.
            context.load_cert_chain(files[0], files[-1], password="")
        except (OSError, ValueError) as error:
            names = " and ".join(files)
            said = getattr(error, "reason", None) or getattr(error, "strerror", None) or type(error).__name__
            raise TLSError(f"initialize TLS: {names} cannot be used: {said}") from error
    return context
