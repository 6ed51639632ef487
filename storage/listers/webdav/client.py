"""One thread's questions to a WebDAV door, over HTTP/1.1 connections that are kept.

The library below (httpcore, on which httpx is built) sends and receives; what an answer means, whom a redirection leads
to and what is shown to whom is decided here. A token is for the door's own host and port alone.
"""

from __future__ import annotations

import os
import re
import ssl
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from urllib.parse import unquote_to_bytes

import httpcore

from engine.checksums.digest import Checksum
from engine.listing import Failed, NoChecksum
from engine.states import Reason
from storage.listers.credentials import explain
from storage.listers.doors import Door
from storage.listers.webdav.answers import Answer, Found, Members
from storage.listers.webdav.digests import DIGEST_HEADERS, find_digest, wanting
from storage.listers.webdav.hrefs import origin_of, quote
from storage.listers.webdav.identity import Identity
from storage.listers.webdav.network import Network
from storage.listers.wire.tls import TLSError

_SECURE = ("davs", "https")

_WELL = (200, 201, 202, 204)
_OK = 200
_NO_DIGEST = (405, 406, 501)
"""What servers say that take no part in digests; XRootD says the first where none is set up."""

_PLAIN = b"identity"
"""The encoding in which files are as they are."""

_MULTI_STATUS = 207
_MOVED = (301, 302, 307, 308)
_LATER = (429, 503)
_UNAUTHORIZED, _FORBIDDEN, _NOT_FOUND, _GONE = 401, 403, 404, 410

_MOST_HOPS = 8
"""Redirections that one question follows."""

_CONNECT_SECONDS = 10.0
"""Seconds in which a server has to let us in; less where a request may not take so long."""

_SHORTEST_WAIT = 0.5
"""Seconds after which a server that wants to be asked later is asked again, if it names fewer or none; then twice as
many, and so on."""

_MOST_WORDS = 1 << 16
"""Bytes of what a server says besides an answer; one that says more has its connection closed."""

_MOST_OF_A_PAGE = 1 << 12
"""Characters of a page for people in which words are looked for: how long that takes grows with their square."""

_LISTED = b"<resourcetype/><getcontentlength/><getlastmodified/>"
_NAMED = b"<resourcetype/>"

_TELLING = 12
"""Characters at the beginning of a token by which it is known again."""

_NO_ATTRIBUTES = Failed(Reason.SERVER, "an answer without attributes")

_TAG = re.compile(r"<style.*?</style>|<[^>]*>", re.DOTALL)
_LOCATION = re.compile(r"(?:(?:(https?):)?//([^/?#]+))?(/[^?#]*)(\?[!-~]*)?", re.IGNORECASE)
_AUTHORITY = re.compile(r"(?:[A-Za-z0-9._-]+|\[[0-9A-Fa-f:.]+\])(?::[0-9]{1,5})?")
_REASONS = {
    _UNAUTHORIZED: Reason.AUTHENTICATION,
    407: Reason.AUTHENTICATION,
    _FORBIDDEN: Reason.PERMISSION,
    451: Reason.PERMISSION,
    _NOT_FOUND: Reason.NOT_FOUND,
    _GONE: Reason.NOT_FOUND,
    414: Reason.BAD_NAME,
    408: Reason.TIMEOUT,
    504: Reason.TIMEOUT,
}

REDIRECTS_BLINDLY = "XrootD"
"""What the name of a server begins with that sends a question on to one server of several, each with a part."""


_NOBODY = "No servers are available"
"""What a redirector of XRootD says, with the status of what is not there: who has it may be down."""


@dataclass(frozen=True, slots=True)
class Question:
    """What is asked: about a path behind the door, or also ``about_members``; ``with_sizes`` and times or without.

    With an ``algorithm`` nothing is asked for but the checksum of what is there.
    """

    path: bytes
    about_members: bool = False
    with_sizes: bool = True
    algorithm: str = ""


