"""The cleaning of an unmerged area: which files, or which whole directories, may be deleted, and why the others stay.

Whatever is in doubt stays: what no complete listing shows, what has no known age, and what has a name under which a
server could take another file for it. Nothing here deletes.
"""

from __future__ import annotations

from array import array
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from enum import IntEnum, StrEnum

from engine import paths
from engine.columns import FileColumns, numbers
from engine.filters import PatternFilter
from engine.gates import Refusal, root_refusal
from engine.states import Reason, State
from engine.table import DirectoryTable

_LOG_ENDING = b".tar.gz"


class Mode(StrEnum):
    """What is deleted: single files, or only directories of which nothing has to stay."""

    FILES = "files"
    DIRECTORIES = "directories"


class Kept(IntEnum):
    """Why a file stays. The values are part of the database of kept files."""

    PROTECTED = 1
    AVOIDED = 2
    YOUNG = 3
    NO_AGE = 4
    BAD_NAME = 5
    UNLISTED = 6
    DIRECTORY_STAYS = 7

    @property
    def label(self) -> str:
        """The words that messages and the database use."""
        return _LABELS[self]


_LABELS = {
    Kept.PROTECTED: "protected",
    Kept.AVOIDED: "avoided",
    Kept.YOUNG: "too young",
    Kept.NO_AGE: "age unknown",
    Kept.BAD_NAME: "name that may stand for another file",
    Kept.UNLISTED: "unlisted",
    Kept.DIRECTORY_STAYS: "something else in its directory stays",
}

_DELETABLE = 0

_ORDINARY, _AVOIDED, _LOG = range(3)


class OutsideUnmerged(Exception):
    """Something that is not below the unmerged directory was about to be called deletable."""


@dataclass(frozen=True, slots=True)
class CleaningRules:
    """What may be deleted below ``root``.

    Paths are canonical. ``old_before`` and ``logs_old_before`` (seconds since the epoch) are the mtimes from which on a
    file, or a log, is too young. ``protected`` and ``avoided`` cover what is at or below them, by whole components.
    What is below ``logs`` is a log; where avoided and log directories lie below one another the deepest counts, and of
    two at the same place the log directory. A path that contains one of ``ignored`` stays. In names of
    ``longest_name`` bytes or more a listing may have cut something off. ``doubted`` are directories that hold more than
    their listing says.
    """

    root: bytes
    old_before: float
    logs_old_before: float
    protected: frozenset[bytes]
    avoided: frozenset[bytes] = frozenset()
    logs: frozenset[bytes] = frozenset()
    ignored: tuple[bytes, ...] = ()
    mode: Mode = Mode.FILES
    longest_name: int = 1 << 16
    doubted: frozenset[bytes] = frozenset()


@dataclass(frozen=True, slots=True)
class JudgedFiles:
    """The files of one directory; ``verdicts`` has one byte for each, 0 or the `Kept` that keeps it."""

    directory: bytes
    files: FileColumns
    verdicts: bytes
    are_logs: bool = False

    def deletable(self) -> FileColumns:
        """Give the files that may be deleted."""
        if not any(self.verdicts):
            return self.files
        return self.files.select([i for i, verdict in enumerate(self.verdicts) if verdict == _DELETABLE])

    def kept(self) -> Iterator[tuple[Kept, FileColumns]]:
        """Give the files that stay, by the reason."""
        for reason in sorted(set(self.verdicts) - {_DELETABLE}):
            chosen = [i for i, verdict in enumerate(self.verdicts) if verdict == reason]
            yield Kept(reason), self.files.select(chosen)

    def count_logs(self) -> int:
        """Count the logs among the files that may be deleted: what is in a log directory, and every ``.tar.gz``."""
        if self.are_logs:
            return self.verdicts.count(_DELETABLE)
        if _LOG_ENDING not in self.files.names:
            return 0
        named = zip(self.files.name_list(), self.verdicts, strict=True)
        return sum(verdict == _DELETABLE and name.endswith(_LOG_ENDING) for name, verdict in named)


@dataclass(frozen=True, slots=True)
class WholeDirectory:
    """A directory that may go with everything in it: how many files that deletes, and how many bytes it frees."""

    path: bytes
    files: int
    size: int


