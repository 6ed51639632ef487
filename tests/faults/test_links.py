"""Links: to directories, which most servers show as directories, to files, and to nothing."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.faults.site import OLD, FaultySite
from tests.servers.fixtures import ServedDirectory

DOORS = ["bindings", "wire", "two doors", "directx", "file"]


@pytest.fixture(params=DOORS)
def linked(
    request: pytest.FixtureRequest,
    make_site: Callable[..., FaultySite],
    xrootd_directory: ServedDirectory,
    tmp_path: Path,
) -> FaultySite:
    """A site with one known file, one that is missing, and one orphan; all directories are old."""
    kind: str = request.param
    if kind == "file":
        store = tmp_path / "store"
        site = make_site([store], "/store", [f"file://{tmp_path}"])
    else:
        doors = [xrootd_directory.url]
        if kind == "two doors":
            doors.append(doors[0].replace("localhost", "127.0.0.1"))
            assert doors[0] != doors[1]
        site = make_site([xrootd_directory.path], xrootd_directory.lfn.decode(), doors)
    if kind in ("bindings", "wire"):
        site.lister = kind
    site.kind = kind
    site.put("data/a/kept.root")
    site.put("data/a/left.root", 77, known=False)
    site.know("data/a/lost.root")
    return site


def check(site: FaultySite) -> None:
    for folder, _, _ in os.walk(site.stores[0], topdown=False):
        os.utime(folder, (OLD, OLD))
    site.prepare(**({"AccessMethod": "directx"} if site.kind == "directx" else {}))
    ended = site.check()
    assert ended.code == 0, ended.err


def link(site: FaultySite, name: str, target: str) -> None:
    path = site.path(name)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.symlink_to(target)


@pytest.mark.fault(
    "links", "a link to its own directory", "it is unlisted, as a link to that; the rest is found, and nothing twice"
)
def test_a_link_to_its_own_directory(linked: FaultySite) -> None:
    link(linked, "data/a/self", ".")
    check(linked)
    linked.assert_found(["data/a/lost.root"], ["data/a/left.root"])


@pytest.mark.fault("links", "a link to a directory above, and two in one directory", "each is unlisted, as a link")
def test_loops(linked: FaultySite) -> None:
    site = linked
    link(site, "data/a/deep/down/top", "../../..")
    link(site, "data/a/one", "..")
    link(site, "data/a/two", "..")
    check(site)
    site.assert_found(["data/a/lost.root"], ["data/a/left.root"])
    if site.kind != "file":
        # Without ids it takes a file to tell that a directory is another one.
        further = b"/a" if site.kind == "directx" else b""
        links = [b"data/a/deep/down/top", b"data/a/one", b"data/a/two"]
        assert site.unlisted() == dict.fromkeys((path + further for path in links), "the same as another directory")


@pytest.mark.fault(
    "links", "twenty directories, each with two links to the next", "some hundred listings instead of a million"
)
@pytest.mark.parametrize("linked", ["bindings", "file"], indirect=True)
def test_many_ways_to_one_directory(linked: FaultySite) -> None:
    site = linked
    for number in range(20):
        site.put(f"data/step{number}/kept.root")
        for name in ("one", "two"):
            link(site, f"data/step{number}/{name}", f"../step{number + 1}")
    site.put("data/step20/left.root", known=False)
    check(site)
    site.assert_found(["data/a/lost.root"], ["data/a/left.root", "data/step20/left.root"])


@pytest.mark.fault(
    "links", "a link to a directory beside it", "its files are no orphans; it is said to be the same as the other"
)
def test_a_link_to_a_directory_beside_it(linked: FaultySite) -> None:
    site = linked
    site.put("data/b/sub/kept.root")
    site.put("data/b/sub/left.root", 55, known=False)
    link(site, "data/0", "b")
    link(site, "data/z", "b/sub")
    check(site)
    site.assert_found(["data/a/lost.root"], ["data/a/left.root", "data/b/sub/left.root"])
    if site.kind != "file":
        # Without ids, a directory without files is told apart by nothing.
        first = b"data/0/sub" if site.kind == "directx" else b"data/0"
        assert site.unlisted() == dict.fromkeys([first, b"data/z"], "the same as another directory")


@pytest.mark.fault(
    "links", "directories that the inventory does not know, and a link to one", "their files are orphans, once"
)
def test_a_link_to_an_unknown_directory(linked: FaultySite) -> None:
    site = linked
    site.put("data/new/left.root", 44, known=False)
    link(site, "data/newer", "new")
    check(site)
    site.assert_found(["data/a/lost.root"], ["data/a/left.root", "data/new/left.root"])


@pytest.mark.fault(
    "links", "an inventory that has files under the name of a link", "no file is an orphan under its other name"
)
@pytest.mark.parametrize("linked", ["bindings", "two doors", "directx"], indirect=True)
def test_an_inventory_that_knows_both_names(linked: FaultySite) -> None:
    site = linked
    site.put("data/b/one.root", 11)
    site.put("data/b/two.root", 22, known=False)
    site.put("data/b/left.root", 33, known=False)
    link(site, "data/c", "b")
    site.know("data/c/two.root", 22)
    check(site)
    site.assert_found(["data/a/lost.root"], ["data/a/left.root", "data/b/left.root", "data/c/left.root"])


@pytest.mark.fault(
    "links", "a link out of the export, and back into it", "what is inside is judged once; no file twice"
)
def test_a_link_out_and_back(linked: FaultySite, tmp_path: Path) -> None:
    site = linked
    site.put("data/b/kept.root", 22)
    outside = site.stores[0].parent / f"outside-{site.stores[0].name}"
    outside.mkdir()
    outside.chmod(0o755)
    (outside / "back").symlink_to(site.path("data"))
    (outside / "b").symlink_to(site.path("data/b"))
    link(site, "data/out", str(outside))
    check(site)
    site.assert_found(["data/a/lost.root"], ["data/a/left.root"])


@pytest.mark.fault("links", "a link to what is above the directories that are looked at", "nothing behind it is judged")
def test_a_link_above_the_tops(linked: FaultySite) -> None:
    site = linked
    site.put("other/kept.root", 22, known=False)
    site.put("aside.root", 23, known=False)
    link(site, "data/up", "..")
    check(site)
    site.assert_found(["data/a/lost.root"], ["data/a/left.root"])


@pytest.mark.fault(
    "links", "links to files, and a second name of a file", "they are files of their own, present, missing or orphans"
)
def test_links_to_files(linked: FaultySite) -> None:
    site = linked
    link(site, "data/a/known.link", "kept.root")
    site.know("data/a/known.link")
    link(site, "data/a/unknown.link", "kept.root")
    os.link(site.path("data/a/kept.root"), site.path("data/a/hard.root"))
    check(site)
    site.assert_found(["data/a/lost.root"], ["data/a/hard.root", "data/a/left.root", "data/a/unknown.link"])


@pytest.mark.fault(
    "links", "links that lead nowhere, alone and beside others", "a file behind one is missing; its directory not empty"
)
def test_dangling_links(linked: FaultySite) -> None:
    site = linked
    link(site, "data/a/known.link", "nowhere")
    site.know("data/a/known.link")
    link(site, "data/only/dangling", "nowhere")
    site.make("data/above/empty")
    link(site, "data/above/dangling", "nowhere")
    site.make("data/pipes")
    os.mkfifo(site.path("data/pipes/pipe"))
    check(site)
    empty = ["data/above/empty"]
    if site.kind == "directx":
        # Its program shows a pipe as a file.
        assert b"data/pipes/pipe" in site.found("compare_orphan")
        return
    site.assert_found(["data/a/known.link", "data/a/lost.root"], ["data/a/left.root"], empty=empty)


@pytest.mark.fault(
    "directories", "a directory where the inventory has a file, and a file where it has one", "the files are missing"
)
def test_a_directory_in_place_of_a_file(linked: FaultySite) -> None:
    site = linked
    site.put("data/a/was-file/kept.root")
    site.know("data/a/was-file")
    site.put("data/a/was-directory", known=False)
    site.know("data/a/was-directory/lost.root")
    check(site)
    site.assert_found(
        ["data/a/lost.root", "data/a/was-directory/lost.root", "data/a/was-file"],
        ["data/a/left.root", "data/a/was-directory"],
    )
    assert site.unlisted() == {}