@dataclass(frozen=True, slots=True)
class Command:
    """What is to be done: a verb of WebDAV, the path behind the door, and for what is moved, where to.

    ``to`` stands in the request as it is: which bytes of a path are to be quoted there is the asker's business.
    """

    verb: str
    path: bytes
    to: bytes = b""


@dataclass(frozen=True, slots=True)
class Reply:
    """What came back, from a server that calls itself ``server`` at ``origin``.

    ``is_odd``: the server took the request for a bad one. ``is_broken``: it hung up instead of answering. ``summed`` is
    what it says of a checksum, where it said anything; nothing else is said then.
    """

    said: Found | Failed
    server: str = ""
    origin: str = ""
    is_odd: bool = False
    is_broken: bool = False
    summed: Checksum | NoChecksum | None = None


_DONE = Found(False, None, 0, None, Members())
"""What stands for the answer to something that was done."""


@dataclass(frozen=True, slots=True)
class _Target:
    """Where a question goes: ``path`` is in bytes, ``query`` what a server put behind it to be shown elsewhere."""

    scheme: str
    authority: str
    path: bytes
    query: bytes = b""

    @property
    def origin(self) -> str:
        return origin_of(self.scheme, self.authority)


@dataclass(slots=True)
class _Response:
    """What came back of one request: an answer, or a status with some words."""

    status: int
    headers: dict[bytes, bytes]
    found: Found | Failed | None
    words: str

    @property
    def server(self) -> str:
        return self.headers.get(b"server", b"").decode("latin-1")[:80]


