import json
import os
import pickle
import resource
import signal
import stat
import threading
from pathlib import Path

import pytest

from storage.atomic import AtomicFile, ReportError, write_json


def names_in(directory: Path) -> list[str]:
    return sorted(path.name for path in directory.iterdir())


def test_a_full_disk_is_an_error_that_names_the_file(tmp_path: Path) -> None:
    path = tmp_path / "list"
    file = AtomicFile(path)
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    # The kernel's answer to a file that may not grow, as to a disk that is full, comes with the flush.
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (10, limits[1]))
    try:
        file.write("more than ten bytes\n")
        with pytest.raises(ReportError, match="File too large") as caught:
            file.publish()
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
        signal.signal(signal.SIGXFSZ, handler)
    file.discard()
    assert str(caught.value).startswith(f"{path}: ")
    assert names_in(tmp_path) == []


def test_a_file_is_there_whole_or_not_at_all(tmp_path: Path) -> None:
    path = tmp_path / "S_unrecoverable.txt"
    with AtomicFile(path) as file:
        file.write("/s/a\n")
        file.write("/s/b\n")
        assert not path.exists()
    assert path.read_text() == "/s/a\n/s/b\n"

    def break_off() -> None:
        with AtomicFile(path) as file:
            file.write("/half\n")
            raise KeyError

    with pytest.raises(KeyError):
        break_off()
    assert path.read_text() == "/s/a\n/s/b\n"
    assert names_in(tmp_path) == ["S_unrecoverable.txt"]


def test_a_file_can_be_read_by_a_web_server(tmp_path: Path) -> None:
    umask = os.umask(0o022)
    try:
        with AtomicFile(tmp_path / "list"):
            pass
    finally:
        os.umask(umask)
    assert stat.S_IMODE((tmp_path / "list").stat().st_mode) == 0o644


def test_json_is_replaced_in_one_step_and_keeps_every_string(tmp_path: Path) -> None:
    path = tmp_path / "S_storage.json"
    write_json(path, {"old": 1})
    value = {"shares": [1, 2.5, None], "name": "grün", "odd": "\udcff"}
    write_json(path, value)
    assert json.loads(path.read_text("utf-8")) == value
    assert "grün" in path.read_text("utf-8")
    with pytest.raises(ValueError, match="not JSON compliant"):
        write_json(path, float("nan"))
    with pytest.raises(TypeError):
        write_json(path, object())
    assert json.loads(path.read_text("utf-8")) == value
    assert names_in(tmp_path) == ["S_storage.json"]


def test_json_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    path = tmp_path / "nowhere" / "x.json"
    with pytest.raises(ReportError, match="No such file or directory") as caught:
        write_json(path, {})
    assert str(caught.value).startswith(f"{path}: ")


def test_a_file_that_takes_no_name_leaves_nothing_behind(tmp_path: Path) -> None:
    path = tmp_path / "taken"
    path.mkdir()
    with pytest.raises(ReportError, match="taken"), AtomicFile(path) as file:
        file.write("x")
    assert names_in(tmp_path) == ["taken"]


def test_errors_travel_between_processes() -> None:
    error = pickle.loads(pickle.dumps(ReportError("/x: cannot be written")))
    assert (type(error), str(error)) == (ReportError, "/x: cannot be written")


def test_what_a_killed_process_left_of_a_json_file_goes_with_the_next_one(tmp_path: Path) -> None:
    (tmp_path / ".x.json.0123abcd.tmp").write_text("[")
    write_json(tmp_path / "x.json", [])
    assert names_in(tmp_path) == ["x.json"]


def test_what_is_being_written_is_not_cleared_up_by_others(tmp_path: Path) -> None:
    path, over = tmp_path / "list", threading.Event()

    def clear_up() -> None:
        while not over.is_set():
            AtomicFile.clear_up(path)

    others = [threading.Thread(target=clear_up) for _ in range(3)]
    for other in others:
        other.start()
    try:
        for number in range(300):
            with AtomicFile(path) as file:
                file.write(str(number))
            assert path.read_text() == str(number)
    finally:
        over.set()
        for other in others:
            other.join()
    assert names_in(tmp_path) == ["list"]


def test_what_was_finished_and_left_is_taken_up(tmp_path: Path) -> None:
    path = tmp_path / "list"
    path.write_text("old\n")
    file = AtomicFile(path)
    file.write("new\n")
    file.finish()
    identity = file.identity
    file.leave()
    file.discard()
    assert path.read_text() == "old\n"
    assert not AtomicFile.take_up(path, [*identity[:2], 0])
    for _ in range(2):
        assert AtomicFile.take_up(path, identity)
        assert path.read_text() == "new\n"
        assert names_in(tmp_path) == ["list"]
    path.unlink()
    assert not AtomicFile.take_up(path, identity)


def test_what_is_no_plain_file_is_not_replaced(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "link").symlink_to("pipe")
    for name in ("pipe", "link"):
        with pytest.raises(ReportError, match=rf"{name}: cannot be written: it is no plain file"):
            AtomicFile(tmp_path / name)
    with pytest.raises(ReportError, match="cannot be written: File name too long"):
        AtomicFile(tmp_path / ("x" * 300))
    assert sorted(os.listdir(tmp_path)) == ["link", "pipe"]
