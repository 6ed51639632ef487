"""What is done at a store of each kind: only to what was meant, never over anything, and always so that it shows."""

from __future__ import annotations

import os
import re
import stat
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from engine import paths
from engine.listing import Failed
from engine.quarantine import Fate, Order, place_of
from engine.states import Reason
from storage.listers.protocol import StoreSpec
from storage.removers.keeper import NOT_ASIDE, Keeper
from tests.servers.fixtures import ServedDirectory
from tests.servers.xrootd import XRootDServer
from tests.servers.xrootd_cluster import XRootDCluster

NOON = 1_600_000_000
ASIDE = b"/q"

SERVED = {"XRootD": "xrootd_directory", "XRootD over HTTP": "http_directory", "Apache": "apache_directory"}


@dataclass
class Shelf:
    """A store on disk, of which ``tops`` are the parts, with a keeper of what is in it."""

    keeper: Keeper
    tops: list[Path]

    def put(self, lfn: bytes, content: bytes = b"12345", part: int = 0) -> None:
        located = self.on_disk(lfn, part)
        self.make(os.path.dirname(located))
        with open(located, "wb") as file:
            file.write(content)
        os.utime(located, (NOON, NOON))

    def make(self, directory: bytes) -> None:
        """Make a directory, with those above it, in which anybody may do everything."""
        if not os.path.isdir(directory):
            self.make(os.path.dirname(directory))
            os.mkdir(directory)
            os.chmod(directory, 0o777)

    def on_disk(self, lfn: bytes, part: int = 0) -> bytes:
        return os.fsencode(self.tops[part]) + lfn

    def has(self, lfn: bytes, part: int = 0) -> bool:
        return os.path.lexists(self.on_disk(lfn, part))

    def content(self, lfn: bytes, part: int = 0) -> bytes:
        with open(self.on_disk(lfn, part), "rb") as file:
            return file.read()


def shelf_of(spec: StoreSpec, *tops: Path) -> Shelf:
    for top in tops:
        top.chmod(0o777)
    return Shelf(Keeper(spec), list(tops))


def door_of(served: ServedDirectory) -> str:
    slash = "/" if served.url.startswith("root") else ""
    return f"{served.url}{slash}{paths.decode(served.lfn)}"


@pytest.fixture(params=["posix", *SERVED])
def shelf(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Shelf]:
    if request.param == "posix":
        shelf = shelf_of(StoreSpec((f"file://{tmp_path}",), timeout=20), tmp_path)
    else:
        served: ServedDirectory = request.getfixturevalue(SERVED[request.param])
        shelf = shelf_of(StoreSpec((door_of(served),), timeout=20), served.path)
    yield shelf
    shelf.keeper.close()


@pytest.fixture
def cluster(xrootd_cluster: XRootDCluster, tmp_path: Path) -> Iterator[Shelf]:
    tops = []
    for number in (0, 1):
        top = xrootd_cluster.store(number) / tmp_path.name
        top.mkdir()
        tops.append(top)
    doors = [f"root://{xrootd_cluster.server(number)}//store/{tmp_path.name}" for number in (0, 1)]
    shelf = shelf_of(StoreSpec(tuple(doors), timeout=20, clustered=True), *tops)
    yield shelf
    shelf.keeper.close()


def order(lfn: bytes, size: int = 5, mtime: int = NOON, number: int = 1, is_directory: bool = False) -> Order:
    return Order(number, lfn, size, mtime, place_of(ASIDE, "abc", number, lfn), is_directory)


NAMES = [
    b"plain.root",
    b"two  blanks ",
    "größe-名前".encode(),
    b"tab\there",
    b"100%25",
    b"a+b&c;d",
    b"""quotes'"`""",
    b"-l",
    b"\xff\xfe not UTF-8",
    b"x" * 255,
]


