"""XRootD servers that let nobody in without TLS, and as a rule without credentials."""

from __future__ import annotations

import os
import shutil
import tempfile
from pathlib import Path

from cli.xrootd_server import XRootDServer
from tests.servers.credentials import AUDIENCE, Authority, Issuer, add_sss_key
from tests.servers.webdav import XRootDOverHTTP

_TLS = ("xrd.tls {home}/ca/host.pem {home}/ca/host.key", "xrd.tlsca certfile {home}/ca/ca.pem", "xrootd.tls {tls}")
_SSS = (
    "xrootd.seclib libXrdSec.so",
    "sec.protocol sss -s {home}/server.keytab",
    "sec.protbind * only sss",
    "acc.authdb {home}/authdb",
    "ofs.authorize 1",
)
_ZTN = (
    "xrootd.seclib libXrdSec.so",
    "sec.protocol ztn",
    "sec.protbind * only ztn",
    "ofs.authlib libXrdAccSciTokens.so config={home}/scitokens.cfg",
    "ofs.authorize 1",
)
_HTTP = (
    "http.header2cgi Authorization authz",
    "ofs.authlib libXrdAccSciTokens.so config={home}/scitokens.cfg",
    "ofs.authorize 1",
)
_SCITOKENS = """
[Global]
audience = {audience}

[Issuer tests]
issuer = {issuer}
base_path = /store
"""


class SecuredServer:
    """A server that wants ``sss`` keys or ``ztn`` tokens, or with ``none`` just TLS. Use it as a context manager.

    With ``http`` it is asked over HTTPS, and wants tokens.

    It serves ``root/store``, or a directory of its own.

    ``env`` is what a client's environment needs to trust it; ``keytab`` holds the key that it takes, and ``issuer``
    signs the tokens that it takes. ``tls`` is what has to be encrypted, in words of the server's configuration.
    """

    def __init__(self, protocol: str, root: Path | None = None, tls: str = "all") -> None:
        self.home = Path(tempfile.mkdtemp(prefix="secured-"))
        self.home.chmod(0o755)
        authority = Authority(self.home / "ca")
        self.env = {"X509_CERT_DIR": str(authority.certificates)}
        self.keytab = self.home / "client.keytab"
        self.issuer = Issuer()
        self._serving = self.home / "server.keytab"
        add_sss_key(self._serving, "lister", 100)
        shutil.copy(self._serving, self.keytab)
        (self.home / "authdb").write_text("u lister /store lr\n")
        (self.home / "scitokens.cfg").write_text(_SCITOKENS.format(audience=AUDIENCE, issuer=self.issuer.issuer))
        self.issuer.fill_cache(self.home / "cache")
        self._hand_over(authority.key, authority.certificate, self._serving, *_below(self.home / "cache"))
        security = {"sss": _SSS, "ztn": _ZTN, "http": _HTTP, "none": ()}[protocol]
        lines = [line.format(home=self.home, tls=tls) for line in (*_TLS, *security)]
        environment = {"XDG_CACHE_HOME": str(self.home / "cache")}
        if protocol == "http":
            self.server: XRootDServer = XRootDOverHTTP(tuple(lines), root, environment, tls=True)
        else:
            self.server = XRootDServer(tuple(lines), root, environment)

    @property
    def url(self) -> str:
        return self.server.url.replace("root://", "roots://")

    def change_key(self) -> None:
        """Have the server forget the key of the client: it knows another one from its next start on."""
        self._serving.unlink()
        add_sss_key(self._serving, "lister", 200)
        self._hand_over(self._serving)

    def know_key(self) -> None:
        """Have the server know the key of the client again, from its next start on."""
        self._serving.unlink()
        shutil.copy(self.keytab, self._serving)
        self._hand_over(self._serving)

    @staticmethod
    def _hand_over(*paths: Path) -> None:
        if os.geteuid() == 0:
            for path in paths:
                shutil.chown(path, "xrootd")

    def __enter__(self) -> SecuredServer:
        self.server.start()
        return self

    def __exit__(self, *_error: object) -> None:
        self.server.stop()
        shutil.rmtree(self.home)


def _below(directory: Path) -> list[Path]:
    return [directory, *directory.rglob("*")]
