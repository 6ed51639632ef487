"""What the libraries that talk to doors find in the environment to be somebody: tokens, keys and proxies.

They look for it by themselves. Here is what has to be known besides: which variables a lister elsewhere needs as well,
when a token is over, and what to say when a door accepts nothing of it. No content of any of it is ever said.
"""

from __future__ import annotations

import base64
import hashlib
import json
import os
import stat
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

_NAMES = frozenset(
    (
        *("BEARER_TOKEN", "BEARER_TOKEN_FILE", "XDG_RUNTIME_DIR", "KRB5CCNAME"),
        *("X509_CERT_DIR", "X509_CERT_FILE", "X509_USER_CERT", "X509_USER_KEY", "X509_USER_PROXY"),
    )
)
_BEGINNINGS = ("XrdSec", "XRD_", "AWS_")

_EARLY = 60.0
"""Seconds before the end of a token from which a newer one is used."""

CERTIFICATES = "/etc/grid-security/certificates"
"""Where the certificates of authorities are when ``X509_CERT_DIR`` names no other directory."""

_TOKEN_PARTS = 3
_CLIENT_FILES = ("X509_USER_PROXY", "X509_USER_CERT", "X509_USER_KEY", "X509_CERT_FILE", "X509_CERT_DIR")
_OTHERS = stat.S_IRWXO
_OPEN_TO_OTHERS = "open to other users, so it is not used; chmod 600 helps"
_NO_TOKEN = "no JSON web token"


@dataclass(frozen=True, slots=True, repr=False)
class Credentials:
    """The variables of an environment that say who somebody is; pickles, and shows none of their values."""

    variables: tuple[tuple[str, str], ...] = ()

    @classmethod
    def of(cls, environment: Mapping[str, str]) -> Credentials:
        """Choose them; settings of the client library are among them."""
        names = sorted(name for name in environment if name in _NAMES or name.startswith(_BEGINNINGS))
        return cls(tuple((name, environment[name]) for name in names))

    def apply(self) -> None:
        """Set them for this process; others that it has stay."""
        os.environ.update(self.variables)

    def __repr__(self) -> str:
        return f"Credentials({', '.join(name for name, _ in self.variables)})"


@dataclass(frozen=True, slots=True)
class Token:
    """A token, known by its ``digest``: where it was found, and its ``end`` in seconds since the epoch, if it has one.

    ``problem`` says in words why it is none, or cannot be used.
    """

    place: str
    digest: str = ""
    end: float | None = None
    problem: str = ""


def find_token(environment: Mapping[str, str]) -> Token | None:
    """Find the token that XRootD's protocol ``ztn`` would send, in the places and in the order of WLCG."""
    found = _find(environment)
    return None if found is None else found[0]


def read_token(environment: Mapping[str, str]) -> tuple[Token, bytes] | None:
    """Find the same token with its text, which is for a server alone; empty if it has a problem."""
    found = _find(environment)
    if found is None or found[0].problem:
        return None if found is None else (found[0], b"")
    return found[0], found[1].encode("utf-8", "surrogateescape")


def bearer_token(environment: Mapping[str, str]) -> tuple[bytes, float | None]:
    """Find the token to show to a WebDAV door, and its end if it has one; empty if there is none that can be used.

    Such doors take macaroons as well, which are no JSON web tokens.
    """
    found = _find(environment)
    if found is None or found[0].problem not in ("", _NO_TOKEN):
        return b"", None
    text = found[1]
    # What else there may be is no token, and would be something else in a header.
    is_token = text.isascii() and text.isprintable() and " " not in text
    return (text.encode("ascii"), found[0].end) if is_token else (b"", None)


def _find(environment: Mapping[str, str]) -> tuple[Token, str] | None:
    text = environment.get("BEARER_TOKEN", "").strip()
    if text:
        return _token("BEARER_TOKEN", text), text
    named = environment.get("BEARER_TOKEN_FILE", "")
    if named:
        return _token_file("BEARER_TOKEN_FILE", Path(named))
    usual = f"bt_u{os.geteuid()}"
    runtime = environment.get("XDG_RUNTIME_DIR", "")
    for directory in (runtime, "/tmp"):
        path = Path(directory, usual)
        # Somebody who became another user often still has the first one's directory, and may not look there.
        if directory and os.path.exists(path):
            return _token_file(str(path), path)
    return None