@pytest.mark.parametrize("name", NAMES, ids=[paths.escape(name)[:12] for name in NAMES])
def test_a_file_is_put_aside_and_brought_back_as_it_was(
    shelf: Shelf, name: bytes, request: pytest.FixtureRequest
) -> None:
    lfn = b"/data/deep/" + name
    shelf.put(lfn, b"12345")
    shelf.put(lfn[:-1] + b"2", b"other")
    wanted = order(lfn)
    assert shelf.keeper.put_aside(wanted).fate is Fate.DONE
    assert (shelf.has(lfn), shelf.content(wanted.aside)) == (False, b"12345")
    assert os.stat(shelf.on_disk(wanted.aside)).st_mtime == NOON
    # Whoever lost the answer learns that it was done.
    assert shelf.keeper.put_aside(wanted).fate is Fate.DONE
    assert shelf.keeper.was_put(wanted) is True
    back = shelf.keeper.bring_back(wanted)
    if back.fate is Fate.FAILED:
        # XRootD's HTTP plugin makes other names of such.
        assert back.said == "this server takes such a name for another one; move it on its disk"
        assert "HTTP" in request.node.name
        assert re.search(rb"[^ -~]| $", name)
        assert shelf.content(wanted.aside) == b"12345"
        return
    assert back.fate is Fate.DONE
    assert (shelf.content(lfn), shelf.has(wanted.aside)) == (b"12345", False)
    assert os.stat(shelf.on_disk(lfn)).st_mtime == NOON
    assert shelf.has(lfn[:-1] + b"2")


@pytest.mark.parametrize("above", [0o777, 0o733])
def test_directories_that_are_gone_are_made_again_as_the_one_above_them(
    shelf: Shelf, request: pytest.FixtureRequest, above: int
) -> None:
    lfn, gone = b"/data/deep/er/f", (b"/data/deep/er", b"/data/deep")
    shelf.put(lfn)
    made = order(lfn)
    assert shelf.keeper.put_aside(made).fate is Fate.DONE
    for directory in gone:
        os.rmdir(shelf.on_disk(directory))
    os.chmod(shelf.on_disk(b"/data"), above)
    # A process that lets nobody see what it makes.
    before = os.umask(0o077)
    try:
        assert shelf.keeper.bring_back(made).fate is Fate.DONE
    finally:
        os.umask(before)
    assert shelf.content(lfn) == b"12345"
    if request.node.callspec.params["shelf"] in ("posix", "XRootD"):
        # A server may take from them that others write.
        assert [mode_of(shelf, directory) & 0o555 for directory in gone] == [above & 0o555] * 2
        assert mode_of(shelf, os.path.dirname(made.aside)) == 0o750


@pytest.mark.parametrize("shelf", ["posix", "XRootD"], indirect=True)
def test_a_directory_whose_name_is_not_utf8_is_made_again(shelf: Shelf) -> None:
    lfn = b"/data/\xff\xfe/f"
    shelf.put(lfn)
    assert shelf.keeper.put_aside(order(lfn)).fate is Fate.DONE
    os.rmdir(shelf.on_disk(b"/data/\xff\xfe"))
    assert shelf.keeper.bring_back(order(lfn)).fate is Fate.DONE
    assert mode_of(shelf, b"/data/\xff\xfe") & 0o555 == 0o555


def test_what_a_directory_above_has_for_its_group_is_kept(tmp_path: Path) -> None:
    shelf = shelf_of(StoreSpec((f"file://{tmp_path}",), timeout=20), tmp_path)
    lfn = b"/data/deep/f"
    shelf.put(lfn)
    assert shelf.keeper.put_aside(order(lfn)).fate is Fate.DONE
    os.rmdir(shelf.on_disk(b"/data/deep"))
    os.chmod(shelf.on_disk(b"/data"), 0o2770)
    assert shelf.keeper.bring_back(order(lfn)).fate is Fate.DONE
    assert mode_of(shelf, b"/data/deep") == 0o2770
    shelf.keeper.close()


