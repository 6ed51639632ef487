"""A site on real servers, whose truth is on the local disk: what the program says of it is held against that."""

from __future__ import annotations

import base64
import json
import os
import subprocess
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from subprocess import Popen
from typing import Any

from engine.states import State
from storage.runs.directory import RunDirectory, directory_name
from storage.snapshot import Snapshot, SnapshotError, part_of
from tests.cli import loaded, program
from tests.cli.program import PROGRAM, Ended, environment, eventually, start, wait_for
from tests.faults.table import judged

OLD = 1_700_000_000
"""The mtime of what was there long before any run."""

_QUICK = {"Timeout": 5, "Retries": 1, "InventoryFormat": "sizes", "IgnoreAge": 0, "IncrementalDelay": 0.1}


@dataclass
class Chosen:
    """What was chosen for all sites: the value of the key ``Lister``, or None to leave it out."""

    lister: str | None = None


chosen = Chosen()


@dataclass
class FaultySite:
    """A site below ``lfn``, whose files are in the directories ``stores``, one for each server that has a part.

    Names are paths below ``lfn``, text or bytes; what is looked at are the ``tops``. `put` makes a file and `know` has
    the inventory name one; the program runs in ``home``, with ``env`` added to its environment.
    """

    home: Path
    stores: list[Path]
    lfn: str
    doors: list[str]
    name: str = "T2_FAULTY"
    env: dict[str, str] = field(default_factory=dict)
    known: dict[bytes, int] = field(default_factory=dict)
    runtime: str = "threads"
    lister: str | None = field(default_factory=lambda: chosen.lister)
    tops: list[str] = field(default_factory=lambda: ["data"])

    def put(self, name: str | bytes, size: int = 10, *, known: bool = True, store: int = 0, mtime: int = OLD) -> Path:
        """Write a file, with all directories above it; the inventory gets it as well, unless it is not ``known``."""
        path = self.path(name, store)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"x" * size)
        os.utime(path, (mtime, mtime))
        if known:
            self.know(name, size)
        return path

    def make(self, name: str | bytes, store: int = 0) -> Path:
        """Make an old directory."""
        path = self.path(name, store)
        path.mkdir(parents=True, exist_ok=True)
        os.utime(path, (OLD, OLD))
        return path

    def know(self, name: str | bytes, size: int = 10) -> None:
        """Have the inventory name a file, whether it is there or not."""
        self.known[os.fsencode(name)] = size

    def path(self, name: str | bytes, store: int = 0) -> Path:
        """Give the place of a file or directory on the local disk."""
        return self.stores[store] / os.fsdecode(name)

    @property
    def inventory(self) -> Path:
        return self.home / "inventory.txt"

    @property
    def web(self) -> Path:
        return self.home / "www"

    def write_inventory(self) -> None:
        """Write what the inventory knows, escaped, one file a line with size and time."""
        lfn = os.fsencode(self.lfn)
        lines = [b"# names are escaped\n"]
        lines += [b"%s/%s %d %d\n" % (lfn, _escaped(name), size, OLD) for name, size in self.known.items()]
        self.inventory.write_bytes(b"".join(lines))

    def configure(self, **keys: Any) -> None:
        """Write the configuration, with keys of the site changed."""
        site = {"Doors": self.doors, "Inventory": "inventory.txt", **_QUICK, **keys}
        settings = {
            "RootPath": self.lfn,
            "DirectoryList": self.tops,
            "Runtime": self.runtime,
            **({} if self.lister is None else {"Lister": self.lister}),
            "Sites": {self.name: site},
        }
        (self.home / "consistency_config.json").write_text(json.dumps(settings))

    def prepare(self, **keys: Any) -> None:
        """Write the inventory and the configuration."""
        self.write_inventory()
        self.configure(**keys)

    def check(self, *arguments: object, env: Mapping[str, str] | None = None) -> Ended:
        """Run a check to its end, as a user would; its JSON is on stdout."""
        run = program.run if self.runtime == "ray" else loaded.run
        return run("check", "--json", *arguments, cwd=self.home, env={**self.env, **(env or {})})

    def start_check(self, *arguments: object, env: Mapping[str, str] | None = None) -> Popen[str]:
        """Start a check and leave it running; see `tests.cli.program.wait_for` and `eventually`."""
        return start("check", "--json", *arguments, cwd=self.home, env={**self.env, **(env or {})})

    def check_while(self, act: Callable[[], None]) -> Ended:
        """Run a check to its end, and do something when a part of the site is in the journal."""
        process = self.start_check()
        eventually("begun to list", lambda: self.listed > 5, process)
        act()
        return wait_for(process)

    def check_without_privileges(self) -> Ended:
        """Run a check as a root that the modes of files bind, or as the user that we are."""
        tie = ["setpriv", "--bounding-set=-dac_override,-dac_read_search"] if os.geteuid() == 0 else []
        done = subprocess.run(
            [*tie, PROGRAM, "check", "--json", self.name],
            cwd=self.home,
            env=environment(**self.env),
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )
        assert "Traceback" not in done.stderr
        return Ended(done.returncode, done.stdout, done.stderr)

    @property
    def journal(self) -> Path:
        """Where the listing of a run grows."""
        return part_of(RunDirectory(self.home / "var", self.name).listing)

    @property
    def journal_size(self) -> int:
        """How many bytes the journal has; 0 when there is none."""
        try:
            return self.journal.stat().st_size
        except FileNotFoundError:
            return 0

    @property
    def listed(self) -> int:
        """How many directories the journal has, which may be growing; 0 when there is none."""
        try:
            snapshot = Snapshot(self.journal)
        except (OSError, SnapshotError):
            return 0
        try:
            return snapshot.table.count(State.LISTED)
        finally:
            snapshot.close()

    @property
    def log(self) -> str:
        """What all its runs have logged so far."""
        return "".join(path.read_text() for path in sorted((self.home / "var/logs").rglob("*.log")))

    def plant_wide(self, directories: int) -> None:
        """Plant so much that a run can be caught in the middle: one missing file, one orphan, one empty directory."""
        for number in range(directories):
            self.put(f"data/{number}/kept.root")
        self.know("data/1/lost.root")
        self.put("data/2/left.root", known=False)
        self.make("data/empty")

    def plant_few(self) -> None:
        """Plant one missing file and one orphan, among others that agree."""
        for number in range(40):
            self.put(f"data/{number % 4}/kept{number:02}.root", 1000 + number)
        self.know("data/1/lost.root", 7)
        self.put("data/2/left.root", known=False)

    def assert_few_without_listing(self) -> None:
        """A check finds what was planted so, from what an earlier one has listed."""
        ended = self.check()
        assert ended.code == 0, ended.err
        assert ended.json["resumed"] == ended.json["directories"]
        self.assert_found(["data/1/lost.root"], ["data/2/left.root"])

    def assert_wide(self, ended: Ended) -> None:
        """All that was planted so was found, and nothing else."""
        assert ended.code == 0, ended.err
        self.assert_found(["data/1/lost.root"], ["data/2/left.root"], [], ["data/empty"])
        assert self.unlisted() == {}

    def rows(self, ending: str) -> list[dict[str, Any]]:
        """Read the exact form of a list, such as ``compare_missing`` or ``unlisted``."""
        path = self.web / f"{directory_name(self.name)}_{ending}.jsonl"
        return [json.loads(line) for line in path.read_text().splitlines()]

    def found(self, ending: str) -> list[bytes]:
        """Give the names below ``lfn`` that a list has, in its order; the top is empty."""
        return [_exact(row)[len(os.fsencode(self.lfn)) :].lstrip(b"/") for row in self.rows(ending)]

    def unlisted(self) -> dict[bytes, str]:
        """Give the directories that could not be listed, each with the words of its reason."""
        return dict(zip(self.found("unlisted"), (row["reason"] for row in self.rows("unlisted")), strict=True))

    def assert_true(self, gone: Iterable[str | bytes] = (), added: Iterable[str | bytes] = ()) -> None:
        """Every finding of the lists is true of the disk and the inventory as they are now.

        Files that are ``gone`` went while the run was under way, and those that are ``added`` came: what is said of
        these may be either way.
        """
        spared = {os.fsencode(name) for name in (*gone, *added)}
        false = []
        checks = {
            "compare_missing": self._is_missing,
            "compare_orphan": self._is_orphan,
            "compare_size_mismatch": self._differs,
            "empty": self._is_empty,
        }
        for ending, is_true in checks.items():
            names = self.found(ending)
            judged.findings += len(names)
            false += [f"{ending}: {name!r}" for name in names if name not in spared and not is_true(name)]
        judged.false += len(false)
        assert not false

    def assert_found(
        self,
        missing: Iterable[str | bytes] = (),
        orphan: Iterable[str | bytes] = (),
        mismatch: Iterable[str | bytes] = (),
        empty: Iterable[str | bytes] = (),
    ) -> None:
        """The lists hold exactly these, and all are true."""
        self.assert_true()
        expected = {
            "compare_missing": missing,
            "compare_orphan": orphan,
            "compare_size_mismatch": mismatch,
            "empty": empty,
        }
        for ending, names in expected.items():
            assert sorted(self.found(ending)) == sorted(map(os.fsencode, names)), ending

    def _copies(self, name: bytes) -> list[Path]:
        paths = [self.path(name, store) for store in range(len(self.stores))]
        return [path for path in paths if os.path.lexists(path)]

    def _is_missing(self, name: bytes) -> bool:
        return name in self.known and not any(path.exists() and not path.is_dir() for path in self._copies(name))

    def _is_orphan(self, name: bytes) -> bool:
        there = [path for path in self._copies(name) if path.is_file()]
        # Through a link to a directory it may be a file that the inventory has under another name.
        places = {path.parent.resolve() / path.name for path in there}
        others = {
            path.parent.resolve() / path.name
            for known in self.known
            if known.endswith(b"/" + os.path.basename(name))
            for path in self._copies(known)
        }
        return name not in self.known and bool(there) and not places & others

    def _differs(self, name: bytes) -> bool:
        sizes = {path.stat().st_size for path in self._copies(name)}
        return name in self.known and bool(sizes) and self.known[name] not in sizes

    def _is_empty(self, name: bytes) -> bool:
        copies = self._copies(name)
        return bool(copies) and all(
            path.is_dir() and not any(files for _, _, files in os.walk(path)) for path in copies
        )


def _escaped(name: bytes) -> bytes:
    from engine import paths

    return paths.escape(name).encode()


def _exact(row: Mapping[str, Any]) -> bytes:
    if "path_b64" in row:
        return base64.b64decode(row["path_b64"])
    return os.fsencode(row["path"])
