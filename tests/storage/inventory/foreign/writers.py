"""Writes dumps as the programs do that they come from, for round trips and large samples."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from itertools import groupby
from xml.sax.saxutils import quoteattr


@dataclass(frozen=True)
class File:
    """A file: its absolute path, size in bytes, mtime in seconds since the epoch, Adler-32."""

    path: bytes
    size: int
    mtime: int
    checksum: int = 0x0A1B2C3D

    @property
    def directory(self) -> bytes:
        return self.path.rpartition(b"/")[0]

    @property
    def name(self) -> bytes:
        return self.path.rpartition(b"/")[2]

    def moment(self, form: str = "%Y-%m-%d %H:%M:%S") -> bytes:
        return time.strftime(form, time.gmtime(self.mtime)).encode()


Write = Callable[[Sequence[File]], bytes]


def lines(write: Callable[[File], bytes]) -> Write:
    return lambda files: b"".join(write(file) + b"\n" for file in files)


def pipe(file: File) -> bytes:
    # Leading zeros of the checksum are lost.
    return b"%b|%d|%d|%x" % (file.path, file.size, file.mtime, file.checksum)


def spaced_pipe(file: File) -> bytes:
    return b"%b | %d | %d" % (file.path, file.size, file.mtime * 1000)


def ral(file: File) -> bytes:
    return b"%b %d %d" % (file.path, file.size, file.mtime // 86400)


def rucio(file: File) -> bytes:
    columns = (
        *(b"T2_X", b"cms", file.name, b"%08x" % file.checksum, b"%d" % file.size),
        *(b"2001-01-01 00:00:00", file.path, file.moment(), b"A"),
    )
    return b"\t".join(columns)


def rucio_without_paths(file: File) -> bytes:
    columns = (
        *(b"T2_X", file.directory.removeprefix(b"/"), file.name, b"%08x" % file.checksum, b"%d" % file.size),
        *(b"2001-01-01 00:00:00", b"", file.moment("%Y-%m-%dT%H:%M:%S.123Z"), b"A"),
    )
    return b"\t".join(columns)


def xrdfs(file: File) -> bytes:
    return b"-rw-r--r-- own   grp   %12d %b %b" % (file.size, file.moment(), file.path)


def xrdfs_old(file: File) -> bytes:
    return b"-r-- %b %12d %b" % (file.moment(), file.size, file.path)


def eos_quoted(file: File) -> bytes:
    return b'path="%b" size=%d mtime=%d.5' % (file.path, file.size, file.mtime)


def eos_plain(file: File) -> bytes:
    return b"%b size=%d checksum=%08x mtime=%d.123456789" % (file.path, file.size, file.checksum, file.mtime)


def eos_lengths(file: File) -> bytes:
    return b"keylength.file=%d file=%b size=%d status=healthy mtime=%d.7 mode=0644 xs=%08x xattrv=[Tue 18]" % (
        *(len(file.path), file.path, file.size, file.mtime, file.checksum),
    )


def dcache(files: Sequence[File]) -> bytes:
    said = []
    for directory, below in groupby(files, key=lambda file: file.directory):
        said.append((directory or b"/") + b"\n")
        said += [
            b"%b\t0000C9\t%08x\t%d\t%d\tpool1,pool2,\n" % (file.name, file.checksum, file.size, file.mtime)
            for file in below
        ]
    return b"".join(said)


def dcache_indented(files: Sequence[File]) -> bytes:
    return b"".join(
        line if line.startswith(b"/") and b"\t" not in line else b"\t" + line
        for line in dcache(files).splitlines(keepends=True)
    )


def syncat(files: Sequence[File]) -> bytes:
    head = b'<?xml version="1.0" encoding="UTF-8"?>\n<dump recorded="2026-01-02T03:04:05Z"><entry-set>\n'
    return head + b"".join(map(_entry, files)) + b"</entry-set></dump>\n"


def syncat_latin(files: Sequence[File]) -> bytes:
    """Write the bytes of names as they are, inside of another element and of a namespace, all in one line."""
    entries = b"".join(
        b"<s:entry name=%b><s:size>%d</s:size><s:last-modified>%d</s:last-modified></s:entry>"
        % (quoteattr(file.path.decode("latin-1")).encode("latin-1"), file.size, file.mtime)
        for file in files
    )
    head = b'<?xml version="1.0" encoding="iso-8859-1"?><s:cat xmlns:s="urn:x"><s:dump><s:entry-set>'
    return head + entries + b"</s:entry-set></s:dump></s:cat>"


def _entry(file: File) -> bytes:
    name = quoteattr(file.path.decode()).encode()
    return b"<entry name=%b><size>%d</size><ctime>%d</ctime><checksum>AD:%08x</checksum></entry>\n" % (
        *(name, file.size, file.mtime, file.checksum),
    )


def rclone(files: Sequence[File]) -> bytes:
    """Write as Go does: one object a line, paths that begin nowhere, and some characters escaped."""
    return _array(files, _rclone_object, "[\n", ",\n", "\n]\n")


def eos_json(files: Sequence[File]) -> bytes:
    return _array(files, _eos_object, "[", ", ", "]")


def eos_json_lines(files: Sequence[File]) -> bytes:
    return _array(files, _eos_object, "[\n", ",\n", "\n]\n")


def eos_json_pretty(files: Sequence[File]) -> bytes:
    return json.dumps([_eos_object(file) for file in files], indent=2).encode()


def _array(files: Iterable[File], of: Callable[[File], dict[str, object]], start: str, between: str, end: str) -> bytes:
    text = start + between.join(json.dumps(of(file), separators=(",", ":"), ensure_ascii=False) for file in files) + end
    return text.encode("utf-8", "surrogateescape")


def _rclone_object(file: File) -> dict[str, object]:
    return {
        "Path": file.path.decode("utf-8", "surrogateescape").removeprefix("/"),
        "Name": file.name.decode("utf-8", "surrogateescape"),
        "Size": file.size,
        "MimeType": "application/octet-stream",
        "ModTime": file.moment("%Y-%m-%dT%H:%M:%S").decode() + ".000000000Z",
        "IsDir": False,
    }


def _eos_object(file: File) -> dict[str, object]:
    return {
        "name": file.name.decode("utf-8", "surrogateescape"),
        "path": file.path.decode("utf-8", "surrogateescape"),
        "size": file.size,
        "mtime": file.mtime,
        "checksum": f"{file.checksum:08x}",
    }