def mode_of(shelf: Shelf, lfn: bytes) -> int:
    return stat.S_IMODE(os.stat(shelf.on_disk(lfn)).st_mode)


def test_what_was_put_aside_goes_for_good_with_its_directories(shelf: Shelf) -> None:
    shelf.put(b"/data/a/one")
    shelf.put(b"/data/a/two")
    one, two = order(b"/data/a/one"), order(b"/data/a/two", number=2)
    for each in (one, two):
        assert shelf.keeper.put_aside(each).fate is Fate.DONE
    assert shelf.keeper.purge(one).fate is Fate.DONE
    shelf.keeper.tidy(b"/q/abc/data/a")
    assert shelf.has(two.aside)
    assert shelf.keeper.purge(two).fate is Fate.DONE
    assert shelf.keeper.purge(two).fate is Fate.DROPPED
    shelf.keeper.tidy(b"/q/abc/data/a")
    shelf.keeper.tidy(b"/q/abc/data")
    assert os.listdir(shelf.on_disk(b"/q/abc")) == []
    assert shelf.has(b"/data/a")


def test_nothing_is_moved_over_what_is_there(shelf: Shelf) -> None:
    wanted = order(b"/data/one")
    shelf.put(b"/data/one", b"12345")
    shelf.put(wanted.aside, b"older")
    settled = shelf.keeper.put_aside(wanted)
    assert (settled.fate, settled.said) == (
        Fate.DOUBTFUL,
        "the quarantine has something of its name already; look there",
    )
    assert (shelf.content(b"/data/one"), shelf.content(wanted.aside)) == (b"12345", b"older")
    assert shelf.keeper.bring_back(wanted).fate is Fate.FAILED
    assert (shelf.content(b"/data/one"), shelf.content(wanted.aside)) == (b"12345", b"older")


@pytest.mark.parametrize("changed", [order(b"/data/one", size=4), order(b"/data/one", mtime=NOON - 1)])
def test_what_has_changed_stays(shelf: Shelf, changed: Order) -> None:
    shelf.put(b"/data/one")
    assert shelf.keeper.put_aside(changed).fate is Fate.DROPPED
    assert shelf.keeper.take_away(changed).fate is Fate.DROPPED
    assert shelf.content(b"/data/one") == b"12345"


def test_what_is_not_there_is_neither_put_aside_nor_brought_back(shelf: Shelf) -> None:
    gone = order(b"/data/never/there")
    assert shelf.keeper.put_aside(gone).fate is Fate.DROPPED
    assert shelf.keeper.take_away(gone).fate is Fate.DROPPED
    assert shelf.keeper.bring_back(gone).fate is Fate.DROPPED
    assert shelf.keeper.was_put(gone) is False


def test_a_file_goes_for_good(shelf: Shelf) -> None:
    shelf.put(b"/data/one")
    shelf.put(b"/data/two")
    assert shelf.keeper.take_away(order(b"/data/one")).fate is Fate.DONE
    assert os.listdir(shelf.on_disk(b"/data")) == [b"two"]


def test_a_directory_in_the_place_of_a_file_stays(shelf: Shelf) -> None:
    shelf.put(b"/data/one/inside")
    assert shelf.keeper.take_away(order(b"/data/one")).fate is Fate.DROPPED
    assert shelf.keeper.put_aside(order(b"/data/one")).fate is Fate.DROPPED
    assert shelf.has(b"/data/one/inside")


def test_empty_directories_go_and_others_stay(shelf: Shelf) -> None:
    shelf.make(shelf.on_disk(b"/data/hollow"))
    shelf.put(b"/data/full/inside")
    assert shelf.keeper.take_away(order(b"/data/hollow", -1, is_directory=True)).fate is Fate.DONE
    assert not shelf.has(b"/data/hollow")
    settled = shelf.keeper.take_away(order(b"/data/full", -1, is_directory=True))
    assert (settled.fate, settled.said) == (Fate.DROPPED, "it is not empty")
    shelf.keeper.tidy(b"/data/full")
    assert shelf.content(b"/data/full/inside") == b"12345"