class Cleaning:
    """The rules applied to a listing. Files are read once more with each pass over them, and are never all in memory.

    Raises:
        OutsideUnmerged: while it is iterated over: a path that would be deletable is outside.
    """

    def __init__(self, table: DirectoryTable, rules: CleaningRules) -> None:
        self._table = table
        self._rules = rules
        self._ignored = PatternFilter(rules.ignored)
        self._blind = table.blind_rows()
        self._leave_loops()
        self._rule = bytearray(len(table))
        self._covered = bytearray(len(table))
        self._lay_out()
        self._protected_names = _by_directory(rules.protected)
        self._avoided_names = _by_directory(rules.avoided)
        self._parents = _parents(table)
        self._goes = self._whole_rows() if rules.mode == Mode.DIRECTORIES else b""

    def _lay_out(self) -> None:
        """Mark for each row which rule it is under, and whether it is protected."""
        kinds = [(path, _AVOIDED) for path in self._rules.avoided] + [(path, _LOG) for path in self._rules.logs]
        for path, kind in sorted(kinds, key=lambda item: (paths.depth_of(item[0]), item[1])):
            here = self._table.rows_under(path)
            self._rule[here] = bytes((kind,)) * (here.stop - here.start)
        for path in self._rules.protected:
            here = self._table.rows_under(path)
            self._covered[here] = b"\1" * (here.stop - here.start)

    def _leave_loops(self) -> None:
        """Take everything beside a directory that is a link, or too deep, for unlisted.

        That may be a link that leads back up. Below that are other files under further names, which no prefix covers.
        """
        root = self._rules.root
        for row in self._table.rows_but(State.LISTED):
            if self._table.reasons[row] not in (Reason.DEPTH, Reason.LINK):
                continue
            path = self._table.paths[row]
            if paths.is_under(path, root) and path != root:
                top = paths.join(root, path.removeprefix(paths.join(root, b"")).partition(b"/")[0])
            else:
                top = next((log for log in self._rules.logs if paths.is_under(path, log)), path)
            here = self._table.rows_under(top)
            self._blind[here] = array("q", (row,)) * (here.stop - here.start)

    @property
    def by_file(self) -> bool:
        """Whether files are deleted one by one, and not directories whole."""
        return self._rules.mode == Mode.FILES

    def files(self) -> Iterator[JudgedFiles]:
        """Judge every file, by directory, in tree order."""
        table, whole = self._table, self._goes
        for row in range(len(table)):
            if not table.files[row]:
                continue
            judged = self._judge(row)
            if whole and not whole[row] and self._rule[row] != _LOG:
                stays = bytes((Kept.DIRECTORY_STAYS,))
                judged = JudgedFiles(judged.directory, judged.files, judged.verdicts.replace(b"\0", stays))
            if _DELETABLE in judged.verdicts:
                self._must_be_inside(judged)
            yield judged

    def whole_directories(self) -> Iterator[WholeDirectory]:
        """Give the highest directories that may go with everything in them, in tree order."""
        table, goes = self._table, self._goes
        for row in range(len(goes)):
            parent = self._parents[row]
            if goes[row] and not (parent >= 0 and goes[parent]):
                self._must_be_below_root(table.paths[row])
                here = table.rows_under(table.paths[row])
                yield WholeDirectory(table.paths[row], sum(table.files[here]), sum(table.sizes[here]))

    def directories_to_remove(self) -> Iterator[bytes]:
        """Give all directories that go, in an order in which, without their files, a plain ``rmdir`` removes each."""
        for row in range(len(self._goes) - 1, -1, -1):
            if self._goes[row]:
                yield self._table.paths[row]

    def listed_entries(self) -> Iterator[tuple[bytes, list[bytes]]]:
        """Give each directory that would go, and all names that its listing has, to be compared with the store's."""
        inside: dict[int, list[bytes]] = {}
        for row in range(len(self._goes)):
            if self._goes[row] and self._parents[row] >= 0:
                inside.setdefault(self._parents[row], []).append(paths.name_of(self._table.paths[row]))
        for row in range(len(self._goes)):
            if self._goes[row]:
                names = self._table.load(row).name_list() if self._table.files[row] else []
                yield self._table.paths[row], names + inside.get(row, [])

    def _judge(self, row: int) -> JudgedFiles:
        """Judge the files of one directory by themselves."""
        files, path = self._table.load(row), self._table.paths[row]
        for_all = self._reason_of_all(row)
        logs = self._rule[row] == _LOG
        if for_all:
            return JudgedFiles(path, files, bytes((for_all,)) * len(files), logs)
        limit = self._rules.logs_old_before if logs else self._rules.old_before
        # An mtime of 0 or less is what stores give that know none.
        verdicts = bytearray(
            [Kept.NO_AGE if mtime <= 0 else _DELETABLE if mtime < limit else Kept.YOUNG for mtime in _mtimes(files)]
        )
        for position, reason in self._reasons_by_name(row, files):
            verdicts[position] = reason
        return JudgedFiles(path, files, bytes(verdicts), logs)

    def _reason_of_all(self, row: int) -> Kept | None:
        """Say why everything in a directory stays."""
        path = self._table.paths[row]
        if self._blind[row] >= 0:
            return Kept.UNLISTED
        if self._covered[row]:
            return Kept.PROTECTED
        if self._rule[row] == _AVOIDED or self._ignored(path):
            return Kept.AVOIDED
        # A server cuts a path at a question mark, so this one would lead it somewhere else.
        return Kept.BAD_NAME if b"?" in path or self._is_cut(path) else None

    def _reasons_by_name(self, row: int, files: FileColumns) -> Iterator[tuple[int, Kept]]:
        """Give positions of files and why their names keep them, the weightiest reason for each last."""
        path, longest = self._table.paths[row], self._rules.longest_name
        names = files.name_list()
        if b"?" in files.names or max(map(len, names), default=0) >= longest:
            yield from ((i, Kept.BAD_NAME) for i, name in enumerate(names) if b"?" in name or len(name) >= longest)
        if self._ignored:
            yield from ((i, Kept.AVOIDED) for i, name in enumerate(names) if self._ignored(paths.join(path, name)))
        for reason, by_directory in ((Kept.AVOIDED, self._avoided_names), (Kept.PROTECTED, self._protected_names)):
            chosen = by_directory.get(path)
            if chosen:
                yield from ((i, reason) for i, name in enumerate(names) if name in chosen)

    def _is_cut(self, path: bytes) -> bool:
        longest = self._rules.longest_name
        return len(path) >= longest and max(map(len, path.split(b"/"))) >= longest

    def _whole_rows(self) -> bytes:
        """Mark the rows whose whole subtree may go: nothing at or below them stays."""
        table, rules = self._table, self._rules
        stays = bytearray(len(table))
        has_files = bytearray(len(table))
        above = _above([*rules.protected, *rules.avoided, *rules.logs])
        for row in range(len(table) - 1, -1, -1):
            path, parent = table.paths[row], self._parents[row]
            has_files[row] |= bool(table.files[row])
            if not stays[row]:
                stays[row] = (
                    path in above
                    or path in rules.doubted
                    or self._rule[row] != _ORDINARY
                    or path == rules.root
                    or not paths.is_under(path, rules.root)
                    or self._reason_of_all(row) is not None
                    # Whoever made an empty directory may be about to put something in.
                    or (not has_files[row] and not 0 < table.mtimes[row] < rules.old_before)
                    or (bool(table.files[row]) and any(self._judge(row).verdicts))
                )
            if parent >= 0:
                stays[parent] |= stays[row]
                has_files[parent] |= has_files[row]
        return bytes([not stay for stay in stays])

    def _must_be_inside(self, judged: JudgedFiles) -> None:
        names = judged.files.name_list()
        if b"/" in judged.files.names or not {b"", b".", b".."}.isdisjoint(names):
            raise OutsideUnmerged(f"{paths.escape(judged.directory)}: a file name in its listing leads elsewhere")
        if not judged.are_logs:
            self._must_be_below_root(judged.directory)

    def _must_be_below_root(self, path: bytes) -> None:
        root = self._rules.root
        try:
            inside = paths.is_under(paths.canonical(path), root)
        except ValueError:
            inside = False
        if not inside:
            raise OutsideUnmerged(f"{paths.escape(path)} would be deletable and is not below {paths.escape(root)}")