class Client:
    """Asks a door, one question after the other; of one thread, but for `close`."""

    def __init__(self, door: Door, identity: Identity) -> None:
        scheme = "https" if door.scheme in _SECURE else "http"
        self._home = scheme, door.host
        self._home_origin = origin_of(*self._home)
        self._identity = identity
        self._generation = 0
        # The last token that went out, which may come back in what a server says.
        self._shown = b""
        self._network = Network()
        self._pool: httpcore.ConnectionPool | None = None
        self._closed = threading.Event()
        self.requests = 0

    def ask(self, question: Question, deadline: float) -> Reply:
        """Ask, and wait for the answer until ``deadline``, in seconds of ``time.monotonic``."""
        return self._until(deadline, lambda: self._follow(question, deadline))

    def tell(self, command: Command, deadline: float) -> tuple[int, Failed | None]:
        """Have something done; gives the status that the server answered with, 0 for none, and what went wrong."""
        statuses: list[int] = []

        def do() -> Reply:
            target = _Target(*self._home, command.path)
            response = self._send(target, command, self._identity.token())
            statuses.append(response.status)
            if response.status in _WELL:
                return Reply(_DONE)
            if response.status in _MOVED:
                return Reply(Failed(Reason.SERVER, "sent on to another server, through which nothing is changed"))
            if response.status == _MULTI_STATUS:
                return Reply(Failed(Reason.PARTIAL, "a part of it could not be done"))
            return self._refused(target, response)

        said = self._until(deadline, do).said
        return (statuses[-1] if statuses else 0), said if isinstance(said, Failed) else None

    def _until(self, deadline: float, exchange: Callable[[], Reply]) -> Reply:
        reply = self._said(deadline, exchange)
        return _without(self._shown.decode("ascii"), reply) if self._shown else reply

    def _said(self, deadline: float, exchange: Callable[[], Reply]) -> Reply:
        self._network.deadline = deadline
        try:
            return exchange()
        except TLSError as error:
            return Reply(Failed(Reason.AUTHENTICATION, f"TLS: {error}"))
        except httpcore.TimeoutException as error:
            late = "no connection" if isinstance(error, httpcore.ConnectTimeout) else "no answer"
            return Reply(Failed(Reason.TIMEOUT, f"{late} in time"))
        except httpcore.RemoteProtocolError as error:
            return Reply(Failed(Reason.CONNECTION, _one_line(str(error))), is_broken=True)
        except (httpcore.NetworkError, httpcore.ProtocolError) as error:
            return Reply(_broken(error), is_broken=not isinstance(error, httpcore.ConnectError))

    def close(self) -> None:
        """Break what is under way, from any thread; further questions fail."""
        self._closed.set()
        self._network.cut()

    def release(self) -> None:
        """Give back the connections, on the thread that asks."""
        if self._pool is not None:
            self._pool.close()

    def _follow(self, question: Question, deadline: float) -> Reply:
        target = _Target(*self._home, question.path)
        seen = {target}
        again = True
        pause = _SHORTEST_WAIT
        while True:
            token = self._identity.token() if target.origin == self._home_origin else b""
            response = self._send(target, question, token)
            if response.status == _MULTI_STATUS and response.found is not None:
                return Reply(response.found, response.server, target.origin)
            if question.algorithm and response.status in (_OK, *_NO_DIGEST):
                summed = _summed(response, question.algorithm)
                return Reply(_NO_ATTRIBUTES, response.server, target.origin, summed=summed)
            if response.status in _MOVED:
                moved = self._moved(target, question, response)
                if isinstance(moved, Failed):
                    return Reply(moved, response.server, target.origin)
                if moved in seen or len(seen) > _MOST_HOPS:
                    said = f"sent on in a circle, or more than {_MOST_HOPS} times, at last to {moved.authority}"
                    return Reply(Failed(Reason.CONNECTION, said), response.server, target.origin)
                target = moved
                seen.add(target)
                continue
            if response.status in _LATER:
                seconds = max(pause, _seconds(response.headers.get(b"retry-after", b"")))
                pause *= 2
                if time.monotonic() + seconds < deadline and not self._closed.wait(seconds):
                    continue
                words = f"the server has too much to do ({response.status}) and wants to be asked in {seconds:g} s"
                return Reply(Failed(Reason.TIMEOUT, words), response.server, target.origin)
            if response.status in (_UNAUTHORIZED, _FORBIDDEN) and again and target.origin == self._home_origin:
                again = False
                # It may have ended just now, and another one be there.
                if self._identity.token(again=True) != token:
                    continue
            return self._refused(target, response)

    def _refused(self, target: _Target, response: _Response) -> Reply:
        status = response.status
        reason = _REASONS.get(status, Reason.SERVER)
        said = f"{status} {response.words}".strip()
        if status >= 500 and "not a directory" in response.words.lower():
            reason = Reason.NOT_A_DIRECTORY
        if status == _MULTI_STATUS:
            said = "an answer that is no XML"
        if status == _FORBIDDEN and target.scheme == "https" and target.origin == self._home_origin:
            # Some servers say no more than that to somebody whom they do not know.
            if self._identity.is_over:
                reason = Reason.AUTHENTICATION
            elif not self._identity.token():
                said += f" ({explain(os.environ, True, time.time())})"
        if reason == Reason.NOT_FOUND and response.words.startswith(_NOBODY):
            reason = Reason.SERVER
        if status == 405:
            said = "405: no WebDAV door, or none that lists"
        failed = Failed(reason, said)
        return Reply(failed, response.server, target.origin, is_odd=status in (400, 409))

    def _moved(self, target: _Target, question: Question, response: _Response) -> _Target | Failed:
        location = response.headers.get(b"location", b"").decode("latin-1")
        match = _LOCATION.match(location)
        if match is None:
            return Failed(Reason.SERVER, "sent on to nowhere")
        scheme, authority = (match[1] or target.scheme).lower(), match[2] or target.authority
        if not _AUTHORITY.fullmatch(authority):
            return Failed(Reason.SERVER, "sent on to what is no host")
        if target.scheme == "https" and scheme != "https":
            return Failed(Reason.SERVER, f"sent on to {scheme}://{authority}, which is not secure")
        # Nothing of what is behind the path is ever said: it may let somebody in.
        query = (match[4] or "").partition("#")[0].encode("latin-1")
        path = _same_name(match[3].encode("latin-1"), question.path)
        if path is None:
            # A page for whoever is not let in, or the top for what is not there: nothing is said of what was asked for.
            return Failed(Reason.SERVER, f"sent on to another path, at {authority}")
        moved = _Target(scheme, authority, path, query)
        # One without a name may be an XRootD of before it had one.
        is_blind = response.server.startswith(REDIRECTS_BLINDLY) or not response.server
        if question.about_members and moved.origin != target.origin and is_blind:
            return Failed(
                Reason.SERVER,
                f"the door is a redirector and sends the listing on to {authority}, which may have a part "
                "of the store; list its data servers instead",
            )
        return moved

    def _send(self, target: _Target, question: Question | Command, token: bytes) -> _Response:
        """Send one request, and once more over a fresh connection if the one that was kept is gone."""
        pool = self._connections()
        # The library takes no note of a server that hangs up in the very moment in which it is asked.
        was_kept = bool(pool.connections)
        try:
            return self._exchange(pool, target, question, token)
        except (httpcore.RemoteProtocolError, httpcore.ReadError, httpcore.WriteError) as error:
            if not was_kept or self._closed.is_set() or self._network.deadline <= time.monotonic():
                raise
            if isinstance(error.__cause__ or error.__context__, ssl.SSLError):
                raise
            pool.close()
            return self._exchange(self._connections(), target, question, token)

    def _connections(self) -> httpcore.ConnectionPool:
        generation, context = self._identity.context()
        if self._pool is None or self._generation != generation:
            if self._pool is not None:
                self._pool.close()
            self._generation = generation
            # One to the door, and one to each of a few others that it sends on to.
            self._pool = httpcore.ConnectionPool(
                ssl_context=context, max_connections=4, max_keepalive_connections=4, network_backend=self._network
            )
        return self._pool

    def _exchange(
        self, pool: httpcore.ConnectionPool, target: _Target, question: Question | Command, token: bytes
    ) -> _Response:
        name, _, port = target.origin.partition("://")[2].rpartition(":")
        verb, own, body = _request(question, target)
        headers = [
            (b"Host", target.authority.encode("ascii", "replace")),
            (b"User-Agent", b"dynamo-consistency"),
            *own,
            (b"Content-Length", b"%d" % len(body)),
            (b"Accept-Encoding", _PLAIN),
        ]
        if token and target.scheme == "https":
            headers.append((b"Authorization", b"Bearer " + token))
            self._shown = token
        url = httpcore.URL(
            scheme=target.scheme.encode(),
            host=name.strip("[]").encode("ascii", "replace"),
            port=int(port),
            target=quote(target.path) + target.query,
        )
        seconds = {"connect": self._network.left(_CONNECT_SECONDS), "read": self._network.left()}
        seconds |= {"write": seconds["read"], "pool": seconds["read"]}
        self.requests += 1
        with pool.stream(verb, url, headers=headers, content=body, extensions={"timeout": seconds}) as response:
            known = {key.lower(): value for key, value in response.headers}
            for header in known.keys() & DIGEST_HEADERS:
                # One that comes several times is one with all values.
                known[header] = b",".join(value for key, value in response.headers if key.lower() == header)
            said = _Response(response.status, known, None, "")
            plain = known.get(b"content-encoding", _PLAIN) == _PLAIN
            if isinstance(question, Question) and response.status == _MULTI_STATUS and plain:
                said.found = self._read(
                    response, Answer(target.origin, target.path, question.about_members, question.with_sizes)
                )
            else:
                said.words = _words(response)
            return said

    def _read(self, response: httpcore.Response, answer: Answer) -> Found | Failed:
        for data in response.iter_stream():
            failed = answer.add(data)
            if failed is not None:
                return failed
        return answer.end()