@pytest.mark.parametrize("name", [b"a?b", b"a#b"])
def test_a_name_that_servers_cut_takes_no_other_file(shelf: Shelf, name: bytes, request: pytest.FixtureRequest) -> None:
    shelf.put(b"/data/a", b"12345")
    shelf.put(b"/data/" + name, b"12345")
    wanted = order(b"/data/" + name)
    put, taken = shelf.keeper.put_aside(wanted).fate, shelf.keeper.take_away(wanted).fate
    assert shelf.content(b"/data/a") == b"12345"
    if "posix" in request.node.name or ("XRootD-" in request.node.name and b"#" in name):
        assert put is Fate.DONE
    else:
        assert {put, taken} == {Fate.FAILED}
        assert shelf.has(b"/data/" + name)


def test_what_may_not_be_done_says_so(shelf: Shelf, request: pytest.FixtureRequest) -> None:
    if "posix" in request.node.name:
        pytest.skip("root may do everything on its own disk")
    shelf.put(b"/data/one")
    os.chmod(shelf.on_disk(b"/data"), 0o755)
    for settled in (shelf.keeper.put_aside(order(b"/data/one")), shelf.keeper.take_away(order(b"/data/one"))):
        assert settled.fate is Fate.FAILED
        assert "denied" in settled.said.lower() or "forbidden" in settled.said.lower() or "500" in settled.said
    assert shelf.has(b"/data/one")


def test_a_file_at_two_servers_of_a_cluster_is_put_aside_at_both(cluster: Shelf) -> None:
    cluster.put(b"/data/both", part=0)
    cluster.put(b"/data/both", part=1)
    cluster.put(b"/data/one", part=1)
    for number, lfn in enumerate((b"/data/both", b"/data/one")):
        wanted = order(lfn, number=number)
        assert cluster.keeper.put_aside(wanted).fate is Fate.DONE
        assert not cluster.has(lfn, 0)
        assert not cluster.has(lfn, 1)
    assert [cluster.has(order(b"/data/one").aside, part) for part in (0, 1)] == [False, True]
    both = order(b"/data/both", number=0)
    assert cluster.keeper.bring_back(both).fate is Fate.DONE
    assert [cluster.content(b"/data/both", part) for part in (0, 1)] == [b"12345"] * 2


def test_a_file_that_was_put_aside_at_one_server_only_follows_at_the_other(cluster: Shelf) -> None:
    wanted = order(b"/data/both")
    cluster.put(wanted.aside, part=0)
    cluster.put(b"/data/both", part=1)
    assert cluster.keeper.put_aside(wanted).fate is Fate.DONE
    assert [cluster.has(wanted.aside, part) for part in (0, 1)] == [True, True]


def test_the_door_that_answers_is_used(start_xrootd: Callable[..., XRootDServer]) -> None:
    dead, alive = start_xrootd(), start_xrootd()
    dead_url = dead.url
    dead.kill()
    shelf = shelf_of(StoreSpec((f"{dead_url}//store", f"{alive.url}//store"), timeout=3), alive.store)
    shelf.put(b"/data/one")
    try:
        assert shelf.keeper.put_aside(order(b"/data/one")).fate is Fate.DONE
    finally:
        shelf.keeper.close()
    assert shelf.has(order(b"/data/one").aside)


def test_a_server_that_is_away_leaves_all_as_it_was(start_xrootd: Callable[..., XRootDServer]) -> None:
    server = start_xrootd()
    shelf = shelf_of(StoreSpec((f"{server.url}//store",), timeout=2), server.store)
    shelf.put(b"/data/one")
    server.kill()
    try:
        settled = shelf.keeper.put_aside(order(b"/data/one"))
    finally:
        shelf.keeper.close()
    assert settled.fate is Fate.FAILED
    assert shelf.has(b"/data/one")


