"""The files that a run writes: lists for people, one name a line, and next to them an exact form for programs.

Every file is there whole or not at all (`storage.atomic`). Lists keep the order in which findings arrive, which is tree
order.
"""

from __future__ import annotations

from array import array
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from enum import Enum
from functools import cache, lru_cache
from pathlib import Path
from types import TracebackType

from engine import paths
from engine.columns import UNKNOWN_MTIME, UNKNOWN_SIZE, FileColumns
from engine.findings import Finding, Kind
from engine.states import Reason
from storage.atomic import AtomicFile, naming, sync_directory
from storage.atomic import ReportError as ReportError


class Report(Enum):
    """The lists of a run."""

    MISSING = "missing"
    ORPHAN = "orphan"
    SIZE_MISMATCH = "size_mismatch"
    CHECKSUM_MISMATCH = "checksum_mismatch"
    EMPTY = "empty"
    UNLISTED = "unlisted"


_REPORTS = {
    Kind.MISSING: Report.MISSING,
    Kind.ORPHAN: Report.ORPHAN,
    Kind.SIZE_MISMATCH: Report.SIZE_MISMATCH,
    Kind.CHECKSUM_MISMATCH: Report.CHECKSUM_MISMATCH,
    Kind.EMPTY: Report.EMPTY,
}


@dataclass(frozen=True, slots=True)
class Layout:
    """The endings of the lists that there are, put after the base, and whether each has its exact form."""

    endings: dict[Report, str]
    exact: bool

    def texts(self, directory: Path, base: str) -> dict[Report, Path]:
        """Name the lists for people."""
        return {report: directory / f"{base}{ending}.txt" for report, ending in self.endings.items()}


RUN_LAYOUT = Layout(
    {
        Report.MISSING: "_compare_missing",
        Report.ORPHAN: "_compare_orphan",
        Report.SIZE_MISMATCH: "_compare_size_mismatch",
        Report.EMPTY: "_empty",
        Report.UNLISTED: "_unlisted",
    },
    exact=True,
)
"""What a run of a site writes to the web directory; the base is the site."""

CHECKSUM_LAYOUT = replace(
    RUN_LAYOUT, endings={**RUN_LAYOUT.endings, Report.CHECKSUM_MISMATCH: "_compare_checksum_mismatch"}
)
"""The same of a run that compares checksums."""

QUICK_LAYOUT = Layout(
    {
        Report.MISSING: "_missing",
        Report.ORPHAN: "_orphan",
        Report.SIZE_MISMATCH: "_size_mismatch",
    },
    exact=False,
)
"""What a quick comparison writes."""