def _request(question: Question | Command, target: _Target) -> tuple[str, list[tuple[bytes, bytes]], bytes]:
    """Give verb, headers and body of a question, or of what is to be done."""
    if isinstance(question, Command):
        if not question.to:
            return question.verb, [], b""
        to = target.scheme.encode() + b"://" + target.authority.encode("ascii", "replace") + question.to
        return question.verb, [(b"Destination", to), (b"Overwrite", b"F")], b""
    if question.algorithm:
        return "HEAD", wanting(question.algorithm), b""
    body = b'<?xml version="1.0" encoding="utf-8"?><propfind xmlns="DAV:"><prop>%b</prop></propfind>' % (
        _LISTED if question.with_sizes else _NAMED
    )
    depth = b"1" if question.about_members else b"0"
    return "PROPFIND", [(b"Depth", depth), (b"Content-Type", b"application/xml")], body


def _same_name(sent: bytes, asked: bytes) -> bytes | None:
    """Read the path that a server sends on to, encoded or as it is; None if it ends with another name.

    What is before the name is the server's own. Some want a slash behind what is a directory.
    """
    name = asked.rpartition(b"/")[2]
    readings = [path for path in (unquote_to_bytes(sent), sent) if path.rstrip(b"/").rpartition(b"/")[2] == name]
    return next((path for path in readings if path.rstrip(b"/") == asked), readings[0] if readings else None)


