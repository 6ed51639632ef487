"""Snapshots and journals that were damaged: what is read is what was written, or it is refused."""

from __future__ import annotations

import random
from pathlib import Path
from typing import Any

import msgpack

from engine.columns import UNKNOWN_MTIME
from engine.paths import join
from engine.states import Reason, State
from engine.table import DirectoryTable
from storage.frames import make_frame
from storage.snapshot import MAGIC, Snapshot, SnapshotError, SnapshotHeader, SnapshotWriter, part_of
from tests.fuzz.damage import damaged
from tests.storage.snapshots import FRAME, RECORDS, TRAILER, files, frames_of, listed, rows_of

HEADERS = (
    SnapshotHeader("listing", "root://door:1094", 1_700_000_000, "T2_SITE", (b"/store",), {"note": "größe"}),
    SnapshotHeader("inventory", "\udcff.txt", 1, "", ()),
)
_ODD: tuple[Any, ...] = (
    None,
    0,
    -1,
    1,
    4,
    16,
    255,
    2**31,
    2**62,
    1.5,
    "",
    "x",
    b"",
    b"/x",
    b"\0",
    b"\xff" * 8,
    [],
    {},
    True,
)

Row = tuple[object, ...]


def _other_records(chance: random.Random) -> list[Any]:
    """Make a small tree."""
    known, records = [b"/store"], []
    for number in range(chance.choice((1, 4, 12))):
        parent = chance.choice(known)
        known.append(join(parent, b"d%d" % number))
    for path in known:
        children = [(other[len(path) + 1 :], 5) for other in known if other.rpartition(b"/")[0] == path]
        rows = [(b"f%d" % n, n, 1_600_000_000 + n) for n in range(chance.choice((0, 1, 3)))]
        records.append(listed(path, files(*rows), *children))
    return records


class Base:
    """A sound file: its bytes, finished and not, and what a reader gives."""

    def __init__(self, directory: Path, header: SnapshotHeader, records: list[Any]) -> None:
        path = directory / "base"
        writer = SnapshotWriter(path, header)
        for record in records:
            writer.append(record)
        writer.flush()
        self.part = writer.part.read_bytes()
        writer.finish()
        self.whole = path.read_bytes()
        self.header = header
        snapshot = Snapshot(path)
        self.rows = rows_of(snapshot.table)
        snapshot.close()
        path.unlink()


class SnapshotFuzzer:
    """Damages finished files and parts, as bytes, frame by frame, and inside frames with the right checksum."""

    name = "snapshots"

    def __init__(self, directory: Path) -> None:
        chance = random.Random(1)
        trees = [RECORDS, *(_other_records(chance) for _ in range(6))]
        self._bases = [Base(directory, HEADERS[n % 2], records) for n, records in enumerate(trees)]
        self._wholes = [base.whole for base in self._bases]
        self._parts = [base.part for base in self._bases]
        self._path = directory / "tried"
        self._part = part_of(self._path)

    def try_one(self, chance: random.Random) -> str:
        """Try one damaged file."""
        base = chance.choice(self._bases)
        kind = chance.randrange(4)
        if kind == 0:
            return self._try_whole(damaged(chance, base.whole, self._wholes))
        if kind == 1:
            return self._try_part(damaged(chance, base.part, self._parts))
        if kind == 2:
            return self._try_part(self._reshuffled(chance, base.part))
        return self._try_nonsense(chance, self._with_nonsense(chance, base))

    def _try_whole(self, content: bytes) -> str:
        self._path.write_bytes(content)
        try:
            snapshot = Snapshot(self._path)
        except SnapshotError:
            return "refused"
        table = snapshot.table
        try:
            assert snapshot.header in HEADERS, "a header that nobody wrote"
            # Everything but the files is the index's, and that is one of those that were written, as a whole.
            columns = _columns(table)
            (base, *_) = [one for one in self._bases if [row[:-1] for row in one.rows] == columns]
            damage = 0
            for row, expected in enumerate(base.rows):
                try:
                    assert table.load(row) == expected[-1], "files that nobody wrote"
                except SnapshotError:
                    damage += 1
            try:
                snapshot.verify()
                assert not damage, "verified, and damaged"
            except SnapshotError:
                pass
            return "partly read" if damage else "read"
        finally:
            snapshot.close()

    def _try_part(self, content: bytes) -> str:
        self._part.write_bytes(content)
        try:
            snapshot = Snapshot(self._part)
        except SnapshotError:
            self._check_resume(content, None, 0)
            return "part refused"
        try:
            expected, end = _surviving(content)
            assert len(content) - end == snapshot.lost, "lost says something else than is lost"
            found = {row[0]: (row[1], row[2], row[8], row[10]) for row in rows_of(snapshot.table)}
            assert found == expected, "a part gives something else than its whole frames hold"
            _use(snapshot.table)
        finally:
            snapshot.close()
        self._check_resume(content, set(expected), end)
        return "part read" if snapshot.lost == 0 else "part read up to its damage"

    def _check_resume(self, content: bytes, paths: set[bytes] | None, end: int) -> None:
        try:
            writer = SnapshotWriter.resume(self._path)
        except SnapshotError:
            assert paths is None, "a part that can be read cannot be gone on with"
            assert self._part.read_bytes() == content, "what was refused was changed"
            return
        known = {path for state in State for path in writer.index.in_state(state)}
        writer.close()
        assert paths is not None, "a part that cannot be read is gone on with"
        assert known == paths
        assert self._part.read_bytes() == content[:end]

    def _reshuffled(self, chance: random.Random, part: bytes) -> bytes:
        """Drop, repeat, swap and mix whole frames, behind the header."""
        head, *frames = [part[start:end] for start, end in frames_of(part)]
        other = chance.choice(self._parts)
        more = [other[start:end] for start, end in frames_of(other)][1:]
        for _ in range(chance.choice((1, 2, 5))):
            if frames:
                frames.pop(chance.randrange(len(frames)))
            frames.insert(chance.randint(0, len(frames)), chance.choice(more))
        if chance.random() < 0.5:
            chance.shuffle(frames)
        return MAGIC + head + b"".join(frames)

    def _with_nonsense(self, chance: random.Random, base: Base) -> tuple[bytes, bool]:
        """Put odd values into a frame and give it the right checksum; tells whether the file is a finished one."""
        content = base.whole
        spans = frames_of(content)
        chosen = chance.choice((0, len(spans) - 1, chance.randrange(len(spans))))
        start, end = spans[chosen]
        kind = content[start]
        fields = msgpack.unpackb(
            content[start + FRAME.size : end], strict_map_key=False, unicode_errors="surrogateescape"
        )
        for _ in range(chance.choice((1, 1, 3))):
            fields = _odd(chance, fields)
        frame = make_frame(kind, msgpack.packb(fields, unicode_errors="surrogateescape"))
        if kind != 3 and chance.random() < 0.5:
            return base.part[:start] + frame + base.part[end:], False
        if kind == 3:
            return content[:start] + frame + TRAILER.pack(start, b"DYNCEND\x01"), True
        # The index keeps pointing to the right places as long as the frame is as long as before.
        index = spans[-1][0]
        shift = len(frame) - (end - start)
        tail = content[end:index] + content[index : -TRAILER.size] + TRAILER.pack(index + shift, b"DYNCEND\x01")
        return content[:start] + frame + tail, True

    def _try_nonsense(self, _chance: random.Random, made: tuple[bytes, bool]) -> str:
        """Read what is in order on the outside and senseless inside: it may be refused, and may not go wrong later."""
        content, whole = made
        path = self._path if whole else self._part
        path.write_bytes(content)
        try:
            snapshot = Snapshot(path)
        except SnapshotError:
            return "nonsense refused"
        try:
            _use(snapshot.table)
            assert isinstance(snapshot.header.kind, str)
            assert isinstance(snapshot.header.created, int)
            assert all(isinstance(top, bytes) for top in snapshot.header.tops)
            if whole:
                snapshot.verify()
        except SnapshotError:
            return "nonsense found out"
        finally:
            snapshot.close()
        return "nonsense read"