def test_a_lost_answer_to_a_move_is_looked_up(shelf: Shelf, monkeypatch: pytest.MonkeyPatch) -> None:
    shelf.put(b"/data/one")
    (member,) = shelf.keeper._members
    move = member._doors.move

    def and_lose_the_answer(path: bytes, to: bytes) -> Failed:
        assert move(path, to) is None
        return Failed(Reason.TIMEOUT, "no answer in time")

    monkeypatch.setattr(member._doors, "move", and_lose_the_answer)
    assert shelf.keeper.put_aside(order(b"/data/one")).fate is Fate.DONE


def test_what_somebody_has_put_there_in_the_same_moment_comes_back(
    shelf: Shelf, monkeypatch: pytest.MonkeyPatch
) -> None:
    shelf.put(b"/data/one")
    (member,) = shelf.keeper._members
    move = member._doors.move

    def after_another_was_written(path: bytes, to: bytes) -> Failed | None:
        if path == b"/data/one":
            shelf.put(path, b"a new one")
        return move(path, to)

    monkeypatch.setattr(member._doors, "move", after_another_was_written)
    assert shelf.keeper.put_aside(order(b"/data/one")).fate is Fate.DROPPED
    assert shelf.content(b"/data/one") == b"a new one"


def test_what_is_as_large_as_what_was_meant_comes_back_as_well(shelf: Shelf, monkeypatch: pytest.MonkeyPatch) -> None:
    shelf.put(b"/data/one")
    (member,) = shelf.keeper._members
    move = member._doors.move

    def after_another_was_written(path: bytes, to: bytes) -> Failed | None:
        if path == b"/data/one":
            shelf.put(path, b"54321")
            os.utime(shelf.on_disk(path), (NOON + 60, NOON + 60))
        return move(path, to)

    monkeypatch.setattr(member._doors, "move", after_another_was_written)
    assert shelf.keeper.put_aside(order(b"/data/one")).fate is Fate.DROPPED
    assert shelf.content(b"/data/one") == b"54321"


@pytest.mark.parametrize("answer", [None, Failed(Reason.TIMEOUT, "no answer in time")])
def test_a_change_that_may_come_yet_is_in_doubt(
    shelf: Shelf, monkeypatch: pytest.MonkeyPatch, answer: Failed | None
) -> None:
    shelf.put(b"/data/one")
    (member,) = shelf.keeper._members
    monkeypatch.setattr(member._doors, "move", lambda _path, _to: answer)
    monkeypatch.setattr(member._doors, "remove", lambda _path: answer)
    assert shelf.keeper.put_aside(order(b"/data/one")).fate is Fate.DOUBTFUL
    assert shelf.keeper.take_away(order(b"/data/one")).fate is Fate.DOUBTFUL


def test_what_cannot_be_moved_back_is_not_called_undone(shelf: Shelf, monkeypatch: pytest.MonkeyPatch) -> None:
    shelf.put(b"/data/one")
    (member,) = shelf.keeper._members
    move = member._doors.move

    def not_back(path: bytes, to: bytes) -> Failed | None:
        if path != b"/data/one":
            return Failed(Reason.PERMISSION, "not allowed")
        shelf.put(path, b"a new one")
        return move(path, to)

    monkeypatch.setattr(member._doors, "move", not_back)
    settled = shelf.keeper.put_aside(order(b"/data/one"))
    assert settled.fate is Fate.DOUBTFUL
    assert "could not be moved back from the quarantine: not allowed" in settled.said
    assert shelf.content(order(b"/data/one").aside) == b"a new one"


