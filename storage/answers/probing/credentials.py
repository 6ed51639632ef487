"""What there is to be somebody with, and until when; no content of any of it is ever said."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from pathlib import Path

from engine.diagnosing.facts import CredentialFacts
from storage.listers.credentials import file_problem, find_token
from storage.shown import printable


def credentials(environment: Mapping[str, str]) -> tuple[CredentialFacts, ...]:
    """Find the token, the proxy or certificate, and the shared key that clients find in the same places."""
    return (*_tokens(environment), *_proxies(environment), *_keys(environment), *_of_s3(environment))


def _tokens(environment: Mapping[str, str]) -> Iterator[CredentialFacts]:
    token = find_token(environment)
    if token is not None:
        yield CredentialFacts("ztn", "token", printable(token.place), token.end, token.problem)


def _proxies(environment: Mapping[str, str]) -> Iterator[CredentialFacts]:
    usual = Path(f"/tmp/x509up_u{os.geteuid()}")
    if environment.get("X509_USER_PROXY"):
        yield _certificate("proxy", "X509_USER_PROXY", Path(environment["X509_USER_PROXY"]))
    elif usual.exists():
        yield _certificate("proxy", str(usual), usual)
    elif environment.get("X509_USER_CERT"):
        yield _certificate("certificate", "X509_USER_CERT", Path(environment["X509_USER_CERT"]), is_secret=False)


def _certificate(kind: str, place: str, path: Path, is_secret: bool = True) -> CredentialFacts:
    problem = file_problem(path, is_secret)
    if problem:
        return CredentialFacts("gsi", kind, place, problem=problem)
    # Loaded here because nothing else needs it.
    from cryptography import x509

    try:
        chain = x509.load_pem_x509_certificates(path.read_bytes())
    except (OSError, ValueError) as error:
        why = getattr(error, "strerror", None) or "no certificate in PEM"
        return CredentialFacts("gsi", kind, place, problem=f"cannot be read: {why}")
    # It is of use as long as each in the chain is.
    ends = min(certificate.not_valid_after_utc.timestamp() for certificate in chain)
    return CredentialFacts("gsi", kind, place, ends)


def _keys(environment: Mapping[str, str]) -> Iterator[CredentialFacts]:
    named = environment.get("XrdSecSSSKT")
    usual = Path.home() / ".xrd" / "sss.keytab"
    if named:
        yield CredentialFacts("sss", "key", "XrdSecSSSKT", problem=file_problem(Path(named)))
    elif usual.exists():
        yield CredentialFacts("sss", "key", printable(str(usual)), problem=file_problem(usual))


def _of_s3(environment: Mapping[str, str]) -> Iterator[CredentialFacts]:
    if environment.get("AWS_ACCESS_KEY_ID"):
        half = "" if environment.get("AWS_SECRET_ACCESS_KEY") else "AWS_SECRET_ACCESS_KEY is not set"
        yield CredentialFacts("s3", "key", "AWS_ACCESS_KEY_ID", problem=half)
    elif environment.get("AWS_SHARED_CREDENTIALS_FILE"):
        problem = file_problem(Path(environment["AWS_SHARED_CREDENTIALS_FILE"]), is_secret=False)
        yield CredentialFacts("s3", "keys", "AWS_SHARED_CREDENTIALS_FILE", problem=problem)