def list_gate(protected: Iterable[bytes], root: bytes) -> Refusal | None:
    """Refuse a protected list that has nothing to do with the unmerged directory: it is that of another place."""
    if any(paths.is_under(path, root) or paths.is_under(root, path) for path in protected):
        return None
    return Refusal("protected-list", f"nothing in the protected list has to do with {paths.escape(root)}")


def root_gate(table: DirectoryTable, root: bytes) -> Refusal | None:
    """Refuse a listing in which the unmerged directory itself has no complete listing."""
    row = table.find(root)
    if row is not None and table.states[row] == State.LISTED:
        return None
    reason = Reason.NEVER_REACHED if row is None else table.reason(row)
    return root_refusal([(root, reason, "" if row is None else table.details.get(row, ""))])


def fraction_gate(deletable: int, files: int, most: float) -> Refusal | None:
    """Refuse a result that would delete more than a fraction (0 to 1) of all files."""
    if deletable <= most * files:
        return None
    return Refusal("fraction", f"{deletable} of {files} files would be deletable, more than {most:g} of them")


def _by_directory(chosen: Iterable[bytes]) -> dict[bytes, set[bytes]]:
    """Sort paths by the directory that holds them, since each may be a file as well."""
    names: dict[bytes, set[bytes]] = {}
    for path in chosen:
        parent = paths.parent_of(path)
        if parent is not None:
            names.setdefault(parent, set()).add(paths.name_of(path))
    return names


def _above(chosen: Iterable[bytes]) -> set[bytes]:
    """Give everything above some paths."""
    above: set[bytes] = set()
    for path in chosen:
        parent = paths.parent_of(path)
        while parent is not None and parent not in above:
            above.add(parent)
            parent = paths.parent_of(parent)
    return above


def _parents(table: DirectoryTable) -> list[int]:
    """Give for each row that of the nearest directory above it that has one; -1 for a top."""
    parents: list[int] = []
    open_rows: list[int] = []
    for row, path in enumerate(table.paths):
        while open_rows and not paths.is_under(path, table.paths[open_rows[-1]]):
            open_rows.pop()
        parents.append(open_rows[-1] if open_rows else -1)
        open_rows.append(row)
    return parents


def _mtimes(files: FileColumns) -> list[int]:
    return numbers(files.mtimes).tolist()