@pytest.mark.parametrize("task", ["put_aside", "take_away"])
@pytest.mark.parametrize("name", [b"link", b"a link%41"])
def test_what_a_link_leads_to_stays(shelf: Shelf, task: str, name: bytes) -> None:
    shelf.put(b"/data/two")
    lfn = b"/data/" + name
    os.symlink(shelf.on_disk(b"/data/two"), shelf.on_disk(lfn))
    settled = getattr(shelf.keeper, task)(order(lfn))
    assert shelf.content(b"/data/two") == b"12345"
    assert os.path.islink(shelf.on_disk(lfn)) == (settled.fate is Fate.FAILED)
    if settled.fate is Fate.FAILED:
        assert settled.said.startswith(
            "a link, as are all files of an oss.space: this server would take away what it leads"
        )
    elif task == "put_aside":
        assert shelf.keeper.purge(order(lfn)).fate is Fate.DONE
        assert shelf.content(b"/data/two") == b"12345"
    assert {"data", "q"} >= {name.decode() for name in os.listdir(shelf.on_disk(b""))}


@pytest.mark.parametrize("target", ["two", "/nowhere/at/all"])
def test_a_link_is_never_lost(shelf: Shelf, target: str) -> None:
    shelf.put(b"/data/two")
    link = shelf.on_disk(b"/data/link")
    os.symlink(target, link)
    settled = shelf.keeper.put_aside(order(b"/data/link"))
    # It would lead nowhere from the quarantine, or does so already.
    assert settled.fate in (Fate.FAILED, Fate.DROPPED, Fate.DOUBTFUL)
    where = link if os.path.islink(link) else shelf.on_disk(order(b"/data/link").aside)
    assert os.readlink(where) == os.fsencode(target)
    assert where == link or settled.fate is Fate.DOUBTFUL


def test_a_link_and_what_it_leads_to_are_brought_back(shelf: Shelf, request: pytest.FixtureRequest) -> None:
    if "XRootD" in request.node.name:
        pytest.skip("it moves what the link leads to: such orphans are left alone")
    shelf.put(b"/data/two")
    os.symlink(os.fsdecode(shelf.on_disk(b"/data/two")), shelf.on_disk(b"/data/link"))
    link, two = order(b"/data/link"), order(b"/data/two", number=2)
    assert shelf.keeper.put_aside(link).fate is Fate.DONE
    assert shelf.keeper.put_aside(two).fate is Fate.DONE
    if "Apache" in request.node.name:
        # It does not show a link that leads nowhere.
        assert shelf.keeper.bring_back(two).fate is Fate.DONE
    assert shelf.keeper.bring_back(link).fate is Fate.DONE
    assert os.path.islink(shelf.on_disk(b"/data/link"))


def test_a_directory_in_the_quarantine_is_not_deleted_as_a_file(shelf: Shelf) -> None:
    wanted = order(b"/data/one")
    shelf.put(wanted.aside + b"/inside")
    assert shelf.keeper.purge(wanted).fate is Fate.FAILED
    assert shelf.has(wanted.aside + b"/inside")


def test_a_file_that_moves_at_one_server_only_is_in_doubt(cluster: Shelf, monkeypatch: pytest.MonkeyPatch) -> None:
    cluster.put(b"/data/both", part=0)
    cluster.put(b"/data/both", part=1)
    os.chmod(cluster.on_disk(b"/data", 1), 0o755)
    settled = cluster.keeper.put_aside(order(b"/data/both"))
    assert settled.fate is Fate.DOUBTFUL
    assert cluster.keeper.was_put(order(b"/data/both")) is True