def _summed(response: _Response, algorithm: str) -> Checksum | NoChecksum:
    """Find the checksum in an answer."""
    if response.status in _NO_DIGEST:
        return NoChecksum(f"{response.status}: the server gives no digests")
    if response.headers.get(b"content-encoding", _PLAIN).lower() != _PLAIN:
        # Whatever was not asked for, the digest is then of that.
        return NoChecksum("the server gives the digest of the file in another encoding")
    given = [value.decode("latin-1") for value in map(response.headers.get, DIGEST_HEADERS) if value is not None]
    return find_digest(given, algorithm)


def _words(response: httpcore.Response) -> str:
    """Read what a server says of why it does not answer; in full, so that the connection can be used again."""
    taken = bytearray()
    for data in response.iter_stream():
        taken += data
        if len(taken) > _MOST_WORDS:
            break
    kind = next((value for key, value in response.headers if key.lower() == b"content-type"), b"")
    text = taken.decode("utf-8", "replace")
    if b"html" in kind or text.lstrip()[:1] == "<":
        # A page that says the same to people.
        reason = response.extensions.get("reason_phrase", b"")
        return _one_line(reason.decode("latin-1")) or _one_line(_TAG.sub(" ", text[:_MOST_OF_A_PAGE]))
    return _one_line(text)


def _without(token: str, reply: Reply) -> Reply:
    """Leave out of what a server says the token that it was shown, also where only the beginning is left of it."""
    beginning = token[:_TELLING]
    server = "" if beginning in reply.server else reply.server
    said = reply.said
    if isinstance(said, Failed) and beginning in said.detail:
        said = replace(said, detail=re.sub(re.escape(beginning) + r"\S*", "...", said.detail))
    return replace(reply, said=said, server=server)


def _one_line(text: str) -> str:
    words = " ".join(text.split())
    return "".join([c if c.isprintable() else " " for c in words])[:200]


def _seconds(value: bytes) -> float:
    """Read for how long a server wants to be left alone; a date counts as no number."""
    text = value.decode("latin-1").strip()
    return float(text) if text.isdecimal() and text.isascii() and len(text) < 7 else 0.0


def _broken(error: Exception) -> Failed:
    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, ssl.SSLCertVerificationError):
            return Failed(
                Reason.AUTHENTICATION, f"TLS: the server's certificate is not trusted: {cause.verify_message}"
            )
        if isinstance(cause, ssl.SSLError):
            return Failed(Reason.AUTHENTICATION, f"TLS: {cause.reason or cause}")
        if isinstance(cause, OSError) and cause.strerror:
            return Failed(Reason.CONNECTION, _lower(cause.strerror))
        cause = cause.__cause__ or cause.__context__
    return Failed(Reason.CONNECTION, _lower(_one_line(str(error))) or "the connection broke")


def _lower(words: str) -> str:
    return words[:1].lower() + words[1:]
