"""Files as blocks of bytes, unpacked on the way; the kind of compression is told by the first bytes."""

from __future__ import annotations

import bz2
import importlib
import lzma
import os
import re
import stat
import zlib
from collections.abc import Callable, Generator, Iterator
from dataclasses import dataclass
from typing import Any, BinaryIO, Protocol

from storage.inventory.errors import unreadable

_PACKED_READ = 1 << 18
_LONGEST_MAGIC = 6
_ZSTD_MODULES = ("compression.zstd", "backports.zstd")


class _Decompressor(Protocol):
    """What the decompressors of the standard library have in common."""

    @property
    def eof(self) -> bool: ...
    @property
    def needs_input(self) -> bool: ...
    @property
    def unused_data(self) -> bytes: ...
    def decompress(self, data: bytes, max_length: int) -> bytes: ...


class _Gunzip:
    """Gives zlib the shape of the others."""

    def __init__(self) -> None:
        self._inner = zlib.decompressobj(wbits=31)

    @property
    def eof(self) -> bool:
        return self._inner.eof

    @property
    def needs_input(self) -> bool:
        return not self._inner.unconsumed_tail

    @property
    def unused_data(self) -> bytes:
        return self._inner.unused_data

    def decompress(self, data: bytes, max_length: int) -> bytes:
        return self._inner.decompress(self._inner.unconsumed_tail + data, max_length)


@dataclass(frozen=True, slots=True)
class _Packing:
    name: str
    make: Callable[[], _Decompressor]
    errors: tuple[type[Exception], ...]


_GZIP = _Packing("gzip", _Gunzip, (zlib.error,))
_BZIP2 = _Packing("bz2", bz2.BZ2Decompressor, (OSError, ValueError))
_ZSTD = "zstd"
_MAGICS = (
    (re.compile(rb"\x1f\x8b"), "gzip"),
    (re.compile(rb"BZh[1-9]"), "bz2"),
    (re.compile(rb"\xfd7zXZ\0"), "xz"),
    # Some programs begin with a frame that is to be skipped.
    (re.compile(rb"\x28\xb5\x2f\xfd|[\x50-\x5f]\x2a\x4d\x18"), _ZSTD),
)
_OTHERS = {b"\x04\x22\x4d\x18": "lz4", b"\x1f\x9d": "compress", b"PK\x03\x04": "zip", b"7z\xbc\xaf\x27\x1c": "7z"}
_BEGINNINGS = (b"\x1f", b"\xfd", b"\xfd7", b"\xfd7z", b"\xfd7zX", b"\xfd7zXZ", b"\x28\xb5", b"\x28\xb5\x2f")
"""What is left of a packed file that was cut off at once, where it is no text."""
_XZ = _Packing("xz", lambda: lzma.LZMADecompressor(lzma.FORMAT_XZ), (lzma.LZMAError,))


def read_blocks(path: str, source: str, size: int) -> Generator[bytes, None, None]:
    """Give the unpacked content in blocks of at most ``size`` bytes, none of them empty.

    ``source`` is the name that errors use.

    Raises:
        InventoryUnreadable: the file cannot be opened or read, or changed meanwhile, or its compressed stream is cut
            off, damaged or followed by something else.
    """
    try:
        with open(path, "rb") as file:
            before = _state(file)
            head = file.read(_LONGEST_MAGIC)
            packing = _packing(head, source)
            yield from _plain(file, head, size) if packing is None else _unpacked(file, head, size, packing, source)
            if _state(file) != before:
                # The half that was there looks like a whole one, and the rest of the site like orphans.
                raise unreadable(
                    source, "it changed while it was read; write a new one under another name, and rename it"
                )
    except OSError as error:
        raise unreadable(source, error.strerror or str(error)) from error


def _state(file: BinaryIO) -> tuple[int, int] | None:
    """Give what changes with the content of a file; None for what is none, such as a pipe."""
    found = os.fstat(file.fileno())
    return (found.st_size, found.st_mtime_ns) if stat.S_ISREG(found.st_mode) else None


def packing_of(path: str) -> str:
    """Name what a file is packed with, by its first bytes; empty when with nothing.

    Raises:
        OSError: it cannot be read.
    """
    with open(path, "rb") as file:
        head = file.read(_LONGEST_MAGIC)
    return next((name for pattern, name in _MAGICS if pattern.match(head)), "")


def is_packed(path: str) -> bool:
    """Tell whether a file is packed; a pipe, which cannot be looked at twice, counts as packed."""
    return not os.path.isfile(path) or bool(packing_of(path))


def _packing(head: bytes, source: str) -> _Packing | None:
    name = next((name for pattern, name in _MAGICS if pattern.match(head)), "")
    if name == _ZSTD:
        return _zstd(source)
    other = next((other for magic, other in _OTHERS.items() if head.startswith(magic)), "")
    if other:
        raise unreadable(source, f"packed with {other}, which is not read: unpack it, or pack it with gzip, xz or zstd")
    if head in _BEGINNINGS:
        raise unreadable(source, "the packed stream is cut off")
    return next((packing for packing in (_GZIP, _BZIP2, _XZ) if packing.name == name), None)


def _zstd(source: str) -> _Packing:
    for name in _ZSTD_MODULES:
        try:
            module: Any = importlib.import_module(name)
        except ImportError:
            continue
        return _Packing(_ZSTD, module.ZstdDecompressor, (module.ZstdError,))
    raise unreadable(
        source,
        "packed with zstd, for which this Python has no module: install backports.zstd, or unpack the file first",
    )


def _plain(file: BinaryIO, head: bytes, size: int) -> Iterator[bytes]:
    if head:
        yield head
    while block := file.read(size):
        yield block


def _unpacked(file: BinaryIO, head: bytes, size: int, packing: _Packing, source: str) -> Iterator[bytes]:
    """Unpack one stream after another.

    The file objects of the standard library pass silently over what follows a bz2 or xz stream and is not one itself:
    a list whose second part is damaged would look complete.
    """
    packed = head
    while packed:
        stream = packing.make()
        while not stream.eof:
            if stream.needs_input and not packed:
                packed = file.read(_PACKED_READ)
                if not packed:
                    raise unreadable(source, f"the {packing.name} stream is cut off")
            try:
                block = stream.decompress(packed if stream.needs_input else b"", size)
            except packing.errors as error:
                raise unreadable(source, f"the {packing.name} stream is damaged: {error}") from error
            packed = b""
            if block:
                yield block
        packed = _next_stream(file, stream.unused_data)


def _next_stream(file: BinaryIO, rest: bytes) -> bytes:
    """Pass over the zeros that may pad a stream; give the start of the next one, empty at the end."""
    packed = rest.lstrip(b"\0")
    while not packed:
        block = file.read(_PACKED_READ)
        if not block:
            break
        packed = block.lstrip(b"\0")
    return packed