def _token_file(place: str, path: Path) -> tuple[Token, str]:
    try:
        if path.stat().st_mode & _OTHERS:
            return Token(place, problem=_OPEN_TO_OTHERS), ""
        text = path.read_text(encoding="utf-8", errors="replace").strip()
        return _token(place, text), text
    except (OSError, ValueError) as error:
        return Token(place, problem=f"cannot be read: {getattr(error, 'strerror', None) or 'no file name'}"), ""


def _token(place: str, text: str) -> Token:
    digest = hashlib.sha256(text.encode("utf-8", "surrogateescape")).hexdigest()
    parts = text.split(".")
    try:
        body = json.loads(base64.urlsafe_b64decode(parts[1] + "=" * (-len(parts[1]) % 4)))
        end = float(body["exp"]) if "exp" in body else None
    except (ValueError, LookupError, TypeError, RecursionError):
        return Token(place, digest, problem=_NO_TOKEN)
    return Token(place, digest, end, "" if len(parts) == _TOKEN_PARTS else _NO_TOKEN)


class Login:
    """What a connection was made with: a server goes by the token of then, whatever there is now."""

    def __init__(self) -> None:
        self._token = find_token(os.environ)

    def is_over(self) -> bool:
        """Whether another connection would be better: its token has ended, or soon will and there is a newer one."""
        token = self._token
        if token is None or token.end is None or time.time() < token.end - _EARLY:
            return False
        if time.time() >= token.end:
            return True
        newest = find_token(os.environ)
        return newest is not None and newest.digest != token.digest and not newest.problem


def explain(environment: Mapping[str, str], over_tls: bool, now: float) -> str:
    """Say in a few words what there was to be refused, and what is wrong with it as far as can be seen from here."""
    token = find_token(environment)
    said = [] if token is None else [f"{token.place}: {_state_of(token, over_tls, now)}"]
    named = [name for name in ("XrdSecSSSKT", "X509_USER_PROXY") if environment.get(name)]
    said += [f"{name}: {_file_state(Path(environment[name]))}" for name in named]
    proxy = Path(f"/tmp/x509up_u{os.geteuid()}")
    if not environment.get("X509_USER_PROXY") and proxy.exists():
        said.append(f"{proxy}: {_file_state(proxy)}")
    return "; ".join(said) or "no token, key or proxy was found; set BEARER_TOKEN_FILE, XrdSecSSSKT or X509_USER_PROXY"


def _state_of(token: Token, over_tls: bool, now: float) -> str:
    if token.problem:
        return token.problem
    if token.end is not None and now >= token.end:
        return f"its token ended at {time.strftime('%Y-%m-%dT%H:%M:%SZ', time.gmtime(token.end))}"
    return "not accepted" if over_tls else "not used, since a token is sent over TLS only (roots://, davs://, https://)"


def _file_state(path: Path) -> str:
    return file_problem(path) or "not accepted"


def file_problem(path: Path, is_secret: bool = True) -> str:
    """Say why a file with a proxy or a key is not used; empty when it may be. One that is no secret all may read."""
    try:
        mode = path.stat().st_mode
    except (OSError, ValueError) as error:
        return f"cannot be read: {getattr(error, 'strerror', None) or 'no file name'}"
    if not os.access(path, os.R_OK):
        return "cannot be read: Permission denied"
    return _OPEN_TO_OTHERS if is_secret and mode & _OTHERS else ""


def explain_tls(environment: Mapping[str, str], said: str = "") -> str:
    """Say which authorities a door's certificate was held against; or, going by what was ``said``, none."""
    if "initialize TLS" in said:
        files = [name for name in _CLIENT_FILES if environment.get(name)]
        return f"no connection was tried: {', '.join(files) or f'/tmp/x509up_u{os.geteuid()}'} cannot be used"
    if environment.get("X509_CERT_FILE"):
        return "the door's certificate was held against the file of X509_CERT_FILE"
    directory = environment.get("X509_CERT_DIR") or CERTIFICATES
    named = "of X509_CERT_DIR" if environment.get("X509_CERT_DIR") else f"in {directory}"
    there = "" if os.path.isdir(directory) else ", which is no directory"
    return f"the door's certificate was held against the authorities {named}{there}"
