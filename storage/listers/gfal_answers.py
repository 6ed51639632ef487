"""What ``gfal-ls`` prints, byte by byte, and what it means when it fails.

Measured with gfal2-util 1.8.0 and gfal2 2.21.3. A line of ``-l`` ends with a tab before its newline; times are local
ones whatever their ``+0000`` says. It ends with the number of an errno, modulo 256, and says on stderr which; its own
usage error is 2 as well. Python's traceback (255) is what becomes of a name that is not UTF-8.
"""

from __future__ import annotations

import errno
import re
from calendar import timegm
from time import strptime

from engine import paths
from engine.columns import DirectoryColumns, FileColumns
from engine.listing import Failed, Listed, ListingOutcome, NamesListed, NamesOutcome, Present
from engine.states import Reason
from storage.listers.programs import Done

_LINE = re.compile(
    rb"(?P<kind>[-dbcfsl])[r-][w-][xsS-][r-][w-][xsS-][r-][w-][xtT-] +\d+ \d+ +\d+ +(?P<size>\d+) "
    rb"(?P<time>\d{1,4}-\d\d-\d\d \d\d:\d\d:\d\d)\.\d{6} \+0000 (?P<name>.+)\t",
    re.DOTALL,
)
_ERROR = re.compile(r"gfal-[a-z]+ error: (\d+) \((.*?)\) - (.*)", re.DOTALL)

_REASONS = {
    errno.EPERM: Reason.PERMISSION,
    errno.EACCES: Reason.PERMISSION,
    errno.ENOENT: Reason.NOT_FOUND,
    errno.ENOTDIR: Reason.NOT_A_DIRECTORY,
    errno.ENAMETOOLONG: Reason.BAD_NAME,
    errno.ETIME: Reason.TIMEOUT,
    errno.ETIMEDOUT: Reason.TIMEOUT,
} | dict.fromkeys(
    (
        *(errno.ECOMM, errno.ENETDOWN, errno.ENETUNREACH, errno.ENETRESET, errno.ECONNABORTED, errno.ECONNRESET),
        *(errno.ENOTCONN, errno.ESHUTDOWN, errno.ECONNREFUSED, errno.EHOSTDOWN, errno.EHOSTUNREACH),
    ),
    Reason.CONNECTION,
)

_DOTS = (b".", b"..")


def parse_listing(output: bytes, dots: bool) -> ListingOutcome:
    """Read the lines of ``gfal-ls -a -l``; with ``dots`` the protocol lists ``.`` and ``..`` too, and must.

    What is neither a file nor a directory is left out, where the protocol tells.
    """
    files: dict[bytes, tuple[bytes, int, int]] = {}
    directories: dict[bytes, int] = {}
    seen: set[bytes] = set()
    others = False
    for line in _lines(output):
        match = _LINE.fullmatch(line)
        if match is None or not _is_name(match["name"], dots) or match["name"] in seen:
            return _unreadable(line)
        name = match["name"]
        seen.add(name)
        if match["kind"] == b"-":
            files[name] = (name, int(match["size"]), _seconds(match["time"]))
        elif match["kind"] != b"d":
            others = True
        elif name not in _DOTS:
            directories[name] = _seconds(match["time"])
    if dots and not seen.issuperset(_DOTS):
        return Failed(Reason.PARTIAL, "a listing without '.' and '..'")
    return Listed(FileColumns.from_rows(files.values()), DirectoryColumns.from_rows(directories.items()), others=others)


def parse_names(output: bytes, dots: bool) -> NamesOutcome:
    """Read the lines of ``gfal-ls -a``; a name with a newline comes as two."""
    found: set[bytes] = set()
    for name in _lines(output):
        if not _is_name(name, dots) or name in found:
            return _unreadable(name)
        found.add(name)
    if dots and not found.issuperset(_DOTS):
        return Failed(Reason.PARTIAL, "a listing without '.' and '..'")
    return NamesListed(frozenset(found.difference(_DOTS)))


def parse_entry(output: bytes, url: bytes) -> Present | Failed:
    """Read the line of ``gfal-ls -d -l URL``."""
    match = _LINE.fullmatch(output.removesuffix(b"\n"))
    if match is None or match["name"] != url:
        return _unreadable(output)
    return Present(int(match["size"]), _seconds(match["time"]), match["kind"] == b"d")


def failure(done: Done) -> Failed | None:
    """Say why the output of a program that ended cannot be used; None when it can.

    `Reason.NOT_FOUND` is the errno of something that may be, but need not be, the path that was asked for.
    """
    if not done.status:
        return Failed(Reason.PARTIAL, f"gfal-ls said: {done.said}") if done.said else None
    match = _ERROR.search(done.said)
    if match is None or int(match[1]) % 256 != done.status:
        if "UnicodeDecodeError" in done.said or "UnicodeEncodeError" in done.said:
            return Failed(Reason.BAD_NAME, "gfal-ls cannot print a name that is not UTF-8")
        return Failed(Reason.SERVER, f"gfal-ls ended with {done.status}: {done.said[-300:]}")
    number, said = int(match[1]), f"{match[2]}: {match[3]}"
    if number == errno.EILSEQ:
        # What the plugin of XRootD has no errno for comes with XRootD's own words.
        return Failed(_by_words(match[3]), said)
    return Failed(_REASONS.get(number, Reason.SERVER), said)


def is_ambiguous(failed: Failed) -> bool:
    """Tell whether a failure is what XRootD's plugin makes of every error of a file system but three."""
    return failed.reason == Reason.SERVER and failed.detail.startswith("No such device")


def _by_words(said: str) -> Reason:
    if "permission denied" in said.lower():
        return Reason.PERMISSION
    return Reason.BAD_NAME if "Unknown error 303" in said else Reason.SERVER


def _lines(output: bytes) -> list[bytes]:
    return output.removesuffix(b"\n").split(b"\n") if output else []


def _is_name(name: bytes, dots: bool) -> bool:
    return bool(name) and b"/" not in name and (dots or name not in _DOTS)


def _seconds(text: bytes) -> int:
    return timegm(strptime(text.decode("ascii").zfill(19), "%Y-%m-%d %H:%M:%S"))


def _unreadable(line: bytes) -> Failed:
    return Failed(Reason.BAD_NAME, f"gfal-ls printed '{paths.escape(line[:300])}'")
