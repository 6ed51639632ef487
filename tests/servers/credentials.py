"""What a test needs to be somebody: a certificate authority, keys of sss, and an issuer of tokens."""

from __future__ import annotations

import base64
import json
import sqlite3
import subprocess
import time
from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature
from cryptography.hazmat.primitives.hashes import SHA256

ISSUER = "https://issuer.example.org"
AUDIENCE = "https://wlcg.cern.ch/jwt/v1/any"

_NUMBER = 32
"""Bytes of a number on the curve P-256."""


class Authority:
    """A certificate authority in a directory, with one certificate for ``localhost``.

    ``certificates`` is the directory that clients are pointed to, with X509_CERT_DIR.
    """

    def __init__(self, directory: Path) -> None:
        directory.mkdir(parents=True, exist_ok=True)
        self.file, self._key = directory / "ca.pem", directory / "ca.key"
        self.certificate, self.key = directory / "host.pem", directory / "host.key"
        self.certificates = directory / "certificates"
        request, extensions = directory / "host.csr", directory / "extensions"
        extensions.write_text("subjectAltName=DNS:localhost,IP:127.0.0.1\nbasicConstraints=CA:FALSE\n")
        fresh = ("-newkey", "rsa:2048", "-nodes", "-keyout")
        _openssl("req", "-x509", *fresh, self._key, "-out", self.file, "-subj", "/CN=Authority of tests", "-days", "2")
        _openssl("req", *fresh, self.key, "-out", request, "-subj", "/CN=localhost")
        signing = ("-CA", self.file, "-CAkey", self._key, "-CAcreateserial", "-days", "2", "-extfile", extensions)
        _openssl("x509", "-req", "-in", request, "-out", self.certificate, *signing)
        self.certificates.mkdir(exist_ok=True)
        (self.certificates / "ca.pem").write_bytes(self.file.read_bytes())
        _openssl("rehash", self.certificates)


def _openssl(*words: object) -> None:
    done = subprocess.run(["openssl", *map(str, words)], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr


def add_sss_key(keytab: Path, user: str, number: int) -> None:
    """Put a fresh key of a user into a file for XRootD's protocol sss, which is made if need be."""
    done = subprocess.run(
        ["xrdsssadmin", "-k", "common", "-u", user, "-g", "users", "-n", str(number), "add", str(keytab)],
        input="y\n",
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    keytab.chmod(0o600)


class Issuer:
    """Signs tokens as WLCG has them, and can tell a server its public key without being reachable."""

    def __init__(self, issuer: str = ISSUER) -> None:
        self.issuer = issuer
        self._key = ec.generate_private_key(ec.SECP256R1())

    def token(self, lifetime: float = 600.0, scope: str = "storage.read:/", **claims: Any) -> str:
        """Give a token that is good for so many seconds from now on; negative ones make one that is over."""
        now = int(time.time())
        body = {
            "iss": self.issuer,
            "sub": "lister",
            "aud": AUDIENCE,
            "scope": scope,
            "wlcg.ver": "1.0",
            "nbf": now - 3600,
            "iat": now - 3600,
            "exp": now + int(lifetime),
            "jti": f"test-{now}",
            **claims,
        }
        head = {"alg": "ES256", "kid": "test", "typ": "JWT"}
        signed = b".".join(_base64(json.dumps(part).encode()) for part in (head, body))
        first, second = decode_dss_signature(self._key.sign(signed, ec.ECDSA(SHA256())))
        return b".".join([signed, _base64(first.to_bytes(_NUMBER) + second.to_bytes(_NUMBER))]).decode()

    def fill_cache(self, home: Path) -> None:
        """Put the public key where libscitokens keeps those that it has fetched, below XDG_CACHE_HOME."""
        numbers = self._key.public_key().public_numbers()
        key = {
            "alg": "ES256",
            "kid": "test",
            "kty": "EC",
            "use": "sig",
            "crv": "P-256",
            "x": _base64(numbers.x.to_bytes(_NUMBER)).decode(),
            "y": _base64(numbers.y.to_bytes(_NUMBER)).decode(),
        }
        later = int(time.time()) + 30 * 86400
        kept = {"expires": later, "next_update": later, "jwks": {"keys": [key]}}
        (home / "scitokens").mkdir(parents=True, exist_ok=True)
        database = sqlite3.connect(home / "scitokens/scitokens_cpp.sqllite")
        with database:
            database.execute(
                "CREATE TABLE IF NOT EXISTS keycache (issuer text UNIQUE PRIMARY KEY NOT NULL, keys text NOT NULL)"
            )
            database.execute("REPLACE INTO keycache VALUES (?, ?)", (self.issuer, json.dumps(kept)))
        database.close()


def _base64(data: bytes) -> bytes:
    return base64.urlsafe_b64encode(data).rstrip(b"=")
