"""Listing a bucket of an S3 store, as if its keys were paths: what a key has before its last slash is a directory.

There are no directories in such a store. One that has nothing in it is not there, unless somebody made a key for it
that ends with a slash; so no directory is ever called empty. Nor do they have times. Listings are complete, page by
page.

Keys come percent-encoded, in which a plus sign may stand for a blank; that is asked of the server and not guessed. A
key that no path can stand for, as with two slashes in a row, leaves the directory that it would be in unlisted.

``docs/decisions/0022-listing-buckets.md`` says why botocore asks, which also finds the credentials.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import partial
from itertools import pairwise
from typing import Any
from urllib.parse import unquote_to_bytes

from engine import paths
from engine.checksums.digest import MD5, read_digits
from engine.columns import NO_FILES, UNKNOWN_MTIME, DirectoryColumns, FileColumns
from engine.listing import Absent, Failed, Listed, NamesListed, NoChecksum, Outcome, Present
from engine.states import Reason
from storage.listers.doors import Door
from storage.listers.pool import PoolLister
from storage.listers.protocol import Ask, Request, Sink
from storage.listers.s3_client import S3Client

_ENCODED = "url"
_LARGEST = 2**63 - 1
_EARLIEST = -(2**62)
_NEVER_NAMES = frozenset((b"", b".", b".."))
_PLAIN = "AES256"
"""An encryption that leaves the tag what it is without."""


class S3Lister(PoolLister):
    """Asks one bucket over up to ``connections`` connections; ``timeout`` in seconds for a whole directory.

    The bucket is what comes first in a path behind the door.
    """

    def __init__(self, door: Door, sink: Sink, timeout: float = 30.0, connections: int = 4) -> None:
        client = S3Client(door, timeout)
        super().__init__(sink, timeout, connections, lambda: _Worker(door, client, timeout))


class _Stopped(Exception):
    """No answer can be given; ``failed`` says why."""

    def __init__(self, failed: Failed) -> None:
        super().__init__(failed.detail)
        self.failed = failed


@dataclass(slots=True)
class _Found:
    """What is below a prefix: names of keys with sizes and times, names of what has more below, and its own key."""

    files: list[tuple[bytes, int, int]] = field(default_factory=list)
    directories: list[bytes] = field(default_factory=list)
    has_marker: bool = False
    marked_at: int = UNKNOWN_MTIME


class _Worker:
    """Asks one question after the other."""

    def __init__(self, door: Door, client: S3Client, timeout: float) -> None:
        self._door = door
        self._client = client
        self._timeout = timeout
        self._closed = threading.Event()
        self._deadline = 0.0
        self.requests = 0

    def answer(self, request: Request, deadline: float) -> Outcome:
        """Answer a request; see `storage.listers.pool.Worker`."""
        self._deadline = deadline
        try:
            bucket, key = self._located(request.path)
            match request.ask:
                case Ask.LIST:
                    return self._list(bucket, key)
                case Ask.NAMES:
                    listed = self._list(bucket, key)
                    if isinstance(listed, Failed):
                        return listed
                    return NamesListed(frozenset((*listed.files.name_list(), *listed.directories.name_list())))
                case Ask.STAT:
                    return self._stat(bucket, key)
                case Ask.CHECKSUM:
                    return self._sum(bucket, key, request.algorithm)
        except _Stopped as stopped:
            return stopped.failed

    def close(self) -> None:
        """Ask nothing more; what is under way ends by its timeout."""
        self._closed.set()

    def release(self) -> None:
        """Hold nothing: connections are the client's."""

    def _located(self, path: bytes) -> tuple[str, str]:
        bucket, _, key = self._door.locate(path)[1:].partition(b"/")
        if not bucket:
            door = f"{self._door.scheme}://{self._door.host}"
            raise _Stopped(Failed(Reason.BAD_NAME, f"no bucket; write it behind the host, as in {door}/bucket"))
        try:
            return bucket.decode("ascii"), key.decode("utf-8")
        except UnicodeDecodeError as error:
            raise _Stopped(Failed(Reason.BAD_NAME, "not UTF-8, which all keys are")) from error

    def _list(self, bucket: str, key: str) -> Listed | Failed:
        found = self._below(bucket, key)
        rows = sorted(set(found.files))
        names = [row[0] for row in rows]
        twice = next((name for name, other in pairwise(names) if name == other), None)
        if twice is not None:
            # It was written anew between two pages.
            return Failed(Reason.PARTIAL, f"'{paths.escape(twice)}' is listed twice, with different attributes")
        both = set(names) & set(found.directories)
        if both:
            shown = paths.escape(min(both))
            return Failed(Reason.BAD_NAME, f"'{shown}' is a key, and keys go on behind it: no path can be both")
        if not names and not found.directories:
            if key and not found.has_marker:
                return self._no_directory(bucket, key)
            return Listed(others=True)
        files = FileColumns.from_sorted_rows(rows) if rows else NO_FILES
        return Listed(files, DirectoryColumns.from_rows([(name, UNKNOWN_MTIME) for name in found.directories]))

    def _no_directory(self, bucket: str, key: str) -> Failed:
        if self._head(bucket, key) is None:
            return Failed(Reason.NOT_FOUND, "no key begins so")
        return Failed(Reason.NOT_A_DIRECTORY, "a key, and none goes on behind it")

    def _stat(self, bucket: str, key: str) -> Outcome:
        if not key:
            self._page(bucket, "", MaxKeys=1)
            return Present(0, UNKNOWN_MTIME, True)
        there = self._head(bucket, key)
        if there is not None:
            return there
        # A bucket that is gone denies a key as well, as does what stands before a store that is away; a listing tells.
        found = _Found()
        self._take(bucket, self._page(bucket, key + "/", MaxKeys=1), key + "/", found)
        if found.files or found.directories or found.has_marker:
            return Present(0, found.marked_at, True)
        start = key.encode()
        # Of all keys that begin so it would be the first one.
        first = self._page(bucket, key, MaxKeys=1)
        if any(not name for name, _ in self._names(bucket, first, "Contents", "Key", start)):
            return Failed(Reason.PARTIAL, "a key that is listed, and denied when it is asked for")
        above = key.rpartition("/")[0]
        while above:
            if self._head(bucket, above) is not None:
                return Failed(Reason.NOT_A_DIRECTORY, "a key on the way")
            above = above.rpartition("/")[0]
        return Absent()

    def _head(self, bucket: str, key: str) -> Present | None:
        """Ask for one key; None if there is no such one, or no such bucket."""
        answer = self._ask(lambda client: client.head_object(Bucket=bucket, Key=key), may_lack=True)
        if answer is None:
            return None
        return Present(_number(answer, "ContentLength"), _number(answer, "LastModified"), False)

    def _sum(self, bucket: str, key: str, algorithm: str) -> Outcome:
        """Take the tag of a key for its MD5, which it is where the key was put in one piece and not encrypted."""
        answer = self._ask(lambda client: client.head_object(Bucket=bucket, Key=key), may_lack=True)
        if answer is None:
            # Which may also mean that the bucket is gone.
            there = self._stat(bucket, key)
            return NoChecksum("no key of its own") if isinstance(there, Present) else there
        if algorithm != MD5:
            return NoChecksum(f"such stores have no {algorithm}")
        if "SSECustomerAlgorithm" in answer or answer.get("ServerSideEncryption", _PLAIN) != _PLAIN:
            return NoChecksum("the tag of a key that is encrypted with a key of somebody's is no MD5")
        tag = str(answer.get("ETag", "")).strip('"')
        if "-" in tag:
            return NoChecksum("the tag of a key that was put in parts is no MD5")
        return read_digits(MD5, tag) or NoChecksum("the tag is no MD5")

    def _below(self, bucket: str, key: str) -> _Found:
        """List everything below a key, page by page."""
        prefix = key + "/" if key else ""
        found = _Found()
        more: dict[str, str] = {}
        seen: set[str] = set()
        while True:
            page = self._page(bucket, prefix, **more)
            self._take(bucket, page, prefix, found)
            if not page.get("IsTruncated", True):
                return found
            token = page.get("NextContinuationToken")
            if not token or token in seen:
                raise _Stopped(Failed(Reason.PARTIAL, "a page that is not the last one, and does not say what follows"))
            seen.add(token)
            more = {"ContinuationToken": token}

    def _page(self, bucket: str, prefix: str, **more: Any) -> dict[str, Any]:
        asked = {"Bucket": bucket, "Prefix": prefix, "Delimiter": "/", "EncodingType": _ENCODED, **more}
        page: dict[str, Any] = self._ask(lambda client: client.list_objects_v2(**asked))
        return page

    def _ask(self, question: Callable[[Any], Any], may_lack: bool = False) -> Any:
        if self._closed.is_set() or time.monotonic() >= self._deadline:
            raise _Stopped(self._client.refused(Failed(Reason.TIMEOUT, f"no answer within {self._timeout:g} s")))
        self.requests += 1
        answer = self._client.ask(question, self._deadline)
        if not isinstance(answer, Failed):
            return answer
        if answer.reason != Reason.NOT_FOUND:
            raise _Stopped(answer)
        if may_lack:
            return None
        # A list may have no keys in it. Where there is none, there is no store.
        raise _Stopped(Failed(Reason.SERVER, f"no bucket answers: {answer.detail}"))

    def _take(self, bucket: str, page: dict[str, Any], prefix: str, found: _Found) -> None:
        """Read the keys and prefixes of a page."""
        is_encoded = page.get("EncodingType") == _ENCODED
        start = prefix.encode()
        if is_encoded and self._decoded(bucket, page.get("Prefix", ""), start) != start:
            raise _Stopped(Failed(Reason.SERVER, "an answer about something else"))
        for name, item in self._names(bucket, page, "Contents", "Key", start):
            if not name:
                found.has_marker, found.marked_at = True, _number(item, "LastModified")
            elif name in _NEVER_NAMES or b"/" in name or b"\0" in name:
                raise _Stopped(_no_path(name))
            else:
                found.files.append((name, _number(item, "Size"), _number(item, "LastModified")))
        for name, _ in self._names(bucket, page, "CommonPrefixes", "Prefix", start):
            found.directories.append(_name_of_prefix(name))

    def _names(
        self, bucket: str, page: dict[str, Any], listed: str, field_name: str, start: bytes
    ) -> Iterator[tuple[bytes, dict[str, Any]]]:
        is_encoded = page.get("EncodingType") == _ENCODED
        for item in page.get(listed, ()):
            text = item.get(field_name)
            if text is None:
                raise _Stopped(Failed(Reason.PARTIAL, f"an entry without {field_name}"))
            key = self._decoded(bucket, text, start) if is_encoded else text.encode("utf-8", "surrogatepass")
            if not is_encoded and b"\n" in key:
                raise _Stopped(Failed(Reason.BAD_NAME, "an end of a line, which XML does not tell from others"))
            if not key.startswith(start):
                raise _Stopped(Failed(Reason.SERVER, "a key that nobody asked for"))
            yield key[len(start) :], item

    def _decoded(self, bucket: str, text: str, start: bytes) -> bytes:
        raw = text.encode("utf-8", "surrogatepass")
        if b"+" not in raw:
            return unquote_to_bytes(raw)
        blank, plus = unquote_to_bytes(raw.replace(b"+", b" ")), unquote_to_bytes(raw)
        # What was asked for is known, and what stands before a name is the same.
        if start in (blank, plus):
            return start
        if self._client.plus_is_blank is None:
            self._client.plus_is_blank = self._find_plus(bucket, blank, plus)
        return blank if self._client.plus_is_blank else plus

    def _find_plus(self, bucket: str, blank: bytes, plus: bytes) -> bool:
        """Ask which of two keys is there: one with blanks, or one with plus signs."""
        there = []
        for key in (blank, plus):
            try:
                text = key.decode()
            except UnicodeDecodeError as error:
                raise _Stopped(Failed(Reason.BAD_NAME, "a key that is not UTF-8")) from error
            page = self._ask(partial(_first_of, bucket, text))
            there.append(bool(page.get("Contents")))
        if there[0] == there[1]:
            raise _Stopped(Failed(Reason.PARTIAL, f"how '{paths.escape(plus)}' is written is not known"))
        return there[0]


def _number(item: dict[str, Any], name: str) -> int:
    """Read a size or a time of an entry."""
    value = item.get(name)
    if value is None or not (_EARLIEST if name == "LastModified" else 0) <= value <= _LARGEST:
        raise _Stopped(Failed(Reason.PARTIAL, f"an entry without {name}, or with a wrong one"))
    return int(value)


def _first_of(bucket: str, prefix: str, client: Any) -> Any:
    return client.list_objects_v2(Bucket=bucket, Prefix=prefix, MaxKeys=1)


def _name_of_prefix(text: bytes) -> bytes:
    name = text.removesuffix(b"/")
    if not text.endswith(b"/") or name in _NEVER_NAMES or b"/" in name or b"\0" in name:
        raise _Stopped(_no_path(text))
    return name


def _no_path(name: bytes) -> Failed:
    return Failed(Reason.BAD_NAME, f"a key goes on with '{paths.escape(name)}', for which no path can stand")
