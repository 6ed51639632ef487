from __future__ import annotations

import errno
import json
from collections.abc import Callable
from pathlib import Path

import pytest

from storage.runs import earlier
from storage.runs.directory import RunDirectory, RunInfo
from storage.runs.earlier import EarlierListingFile

MARK = {"doors": ["root://one"], "tops": ["b'/s'"]}


@pytest.fixture
def listing(tmp_path: Path) -> Path:
    path = tmp_path / "listing.snapshot"
    path.write_bytes(b"listed")
    return path


def test_nothing_is_kept_at_first(tmp_path: Path) -> None:
    kept = EarlierListingFile(tmp_path)
    assert kept.why_not(MARK, 10) == "no complete listing is kept"
    assert kept.distrust == ""


def test_what_is_kept_outlives_its_first_name(tmp_path: Path, listing: Path) -> None:
    EarlierListingFile(tmp_path).keep(listing, MARK, took_over=False)
    listing.unlink()
    kept = EarlierListingFile(tmp_path)
    assert kept.why_not(MARK, 10) == ""
    assert kept.snapshot.read_bytes() == b"listed"


@pytest.mark.parametrize("mark", [{**MARK, "doors": ["root://two"]}, {**MARK, "depth": 3}, {}])
def test_another_store_takes_nothing_over(tmp_path: Path, listing: Path, mark: dict[str, object]) -> None:
    EarlierListingFile(tmp_path).keep(listing, MARK, took_over=False)
    assert "another store" in EarlierListingFile(tmp_path).why_not(mark, 10)


@pytest.mark.parametrize(("every", "taking_over"), [(1, 0), (2, 1), (4, 3)])
def test_every_so_many_runs_a_listing_is_a_full_one(
    tmp_path: Path, listing: Path, every: int, taking_over: int
) -> None:
    kept = EarlierListingFile(tmp_path)
    kept.keep(listing, MARK, took_over=False)
    runs = 0
    while not kept.why_not(MARK, every):
        kept.keep(listing, MARK, took_over=True)
        runs += 1
    assert runs == taking_over
    kept.keep(listing, MARK, took_over=False)
    assert bool(kept.why_not(MARK, every)) == (every == 1)


def _written_to(path: Path) -> None:
    path.write_bytes(b"listed, and more")


def _replaced(path: Path) -> None:
    path.unlink()
    path.write_bytes(b"listed")


@pytest.mark.parametrize("spoil", [_written_to, _replaced, Path.unlink])
def test_a_file_that_is_not_the_one_that_was_kept_is_not_used(
    tmp_path: Path, listing: Path, spoil: Callable[[Path], None]
) -> None:
    kept = EarlierListingFile(tmp_path)
    kept.keep(listing, MARK, took_over=False)
    spoil(kept.snapshot)
    assert kept.why_not(MARK, 10) == "no complete listing is kept"


def test_distrust_stays_until_it_is_forgotten(tmp_path: Path, listing: Path) -> None:
    kept = EarlierListingFile(tmp_path)
    kept.keep(listing, MARK, took_over=False)
    kept.distrust_for("it lies")
    for again in (kept, EarlierListingFile(tmp_path)):
        assert again.why_not(MARK, 10) == "it lies"
    kept.keep(listing, MARK, took_over=False)
    kept.drop()
    assert EarlierListingFile(tmp_path).distrust == "it lies"
    kept.forget()
    assert EarlierListingFile(tmp_path).why_not(MARK, 10) == "no complete listing is kept"
    assert list(tmp_path.iterdir()) == [listing]


@pytest.mark.parametrize(
    "note", ["", "{", "[]", "{}", json.dumps({"mark": 1, "file": 1, "taking_over": 0, "distrust": ""})]
)
def test_a_note_that_cannot_be_read_is_a_reason_not_to_believe(tmp_path: Path, listing: Path, note: str) -> None:
    EarlierListingFile(tmp_path).keep(listing, MARK, took_over=False)
    (tmp_path / "earlier.json").write_text(note)
    assert "cannot be read" in EarlierListingFile(tmp_path).why_not(MARK, 10)


def test_a_file_that_cannot_be_looked_at_is_not_used(tmp_path: Path, listing: Path) -> None:
    kept = EarlierListingFile(tmp_path)
    kept.keep(listing, MARK, took_over=False)
    kept.snapshot.unlink()
    # As on a disk that fails, whoever looks for it gets an error.
    kept.snapshot.symlink_to(kept.snapshot)
    assert "cannot be read: " in kept.why_not(MARK, 10)
    kept.keep(listing, MARK, took_over=False)
    assert kept.why_not(MARK, 10) == ""


def test_a_file_that_cannot_be_looked_at_once_it_is_kept_is_none(
    tmp_path: Path, listing: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(path: Path) -> None:
        raise OSError(errno.EIO, "Input/output error", str(path))

    kept = EarlierListingFile(tmp_path)
    with monkeypatch.context() as patch:
        patch.setattr(earlier, "file_identity", fail)
        kept.keep(listing, MARK, took_over=False)
    assert kept.why_not(MARK, 10) == "no complete listing is kept"
    assert not kept.snapshot.exists()


def test_what_cannot_be_kept_is_none(tmp_path: Path, listing: Path) -> None:
    kept = EarlierListingFile(tmp_path)
    kept.keep(listing, MARK, took_over=False)
    kept.keep(tmp_path / "nowhere", MARK, took_over=True)
    assert kept.why_not(MARK, 10) == "no complete listing is kept"


def test_a_listing_that_is_written_to_again_loses_its_second_name(tmp_path: Path) -> None:
    directory = RunDirectory(tmp_path, "SITE")
    directory.acquire(RunInfo(1, "here", 1.0, "threads"))
    directory.begin(MARK, 1.0)
    directory.inventory.write_bytes(b"read")
    directory.inventory_is_read()
    directory.listing.write_bytes(b"listed")
    kept = EarlierListingFile(directory.path)
    kept.keep(directory.listing, MARK, took_over=False)
    assert directory.earlier == kept.snapshot
    assert directory.unfinished(MARK, 0.0) is not None
    assert not kept.snapshot.exists()
    assert kept.why_not(MARK, 10)
    directory.release()


def test_a_second_name_that_cannot_be_looked_at_goes_before_the_listing_is_written_to_again(tmp_path: Path) -> None:
    directory = RunDirectory(tmp_path, "SITE")
    directory.acquire(RunInfo(1, "here", 1.0, "threads"))
    directory.begin(MARK, 1.0)
    directory.inventory.write_bytes(b"read")
    directory.inventory_is_read()
    directory.listing.write_bytes(b"listed")
    directory.earlier.symlink_to(directory.earlier)
    assert directory.unfinished(MARK, 0.0) is not None
    assert not directory.earlier.is_symlink()
    directory.release()


def test_a_listing_of_a_run_before_keeps_it(tmp_path: Path) -> None:
    directory = RunDirectory(tmp_path, "SITE")
    directory.acquire(RunInfo(1, "here", 1.0, "threads"))
    directory.listing.write_bytes(b"listed")
    kept = EarlierListingFile(directory.path)
    kept.keep(directory.listing, MARK, took_over=False)
    directory.begin(MARK, 1.0)
    directory.inventory.write_bytes(b"read")
    directory.inventory_is_read()
    assert directory.unfinished(MARK, 0.0) is not None
    assert kept.why_not(MARK, 10) == ""
    directory.release()
