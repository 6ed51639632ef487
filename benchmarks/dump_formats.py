"""Reading dumps of other programs into snapshots, on one core, a row for each format.

``python -m benchmarks.dump_formats [--lines N] [--form FORM]…`` prints microseconds of CPU a line. Each dump is read in
a fresh program, in turn with a plain list of paths and sizes of the same files, which is the peer.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from itertools import groupby
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory

from benchmarks.inventory_lines import directory_rows
from benchmarks.measure import Broken, Command, Cost, Measured, Row, measure
from benchmarks.names import WRITTEN
from storage.inventory import read_inventory
from storage.snapshot import SnapshotHeader, SnapshotWriter

LINES = 5_000_000
QUICK_LINES = 200_000
RUNS = 3
PEER = "sizes"

File = tuple[bytes, bytes, int, int]
"""Directory, name, size, mtime."""

_MOMENT = b"2026-01-02 03:04:05"
_EOS_REST = (
    b" ctime=1700000000.5 btime=1700000000.1 clock=0 mode=0644 uid=1 gid=1 fxid=19ab8b68 fid=430672744 "
    b"ino=115607834422411264 pid=1713958 pxid=001a2726 xstype=adler xs=a2dfcdf9\n"
)


def _lines(template: bytes, pick: Callable[[File], tuple[object, ...]]) -> Callable[[Iterable[File]], Iterator[bytes]]:
    return lambda files: (template % pick(file) for file in files)


def _elements(
    head: bytes, template: bytes, pick: Callable[[File], tuple[object, ...]], between: bytes, end: bytes
) -> Callable[[Iterable[File]], Iterator[bytes]]:
    def write(files: Iterable[File]) -> Iterator[bytes]:
        yield head
        for number, file in enumerate(files):
            yield (between if number else b"") + template % pick(file)
        yield end

    return write


def _dcache(files: Iterable[File]) -> Iterator[bytes]:
    for directory, below in groupby(files, key=lambda file: file[0]):
        yield directory + b"\n"
        for _, name, size, mtime in below:
            yield b"%b\t0000000000000000000000000000000000C9\t%08x\t%d\t%d\tpool1,\n" % (name, size, size, mtime)


_XML = b'<entry name="%b/%b"><size>%d</size><ctime>%d</ctime><checksum>AD:%08x</checksum></entry>'
_XML_HEAD, _XML_END = b'<dump recorded="2026-01-02T03:04:05Z"><entry-set>', b"</entry-set></dump>\n"
_JSON = (
    b'{"Path":"%b/%b","Name":"%b","Size":%d,"MimeType":"application/octet-stream",'
    b'"ModTime":"2026-01-02T03:04:05.000000000Z","IsDir":false}'
)


def _whole(file: File) -> tuple[object, ...]:
    return (*file, file[2])


def _json(file: File) -> tuple[object, ...]:
    return (file[0][1:], file[1], file[1], file[2])


WRITERS: Mapping[str, Callable[[Iterable[File]], Iterator[bytes]]] = {
    PEER: _lines(b"%b/%b %d\n", lambda file: file[:3]),
    "pipe": _lines(b"%b/%b|%d|%d|%08x\n", _whole),
    "ral": _lines(b"%b/%b %d %d\n", lambda file: (*file[:3], file[3] // 86400)),
    "rucio": _lines(
        b"T2_X\tmc\t%b\t%08x\t%d\t" + _MOMENT + b"\t%b/%b\t" + _MOMENT + b"\tA\n",
        lambda file: (file[1], file[2], file[2], file[0], file[1]),
    ),
    "rucio without paths": _lines(
        b"T2_X\t%b\t%b\t%08x\t%d\t" + _MOMENT + b"\t\t" + _MOMENT + b"\tA\n",
        lambda file: (file[0][1:], file[1], file[2], file[2]),
    ),
    "dcache": _dcache,
    "xrdfs": _lines(b"-rw-r--r-- cms cms %12d " + _MOMENT + b" %b/%b\n", lambda file: (file[2], file[0], file[1])),
    "xrdfs, old": _lines(b"-r-- " + _MOMENT + b" %12d %b/%b\n", lambda file: (file[2], file[0], file[1])),
    "eos": _lines(b"%b/%b size=%d checksum=%08x mtime=%d.5\n", lambda file: (*file[:3], file[2], file[3])),
    "eos, quoted": _lines(b'path="%b/%b" size=%d mtime=%d.5\n', lambda file: file),
    "eos, lengths": _lines(
        b"keylength.file=%d file=%b/%b size=%d mtime=%d.5" + _EOS_REST,
        lambda file: (len(file[0]) + len(file[1]) + 1, *file),
    ),
    "rclone": _elements(b"[\n", _JSON, _json, b",\n", b"\n]\n"),
    "rclone, one line": _elements(b"[", _JSON, _json, b",", b"]\n"),
    "syncat": _elements(_XML_HEAD + b"\n", _XML, _whole, b"\n", b"\n" + _XML_END),
    "syncat, one line": _elements(_XML_HEAD, _XML, _whole, b"", _XML_END),
}
RECORDS = ("parquet", "avro")
FORMS = (*WRITERS, *RECORDS)


def write(form: str, lines: int, path: Path) -> None:
    """Write a dump of so many files."""
    files = directory_rows(lines)
    if form == "parquet":
        _write_parquet(files, path)
    elif form == "avro":
        _write_avro(files, path)
    else:
        with path.open("wb") as file:
            file.writelines(WRITERS[form](files))


def _write_parquet(files: Iterable[File], path: Path) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    schema = pa.schema([("lfn", pa.string()), ("size", pa.int64()), ("mtime", pa.int64())])
    with pq.ParquetWriter(path, schema) as writer:
        batch: list[tuple[str, int, int]] = []
        for directory, name, size, mtime in files:
            batch.append((f"{directory.decode()}/{name.decode()}", size, mtime))
            if len(batch) == 500_000:
                writer.write_table(pa.table(list(zip(*batch, strict=True)), schema))
                batch = []
        if batch:
            writer.write_table(pa.table(list(map(list, zip(*batch, strict=True))), schema))


def _write_avro(files: Iterable[File], path: Path) -> None:
    import fastavro

    fields = [{"name": "lfn", "type": "string"}, {"name": "size", "type": "long"}, {"name": "mtime", "type": "long"}]
    schema = {"type": "record", "name": "file", "fields": fields}
    records = (
        {"lfn": f"{directory.decode()}/{name.decode()}", "size": size, "mtime": mtime}
        for directory, name, size, mtime in files
    )
    with path.open("wb") as file:
        fastavro.writer(file, schema, records)


def read(dump: Path) -> None:
    """Read a dump into a snapshot beside it; print what `_figures` reads."""
    started, cpu = time.perf_counter(), time.process_time()
    writer = SnapshotWriter(dump.with_suffix(".snap"), SnapshotHeader("inventory", "benchmark", WRITTEN))
    counts = read_inventory(
        dump, writer.append, root=b"/", listed_at=WRITTEN, scratch=dump.parent, append_leaves=writer.append_leaves
    )
    writer.finish()
    seconds, cpu = time.perf_counter() - started, time.process_time() - cpu
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    print(json.dumps([counts.files, counts.bytes, seconds, cpu, peak]))


def _figures(dump: Path, printed: Path) -> tuple[tuple[int, int], Cost]:
    measure(Command((sys.executable, "-m", "benchmarks.dump_formats", "read", str(dump)), printed))
    files, size, seconds, cpu, peak = json.loads(printed.read_text())
    return (files, size), Cost(seconds, cpu, peak)


def rows(forms: Sequence[str], lines: int, runs: int) -> list[Row]:
    """Measure each format, in turn with the peer.

    Raises:
        Broken: they do not say the same of the same files.
    """
    found: list[Row] = []
    with TemporaryDirectory() as directory:
        peer, dump, printed = (Path(directory, name) for name in ("peer", "dump", "printed"))
        _made(PEER, lines, peer)
        for form in forms:
            if form == PEER:
                continue
            _made(form, lines, dump)
            ours: list[Cost] = []
            theirs: list[Cost] = []
            for _ in range(runs):
                expected, cost = _figures(peer, printed)
                theirs.append(cost)
                counted, cost = _figures(dump, printed)
                ours.append(cost)
                if counted != expected:
                    raise Broken(f"{form}: {counted} files and bytes, not {expected}")
            cpu, peer_cpu = (median(cost.cpu for cost in costs) / lines * 1e6 for costs in (ours, theirs))
            note = f"{cpu:.2f} us of CPU a line, {dump.stat().st_size / lines:.0f} bytes; the list {peer_cpu:.2f}"
            work = f"dump `{form}`, {lines:,} files"
            found.append(Row(work, Measured.of(ours), "`path size`", Measured.of(theirs), note))
            os.unlink(dump)
    return found


def _made(form: str, lines: int, path: Path) -> None:
    # In a process of its own, so that what it takes is not counted as held by those that are measured.
    measure(Command((sys.executable, "-m", "benchmarks.dump_formats", "write", form, str(lines), str(path))))


def run(quick: bool) -> list[Row]:
    """Measure all formats."""
    return rows(FORMS, QUICK_LINES if quick else LINES, 1 if quick else RUNS)


def main() -> None:
    """Read the command line; the two further commands are for the processes that this one starts."""
    match sys.argv[1:]:
        case ["write", form, lines, path]:
            write(form, int(lines), Path(path))
        case ["read", dump]:
            read(Path(dump))
        case _:
            parser = argparse.ArgumentParser(description=__doc__)
            parser.add_argument("--lines", type=int, default=LINES)
            parser.add_argument("--form", action="append", choices=FORMS)
            parser.add_argument("--runs", type=int, default=RUNS)
            options = parser.parse_args()
            for row in rows(options.form or FORMS, options.lines, options.runs):
                print(f"{row.work}: {row.note}", flush=True)


if __name__ == "__main__":
    main()
