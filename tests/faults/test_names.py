"""Names of any bytes, from the store and the inventory to everything that tells of them."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from engine import paths
from storage.history import HistoryDatabase
from storage.snapshot import Snapshot
from tests.cli.loaded import run_all
from tests.faults.site import FaultySite
from tests.servers.fixtures import ServedDirectory

NAMES = {
    "a blank": b"with blank",
    "blanks at both ends": b" both ends ",
    "a tab": b"with\ttab",
    "a carriage return": b"with\rreturn",
    "a return at its end": b"return\r",
    "a newline": b"with\nnewline",
    "percent": b"100%41%2F%",
    "a question mark": b"what?x=1",
    "a hash": b"#hash#",
    "a plus": b"a+b",
    "single quotes": b"it's",
    "double quotes": b'"quoted"',
    "both quotes": b'"it\'s"',
    "a backslash": b"back\\slash\\n",
    "an emoji": "\N{PILE OF POO}-größe".encode(),
    "no UTF-8": b"latin-\xe9\xff",
    "254 bytes": b"l" * 254,
    "255 bytes": b"L" * 255,
    "a minus first": b"-rf",
    "a size": b"12345 1700000000",
    "a number": b"7",
    "dots": b"...",
    "an escape": b"\\x41\\n",
    "control characters": b"\x01\x1b[31m\x7f",
    "a separator": "line\u2028sep\u0085".encode(),
    "markup": b"<script>alert(1)<",
    "a semicolon": b"a;b&c|d$HOME`x`",
    "a comma": b'a,b,"c"',
    "a glob": b"*[a]{b}",
    "a tilde": b"~root",
    "an equals sign": b"a=b",
    "an at sign": b"user@host:port",
}


WEBDAV = {"XRootD over HTTP": "http_directory", "Apache": "apache_directory"}


@pytest.fixture(params=["bindings", "wire", "directx", "file", *WEBDAV])
def named(
    request: pytest.FixtureRequest,
    make_site: Callable[..., FaultySite],
    xrootd_directory: ServedDirectory,
    tmp_path: Path,
) -> FaultySite:
    """A site with each of the names, of a file and of a directory: known, missing and orphan."""
    if request.param == "file":
        site = make_site([tmp_path / "store"], "/store", [f"file://{tmp_path}"])
    elif request.param in WEBDAV:
        served: ServedDirectory = request.getfixturevalue(WEBDAV[request.param])
        site = make_site([served.path], served.lfn.decode(), [served.url])
    else:
        site = make_site([xrootd_directory.path], xrootd_directory.lfn.decode(), [xrootd_directory.url])
    if request.param in ("bindings", "wire"):
        site.lister = request.param
    site.kind = request.param
    for number, name in enumerate(NAMES.values()):
        here = b"data/%02d" % number
        site.put(here + b"/known/" + name)
        site.put(here + b"/missing/kept")
        site.know(here + b"/missing/" + name)
        site.put(here + b"/orphan/kept")
        site.put(here + b"/orphan/" + name, known=False)
        site.put(here + b"/below-known/" + name + b"/file")
        site.put(here + b"/below-missing/kept")
        site.know(here + b"/below-missing/" + name + b"/file")
        site.put(here + b"/below-orphan/kept")
        # Of a size of its own: without ids, what looks alike may be the same directory.
        site.put(here + b"/below-orphan/" + name + b"/file", 1000 + number, known=False)
        site.make(here + b"/empty/" + name)
    return site


def _findings(site: FaultySite) -> dict[str, set[bytes]]:
    """Work out from the names alone what is there to be found, and what each kind of store cannot carry."""
    found: dict[str, set[bytes]] = {"compare_missing": set(), "compare_orphan": set(), "empty": set()}
    uncarried = UNCARRIED[site.kind]
    for number, (words, name) in enumerate(NAMES.items()):
        here = b"data/%02d/" % number
        lost = uncarried.get(words, ())
        for ending, kind, path in (
            ("compare_missing", "missing", here + b"missing/" + name),
            ("compare_missing", "below-missing", here + b"below-missing/" + name + b"/file"),
            ("compare_orphan", "orphan", here + b"orphan/" + name),
            ("compare_orphan", "below-orphan", here + b"below-orphan/" + name + b"/file"),
            ("empty", "empty", here + b"empty/" + name),
        ):
            if kind not in lost:
                found[ending].add(path)
                if ending == "empty":
                    found[ending].add(here + b"empty")
    if site.kind in WEBDAV:
        # Nobody believes these servers that a directory is empty.
        found["empty"].clear()
    return found


BELOW = ("below-missing", "below-orphan", "empty")
ALL = ("missing", "orphan", *BELOW)

UNCARRIED: dict[str, dict[str, tuple[str, ...]]] = {
    "bindings": {
        "a newline": ALL,
        # As the name of a file it can be carried.
        "a question mark": BELOW,
        "no UTF-8": ("missing", *BELOW),
        "255 bytes": ("orphan", "below-orphan", "empty"),
    },
    "wire": {
        "a newline": ALL,
        "a question mark": BELOW,
        "255 bytes": ("orphan", "below-orphan", "empty"),
    },
    "directx": {
        "a newline": ALL,
        "a question mark": BELOW,
        "254 bytes": ("orphan", "below-orphan", "empty"),
        "255 bytes": ("orphan", "below-orphan", "empty"),
    },
    "file": {},
    "XRootD over HTTP": {
        "a newline": ("orphan", "below-orphan", "empty"),
        "a question mark": ("missing", *BELOW),
        "control characters": ("orphan", "below-orphan", "empty"),
        "255 bytes": ("orphan", "below-orphan", "empty"),
    },
    "Apache": {},
}
"""What a kind of store cannot carry: where these names are, nothing is judged."""


@pytest.mark.fault(
    "names",
    "names with blanks, control characters, newlines, quotes, escapes, markup, emoji, 255 bytes and bytes that are no "
    "UTF-8",
    "the same bytes come out, in lists and as JSON; what a protocol cannot carry leaves its directory unlisted",
)
def test_names_come_out_as_they_went_in(named: FaultySite) -> None:
    site = named
    # A door's answer with a name that is no UTF-8 is seen to be lost only when its time is over.
    site.prepare(Timeout=2, Retries=4, **({"AccessMethod": "directx"} if site.kind == "directx" else {}))
    ended = site.check()
    assert ended.code == 0, ended.err
    expected = _findings(site)
    site.assert_found(missing=expected["compare_missing"], orphan=expected["compare_orphan"], empty=expected["empty"])
    for ending, names in expected.items():
        # The list for people says the same, one line each.
        text = (site.web / f"{site.name}_{ending}.txt").read_bytes().split(b"\n")
        assert text.pop() == b""
        lfn = os.fsencode(site.lfn) + b"/"
        assert {paths.unescape(os.fsdecode(line)) for line in text} == {lfn + name for name in names}
        assert not any(byte < 32 for byte in b"".join(text))
    judged = {words for words, lost in UNCARRIED[site.kind].items() if lost}
    assert {int(name.split(b"/")[1]) for name in site.unlisted()} == {
        number for number, words in enumerate(NAMES) if words in judged
    }
    _is_said_elsewhere(site, expected)


def _is_said_elsewhere(site: FaultySite, expected: dict[str, set[bytes]]) -> None:
    """The history, the front end, the trees and the page have the same names."""
    lfn = os.fsencode(site.lfn) + b"/"
    with HistoryDatabase(next((site.home).rglob("consistency.db"))) as database:
        assert {path for path, _, _ in database.missing(site.name)} == {lfn + n for n in expected["compare_missing"]}
        assert {path for path, _, _ in database.orphans(site.name)} == {lfn + n for n in expected["compare_orphan"]}
        assert {path for path, _ in database.empty_directories(site.name)} == {lfn + n for n in expected["empty"]}
    listing = next(site.home.rglob("listing.snapshot"))
    known_tree, remote_tree = site.home / "known.snapshot", site.home / "remote.snapshot"
    dump = ("dump-tree", "--site", site.name)
    *others, history = run_all(
        [
            ("compare", site.inventory, listing, "-o", site.home / "again", "--json"),
            (*dump, "-o", known_tree),
            (*dump, "--remote", "-o", remote_tree),
            ("history", site.name, "--json"),
        ],
        cwd=site.home,
    )
    assert [other.code for other in others] == [0, 0, 0], others
    text = (site.home / "again_orphan.txt").read_text().split("\n")[:-1]
    assert {paths.unescape(line) for line in text} == {lfn + name for name in expected["compare_orphan"]}
    assert _files_of(known_tree) >= {lfn + name for name in site.known}
    assert _files_of(remote_tree) >= {lfn + name for name in expected["compare_orphan"]}
    code = (
        "import sys, json; from dynamo_consistency import config, history; "
        f"print(json.dumps([history.missing_files({site.name!r}), history.orphan_files({site.name!r})]))"
    )
    front = subprocess.run([sys.executable, "-c", code], cwd=site.home, capture_output=True, text=True, check=False)
    assert front.returncode == 0, front.stderr
    missing, orphan = ([os.fsencode(name) for name in names] for names in json.loads(front.stdout))
    assert set(missing) == {lfn + name for name in expected["compare_missing"]}
    assert set(orphan) == {lfn + name for name in expected["compare_orphan"]}
    (row,) = json.loads(history.out)["runs"]
    assert (row["missing"], row["orphan"], row["empty"]) == tuple(map(len, expected.values()))
    page = b"".join(path.read_bytes() for path in site.web.rglob("*.html"))
    assert b"<script>alert(1)" not in page


def _files_of(path: Path) -> set[bytes]:
    snapshot = Snapshot(path)
    table = snapshot.table
    found = {
        paths.join(b"/" + directory.lstrip(b"/"), name)
        for row, directory in enumerate(table.paths)
        if table.files[row]
        for name in table.load(row).name_list()
    }
    snapshot.close()
    return found
