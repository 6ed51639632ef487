"""The bytes of a file, against the bytes themselves."""

from __future__ import annotations

import gc
import os
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from storage.file_bytes import FileBytes

CONTENT = bytes(range(50))


@pytest.fixture
def view(tmp_path: Path) -> FileBytes:
    path = tmp_path / "f"
    path.write_bytes(CONTENT)
    with path.open("rb") as file:
        return FileBytes(file, path)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.integers(0, 60), st.integers(0, 60))
def test_a_slice_is_that_of_the_bytes(view: FileBytes, start: int, stop: int) -> None:
    assert view[start:stop] == CONTENT[start:stop]
    assert (view[start:], view[:stop], len(view)) == (CONTENT[start:], CONTENT[:stop], 50)


def test_no_room_is_made_for_what_is_not_there(view: FileBytes) -> None:
    # More than any machine has; a damaged file may ask for it.
    assert view.read(40, 2**60) == CONTENT[40:]
    assert view.read(60, 2**60) == b""


def test_what_was_appended_later_is_not_seen_and_what_was_cut_off_is_missing(view: FileBytes, tmp_path: Path) -> None:
    with (tmp_path / "f").open("ab") as file:
        file.write(b"more")
    assert view[45:60] == CONTENT[45:]
    os.truncate(tmp_path / "f", 47)
    assert view[45:60] == CONTENT[45:47]


def test_after_it_was_closed_nothing_can_be_read(view: FileBytes) -> None:
    view.close()
    view.close()
    with pytest.raises(ValueError, match="closed"):
        view.read(0, 1)


def test_a_file_that_nobody_has_any_more_is_closed(tmp_path: Path) -> None:
    path = tmp_path / "f"
    path.write_bytes(CONTENT)

    def count() -> int:
        found = 0
        for name in os.listdir("/proc/self/fd"):
            try:
                found += os.readlink(f"/proc/self/fd/{name}") == str(path)
            except FileNotFoundError:
                continue
        return found

    with path.open("rb") as file:
        view = FileBytes(file, path)
    assert count() == 1
    del view
    gc.collect()
    assert count() == 0


def test_an_error_names_the_file(tmp_path: Path) -> None:
    path = tmp_path / "f"
    path.write_bytes(CONTENT)
    # It can be written only, so that the system refuses to read from it.
    with path.open("ab") as file:
        view = FileBytes(file, path)
    with pytest.raises(OSError, match="Bad file descriptor") as caught:
        view.read(0, 1)
    assert caught.value.filename == str(path)