def _columns(table: DirectoryTable) -> list[Row]:
    return [
        (
            table.paths[row],
            table.state(row),
            table.reason(row),
            table.details.get(row, ""),
            table.digest(row),
            table.files[row],
            table.sizes[row],
            table.newest[row],
            table.mtimes[row],
            table.listed_at[row],
        )
        for row in range(len(table))
    ]


def _use(table: DirectoryTable) -> None:
    """Do what readers of a table do."""
    for row, path in enumerate(table.paths):
        assert isinstance(path, bytes)
        assert isinstance(table.details.get(row, ""), str)
        table.state(row), table.reason(row)
        assert len(table.digest(row)) == 16
        held = table.load(row)
        assert len(held.rows()) == len(held) == len(held.name_list())
        assert len(held.block_list()) in (0, len(held))
        held.total_size(), held.newest(), held.digest()
    table.blind_rows(), table.empty_rows(), list(table.unlisted()), table.total_size()


def _surviving(content: bytes) -> tuple[dict[bytes, tuple[object, ...]], int]:
    """Work out from ``docs/formats.md`` what the whole frames at the start of a part hold, and where they end."""
    found: dict[bytes, list[object]] = {}
    end = 0
    for start, behind in frames_of(content):
        if content[start] == 1 and not end:
            end = behind
            continue
        if content[start] != 2:
            break
        fields = msgpack.unpackb(content[start + FRAME.size : behind], use_list=False)
        path, state, reason, _, _, names, sizes, mtimes, blocks, directories, times = fields
        row = found.setdefault(path, [0, 0, UNKNOWN_MTIME, None])
        row[0], row[1], row[3] = State(state), Reason(reason), (names, sizes, mtimes, blocks)
        for number, name in enumerate(directories.split(b"\0") if times else ()):
            child = found.setdefault(join(path, name), [State.UNFILLED, Reason.NEVER_REACHED, UNKNOWN_MTIME, None])
            child[2] = int.from_bytes(times[8 * number : 8 * number + 8], "little", signed=True)
        end = behind
    return {path: (row[0], row[1], row[2], files_of(row[3])) for path, row in found.items()}, end


def files_of(columns: Any) -> Any:
    from engine.columns import NO_FILES, FileColumns

    return NO_FILES if columns is None else FileColumns(*columns)


def _odd(chance: random.Random, value: Any) -> Any:
    """Change something in a value, somewhere inside."""
    if isinstance(value, dict) and value and chance.random() < 0.95:
        key = chance.choice(sorted(value, key=repr))
        if chance.random() < 0.1:
            return {other: inner for other, inner in value.items() if other != key}
        return {**value, key: _odd(chance, value[key])}
    if isinstance(value, list) and value and chance.random() < 0.95:
        at = chance.randrange(len(value))
        return [*value[:at], _odd(chance, value[at]), *value[at + 1 :]]
    if isinstance(value, bytes) and chance.random() < 0.7:
        return damaged(chance, value, (b"/store", bytes(8), b"a\0b"))
    if isinstance(value, int) and chance.random() < 0.5:
        return value + chance.choice((-1, 1, 2**33, -(2**33)))
    return chance.choice(_ODD)