@pytest.mark.parametrize("task", ["put_aside", "take_away"])
def test_a_directory_that_became_a_link_leads_to_no_other_file(
    shelf: Shelf, task: str, request: pytest.FixtureRequest
) -> None:
    if "Apache" in request.node.name:
        pytest.skip("nothing that it tells shows a link")
    shelf.put(b"/data/old/deep/one")
    os.rename(shelf.on_disk(b"/data/old"), shelf.on_disk(b"/data/new"))
    os.symlink(b"new", shelf.on_disk(b"/data/old"))
    settled = getattr(shelf.keeper, task)(order(b"/data/old/deep/one"))
    assert (settled.fate, settled.said) == (Fate.DROPPED, "/data/old is a link: it may be another file")
    assert shelf.content(b"/data/new/deep/one") == b"12345"
    # What the settings name themselves may be one.
    wanted = replace(order(b"/data/old/deep/one"), below=b"/data/old")
    assert getattr(shelf.keeper, task)(wanted).fate is Fate.DONE
    assert not shelf.has(b"/data/new/deep/one")


def test_many_odd_names_are_brought_back_at_a_time(shelf: Shelf) -> None:
    orders = [order(b"/data/a b %d" % number, number=number) for number in range(40)]
    for each in orders:
        shelf.put(each.path)
        shelf.make(os.path.dirname(shelf.on_disk(each.aside)))
        os.rename(shelf.on_disk(each.path), shelf.on_disk(each.aside))
    # A process that died has left what it found out something with.
    shelf.make(shelf.on_disk(b"/q/abc/data/=a name"))
    with ThreadPoolExecutor(16) as pool:
        back = list(pool.map(shelf.keeper.bring_back, orders))
    assert {settled.fate for settled in back} == {Fate.DONE}
    assert len(os.listdir(shelf.on_disk(b"/data"))) == 40


def test_a_move_on_disk_goes_over_nothing_that_came_meanwhile(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shelf = shelf_of(StoreSpec((f"file://{tmp_path}",)), tmp_path)
    wanted = order(b"/data/one")
    shelf.put(wanted.aside)
    shelf.make(shelf.on_disk(b"/data"))
    # It was not there when somebody looked.
    monkeypatch.setattr(os.path, "lexists", lambda _path: False)
    shelf.put(b"/data/one", b"a new one")
    (member,) = shelf.keeper._members
    settled = member.bring_back(wanted)
    assert (settled.fate is Fate.DONE, settled.said) == (False, "File exists")
    assert (shelf.content(b"/data/one"), shelf.content(wanted.aside)) == (b"a new one", b"12345")
    shelf.keeper.close()


def test_a_file_that_came_back_at_one_server_of_a_cluster_follows_at_the_other(cluster: Shelf) -> None:
    wanted = order(b"/data/both")
    cluster.put(b"/data/both", part=0)
    cluster.put(wanted.aside, part=1)
    assert cluster.keeper.bring_back(wanted).fate is Fate.DONE
    assert [cluster.content(b"/data/both", part) for part in (0, 1)] == [b"12345"] * 2
    # Another one of the name is none.
    cluster.put(wanted.aside, part=1)
    os.unlink(cluster.on_disk(b"/data/both", 1))
    cluster.put(b"/data/both", b"another", part=0)
    assert cluster.keeper.bring_back(wanted).fate is Fate.FAILED


def test_that_something_is_gone_is_believed_of_a_store_that_shows_its_plan(cluster: Shelf) -> None:
    wanted = replace(order(b"/data/one"), top=b"/q/abc")
    assert cluster.keeper.was_put(wanted) is None
    assert cluster.keeper.purge(wanted).fate is Fate.DOUBTFUL
    cluster.put(b"/q/abc/data/other", part=0)
    cluster.put(b"/data/other", part=1)
    assert cluster.keeper.was_put(wanted) is False
    assert cluster.keeper.purge(wanted) == NOT_ASIDE
    # A server that shows nothing may have it.
    for folder, names, files in os.walk(cluster.tops[1], topdown=False):
        for name in files:
            os.unlink(os.path.join(folder, name))
        for name in names:
            os.rmdir(os.path.join(folder, name))
    assert cluster.keeper.was_put(wanted) is None
    assert cluster.keeper.purge(wanted).fate is Fate.DOUBTFUL