class ReportSet:
    """All lists of one run, which are published together, or never.

    A list is a ``.txt``; its exact form stands next to it as a ``.jsonl``. `commit` is `prepare` and `publish`, between
    which something else may have to be done.

    Raises:
        ReportError: the directory cannot be made or written, the base is no file name, or a directory stands where a
            list should go. This is found out before anything is listed.
    """

    def __init__(self, directory: Path, base: str, layout: Layout = RUN_LAYOUT) -> None:
        if not base or "/" in base or "\0" in base:
            raise ReportError(f"{directory}: {base!r} cannot begin the name of a report")
        self._directory = directory
        self._lists = layout.texts(directory, base)
        self._exact = layout.exact
        self._files: dict[Path, AtomicFile] = {}
        self._over = False
        with naming(directory):
            directory.mkdir(parents=True, exist_ok=True)
        for path in self.paths():
            if path.is_dir():
                raise ReportError(f"{path}: cannot be written: it is a directory")
            AtomicFile.clear_up(path)
        # A long run must not leave half-written files behind when it is killed, so they are opened with the first
        # finding, and whether they can be is tried here.
        AtomicFile(self.paths()[0]).discard()

    def paths(self) -> list[Path]:
        """Name the files that `commit` writes."""
        return _with_exact_forms(self._lists.values(), self._exact)

    def add(self, findings: Iterable[Finding]) -> None:
        """Append findings to the lists of their kinds."""
        for finding in findings:
            self._write(_REPORTS[finding.kind], _text_lines(finding), _exact_lines(finding))

    def add_unlisted(self, rows: Iterable[tuple[bytes, Reason, str]]) -> None:
        """Append directories that have no complete listing, with reason and detail."""
        quote = _quoting()
        for path, reason, detail in rows:
            words = paths.escape(detail.encode("utf-8", "backslashreplace"))
            exact = exact_path(path) + f', "reason": {quote(reason.label)}, "detail": {quote(detail)}}}\n'
            self._write(Report.UNLISTED, [f"{paths.escape(path)}\t{reason.label}\t{words}\n"], [exact])

    def prepare(self) -> dict[str, list[int]]:
        """Bring every list to the disk, empty ones too, without giving it its name; gives for `take_up` which they are.

        Raises:
            ReportError: a file could not be written; everything is discarded.
        """
        try:
            for path in self.paths():
                self._file(path).finish()
            # A machine that fails must not lose the names under which `take_up` looks for them.
            sync_directory(self._directory)
            return {path.name: self._file(path).identity for path in self.paths()}
        except BaseException:
            self.discard()
            raise

    def publish(self) -> list[Path]:
        """Give what was prepared its names, one after another; gives the paths.

        Raises:
            ReportError: a rename failed; those before it are done, those behind it are left for `take_up`.
        """
        try:
            for path in self.paths():
                self._file(path).publish()
            sync_directory(self._directory)
        except ReportError:
            for file in self._files.values():
                file.leave()
            raise
        finally:
            self.discard()
        return self.paths()

    def commit(self) -> list[Path]:
        """Prepare and publish; gives the paths."""
        self.prepare()
        return self.publish()

    def discard(self) -> None:
        """Remove what is not published; nothing can be added any more."""
        self._over = True
        for file in self._files.values():
            file.discard()
        self._files.clear()

    def __enter__(self) -> ReportSet:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Discard whatever was not committed."""
        self.discard()

    def _file(self, path: Path) -> AtomicFile:
        assert not self._over, "used after commit or discard"
        if path not in self._files:
            self._files[path] = AtomicFile(path)
        return self._files[path]

    def _write(self, report: Report, text: Iterable[str], exact: Iterable[str]) -> None:
        path = self._lists.get(report)
        if path is None:
            return
        self._file(path).write("".join(text))
        if self._exact:
            self._file(path.with_suffix(".jsonl")).write("".join(exact))


def take_up(
    directory: Path, base: str, prepared: Mapping[str, list[int]], layout: Layout = RUN_LAYOUT
) -> list[Path] | None:
    """Give the lists that a `ReportSet` had prepared, and maybe not all published, their names; gives the paths.

    None when one of them is gone, or another file has its name. A run that compared checksums had a list of them.

    Raises:
        ReportError: a rename failed.
    """
    of_checksums = CHECKSUM_LAYOUT.texts(directory, base)[Report.CHECKSUM_MISMATCH].name
    if layout is RUN_LAYOUT and of_checksums in prepared:
        layout = CHECKSUM_LAYOUT
    lists = _with_exact_forms(layout.texts(directory, base).values(), layout.exact)
    if not all(AtomicFile.take_up(path, prepared.get(path.name, [])) for path in lists):
        return None
    sync_directory(directory)
    return lists


def _with_exact_forms(texts: Iterable[Path], exact: bool) -> list[Path]:
    return [path for text in texts for path in (text, text.with_suffix(".jsonl"))[: 1 + exact]]


_LINE_ENDS = {ord(end): f"\\u{ord(end):04x}" for end in "\x85\u2028\u2029"}


@cache
def _quoting() -> Callable[[str], str]:
    # The lists of a quick comparison have no exact form, so that JSON need not be loaded for them.
    import json

    encode = json.JSONEncoder(ensure_ascii=False).encode

    def quote(text: str) -> str:
        quoted = encode(text)
        # JSON may hold these as they are, but many a program takes each for the end of a line.
        return quoted if quoted.isascii() else quoted.translate(_LINE_ENDS)

    return quote


@lru_cache(maxsize=2)
def _printable_prefix(directory: bytes) -> str:
    # What is missing from a directory and what is one too many there are reported one after the other.
    return paths.escape(paths.join(directory, b""))


def _printable_paths(directory: bytes, files: FileColumns) -> str:
    """Give one path a line, without the last line's end, all escaped at once.

    A slash is in no name and is never escaped, so it can hold the names apart meanwhile.
    """
    prefix = _printable_prefix(directory)
    if b" \0" in files.names or files.names.endswith(b" "):
        return "\n".join([prefix + paths.escape(name) for name in files.name_list()])
    return prefix + paths.escape(files.names.replace(b"\0", b"/")).replace("/", f"\n{prefix}")


def _text_lines(finding: Finding) -> Iterable[str]:
    if finding.kind == Kind.EMPTY:
        return [f"{paths.escape(finding.directory)}\n"]
    if not finding.files:
        return []
    lines = _printable_paths(finding.directory, finding.files)
    if finding.kind == Kind.CHECKSUM_MISMATCH:
        pairs = zip(lines.split("\n"), finding.checksums, strict=True)
        return [f"{path}\t{expected}\t{found}\n" for path, (expected, found) in pairs]
    if finding.kind != Kind.SIZE_MISMATCH:
        return [lines, "\n"]
    sizes, remote_sizes = array("q", finding.files.sizes), array("q", finding.remote_sizes)
    rows = zip(lines.split("\n"), sizes, remote_sizes, strict=True)
    return [f"{path}\t{size}\t{remote}\n" for path, size, remote in rows]


def _exact_lines(finding: Finding) -> Iterator[str]:
    """Give one JSON object a line; a size or mtime that is not known is null."""
    if finding.kind == Kind.EMPTY:
        yield f'{exact_path(finding.directory)}, "mtime": {_known(finding.mtime, UNKNOWN_MTIME)}}}\n'
        return
    files = finding.files
    remote_sizes = array("q", finding.remote_sizes) if finding.kind == Kind.SIZE_MISMATCH else None
    heads = _exact_paths(finding.directory, files)
    for row, (head, size, mtime) in enumerate(
        zip(heads, array("q", files.sizes), array("q", files.mtimes), strict=True)
    ):
        remote = f', "remote_size": {remote_sizes[row]}' if remote_sizes else ""
        if finding.checksums:
            expected, found = map(_quoting(), finding.checksums[row])
            remote = f', "checksum": {expected}, "remote_checksum": {found}'
        yield f'{head}, "size": {_known(size, UNKNOWN_SIZE)}{remote}, "mtime": {_known(mtime, UNKNOWN_MTIME)}}}\n'


def _known(value: int, unknown: int) -> int | str:
    return "null" if value == unknown else value


def _exact_paths(directory: bytes, files: FileColumns) -> list[str]:
    """Begin the objects of all files of a directory; names that are valid UTF-8 are quoted in one go."""
    prefix = paths.join(directory, b"")
    try:
        head = '{"path": ' + _quoting()(prefix.decode())[:-1]
        quote = _quoting()
        return [f'{head}{name}"' for name in quote(files.names.decode().replace("\0", "/"))[1:-1].split("/")][
            : len(files)
        ]
    except UnicodeDecodeError:
        return [exact_path(prefix + name) for name in files.name_list()]


def exact_path(path: bytes) -> str:
    """Begin an object; what is not valid UTF-8 is shown with replacement characters, and exactly in base64."""
    try:
        return f'{{"path": {_quoting()(path.decode())}'
    except UnicodeDecodeError:
        import base64

        shown = _quoting()(path.decode("utf-8", "replace"))
        return f'{{"path": {shown}, "path_b64": "{base64.b64encode(path).decode()}"'
