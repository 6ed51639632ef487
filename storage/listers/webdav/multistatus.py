"""Reading the XML of a WebDAV answer as it comes, in pieces of any size.

What is read is let go at once, so that a directory of a million files takes no more memory than its names. The parser
is told that each byte is a character: names that are not UTF-8 come through, and nothing else has other letters than
ASCII. Documents with types or entities are refused, which no such answer has any use for.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any, NamedTuple, TypeAlias

from lxml import etree

from engine.states import Reason
from storage.listers.webdav.hrefs import shown

_DAV = "{DAV:}"
_MULTISTATUS, _RESPONSE, _PROPSTAT = _DAV + "multistatus", _DAV + "response", _DAV + "propstat"
_HREF, _STATUS = _DAV + "href", _DAV + "status"
_LENGTH, _MODIFIED = _DAV + "getcontentlength", _DAV + "getlastmodified"
_TYPE, _COLLECTION = _DAV + "resourcetype", _DAV + "collection"
_TAGS = (_RESPONSE, _HREF, _PROPSTAT, _LENGTH, _MODIFIED, _COLLECTION, _STATUS)

_OK = "HTTP/1.1 200 OK"
_FOUND = 200
_NO_SUCH_PROPERTY = 404

_CONTROL = re.compile(rb"[\x00-\x08\x0b\x0c\x0e-\x1f]")

_AT_A_TIME = 1 << 20
"""Bytes that are taken in before what is complete of them is read. No entry has so many: one that does not end would be
kept until there is no memory left."""


class MultistatusError(Exception):
    """This is not the answer that was asked for; the message says why."""

    def __init__(self, message: str, reason: Reason = Reason.SERVER) -> None:
        super().__init__(message)
        self.reason = reason


class Entry(NamedTuple):
    """What is said of one path: its href, without a slash at the end, and the properties as they stand there."""

    href: str
    length: str | None
    modified: str | None
    is_collection: bool


_Properties: TypeAlias = tuple[str | None, str | None, bool]

_NOTHING: _Properties = (None, None, False)


class Multistatus:
    """Takes in an answer; `entries` gives what is complete."""

    def __init__(self) -> None:
        self._parser = etree.XMLPullParser(
            events=("start",),
            tag=_MULTISTATUS,
            encoding="iso-8859-1",
            resolve_entities=False,
            load_dtd=False,
            no_network=True,
            remove_comments=True,
            remove_pis=True,
        )
        self._root: Any = None
        self._held = 0
        self._end = b""
        self.has_references = False
        """Whether there are characters that are written as numbers: what such a one stands for need not be a byte."""

    def feed(self, data: bytes) -> Iterator[Entry]:
        """Take in bytes; gives entries that are complete, now or later.

        Raises:
            MultistatusError: it is none, or says of an entry that it could not be looked at.
        """
        self.has_references = self.has_references or b"&#" in self._end + data
        self._end = data[-1:]
        try:
            self._parser.feed(data)
        except etree.XMLSyntaxError as error:
            if _CONTROL.search(data):
                raise MultistatusError("a control character, which XML cannot carry", Reason.BAD_NAME) from error
            raise MultistatusError(_words(error)) from error
        self._held += len(data)
        if self._held >= _AT_A_TIME:
            self._held = 0
            self._find_root()
            # The last one may have only begun.
            complete = len(self._root) - 1
            if complete <= 0:
                raise MultistatusError("an entry that does not end")
            yield from self._take(complete)

    def close(self) -> Iterator[Entry]:
        """Give the rest.

        Raises:
            MultistatusError: as above, or it was cut off.
        """
        try:
            self._parser.close()
        except etree.XMLSyntaxError as error:
            raise MultistatusError(f"cut off, or none: {_words(error)}", Reason.PARTIAL) from error
        self._find_root()
        yield from self._take(len(self._root))

    def _find_root(self) -> None:
        # What the parser tells of it keeps, so that nothing may be left there.
        for _, element in self._parser.read_events():
            if element.getparent() is not None:
                raise MultistatusError("a multistatus inside of something else")
            self._root = element
        if self._root is None:
            raise MultistatusError("no multistatus")
        if self._root.getroottree().docinfo.doctype:
            raise MultistatusError("a document type, which no multistatus has")

    def _take(self, count: int) -> Iterator[Entry]:
        if count <= 0:
            return
        yield from _entries(self._root, count)
        del self._root[:count]


def _entries(root: Any, count: int) -> Iterator[Entry]:
    """Give what the first so many children of the root say.

    Properties count if the status beside them says that they are there; either may come first. This runs for each file
    of a store.
    """
    end = root[count] if count < len(root) else None
    href: str | None = None
    found: _Properties | None = None
    is_there: bool | None = None
    length = modified = None
    collection = is_in_response = is_in_propstat = False
    for element in root.iter(*_TAGS):
        tag = element.tag
        if tag == _STATUS:
            if is_there is not None:
                raise MultistatusError("two statuses of one thing", Reason.PARTIAL)
            is_there = element.text == _OK or _is_there(element)
            if not is_in_propstat:
                found = _counted(found, is_there, _NOTHING)
        elif tag == _MODIFIED:
            modified = element.text
        elif tag == _LENGTH:
            length = element.text
        elif tag == _PROPSTAT:
            if is_in_propstat:
                found = _counted(found, is_there, (length, modified, collection))
            is_there = length = modified = None
            collection, is_in_propstat = False, True
        elif tag == _HREF:
            if href is not None or len(element):
                raise MultistatusError("a response about more than one path, or about none")
            href = element.text or ""
        elif tag == _RESPONSE:
            if is_in_propstat:
                found = _counted(found, is_there, (length, modified, collection))
            if is_in_response:
                yield _entry(href, found)
            if element is end:
                return
            href = found = is_there = length = modified = None
            collection, is_in_response, is_in_propstat = False, True, False
        elif element.getparent().tag == _TYPE:
            collection = True
    if is_in_propstat:
        found = _counted(found, is_there, (length, modified, collection))
    if is_in_response:
        yield _entry(href, found)


def _counted(found: _Properties | None, is_there: bool | None, more: _Properties) -> _Properties | None:
    """Put properties to those that were found, if they are there."""
    if is_there is None:
        raise MultistatusError("properties without a status", Reason.PARTIAL)
    if not is_there:
        return found
    return more if found is None else _together(found, more)


def _entry(href: str | None, found: _Properties | None) -> Entry:
    if href is None or found is None:
        raise MultistatusError("a response without an href, or without a status", Reason.PARTIAL)
    return Entry(href[:-1] if href.endswith("/") else href, *found)


def _is_there(status: Any) -> bool:
    """Read a status that is not the usual one: whether the properties before it count.

    Raises:
        MultistatusError: the server could not look at what it is about.
    """
    code = _code(status.text or "")
    if code == _FOUND:
        return True
    if code == _NO_SUCH_PROPERTY and status.getparent().tag == _PROPSTAT:
        return False
    raise MultistatusError(f"of one entry the server says {shown(status.text or 'nothing')}", Reason.PARTIAL)


def _together(one: _Properties, other: _Properties) -> _Properties:
    return one[0] or other[0], one[1] or other[1], one[2] or other[2]


def _code(text: str) -> int:
    words = text.split()
    return int(words[1]) if len(words) > 1 and words[1].isdecimal() and words[1].isascii() else 0


def _words(error: BaseException) -> str:
    return f"not XML: {shown(str(error))}"
