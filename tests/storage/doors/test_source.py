import os
import pickle
import socket
import tempfile
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine import paths
from storage.config.loading import Config
from storage.doors.source import FileSource, Source, SourceError, StoreSource, parse_source, site_source
from storage.listers.protocol import WIRE, StoreSpec


@pytest.fixture
def config(tmp_path: Path) -> Config:
    path = tmp_path / "site.yaml"
    path.write_text(
        "Timeout: 7\nConnections: 3\n"
        "Sites:\n"
        "  T2_A: {Doors: [root://a, root://b//own], PathPrefix: /cms, DirectoryList: [mc], Timeout: 9}\n"
        "  T2_Bare: {}\n"
    )
    return Config.load(path, {})


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    work = tmp_path / "work"
    work.mkdir()
    monkeypatch.chdir(work)
    return work


def _store(source: Source) -> StoreSource:
    assert isinstance(source, StoreSource)
    return source


def _refusal(text: str, config: Config | None = None) -> str:
    with pytest.raises(SourceError) as caught:
        parse_source(text, config)
    assert str(caught.value).isprintable()
    return str(caught.value)


def test_a_site_brings_its_doors_and_directories(config: Config) -> None:
    source = _store(parse_source("T2_A", config))
    assert source.spec == StoreSpec(("root://a//cms", "root://b//own"), timeout=9.0, connections=3, tries=4)
    assert source.tops == (b"/store/mc",)
    assert source.site == config.site("T2_A")
    assert source.label == "T2_A"
    assert pickle.loads(pickle.dumps(source)) == source


def test_a_site_is_the_same_source_with_or_without_its_configuration(config: Config) -> None:
    assert site_source(config.site("T2_A")) == parse_source("T2_A", config)


def test_a_source_has_an_address_unless_its_label_says_it(config: Config) -> None:
    assert _store(parse_source("T2_A", config)).address == "root://a//cms, root://b//own"
    assert _store(parse_source("root://a//store", config)).address == ""


def test_a_site_without_doors_names_the_key(config: Config) -> None:
    assert _refusal("T2_Bare", config) == "the site T2_Bare has no doors; set Sites.T2_Bare.Doors to a list of URLs"


def test_a_site_goes_before_a_directory_of_the_same_name(config: Config, here: Path) -> None:
    (here / "T2_A").mkdir()
    assert _store(parse_source("T2_A", config)).site is not None
    assert _store(parse_source("./T2_A", config)).tops == (os.fsencode(here / "T2_A"),)
    assert _store(parse_source("T2_A", None)).tops == (os.fsencode(here / "T2_A"),)


@pytest.mark.parametrize(
    ("text", "door", "top", "label"),
    [
        ("root://door//store/mc", "root://door", b"/store/mc", "root://door//store/mc"),
        ("root://door:1094//store//mc/", "root://door:1094", b"/store/mc", "root://door:1094//store/mc"),
        ("ROOTS://door:1//a%20b c", "roots://door:1", b"/a%20b c", "roots://door:1//a%20b c"),
        (
            "root://[2001:db8::7]:1094//store",
            "root://[2001:db8::7]:1094",
            b"/store",
            "root://[2001:db8::7]:1094//store",
        ),
        ("root://door//", "root://door", b"/", "root://door"),
        ("root://door//\udcff\n", "root://door", b"/\xff\n", "root://door//\\udcff\\n"),
    ],
)
def test_a_url_is_one_door_and_one_top(text: str, door: str, top: bytes, label: str) -> None:
    assert parse_source(text, None) == StoreSource(StoreSpec((door,)), (top,), None, label)


def test_a_url_takes_timeout_and_connections_from_the_top_level(config: Config) -> None:
    source = _store(parse_source("root://door//store", config))
    assert source.spec == StoreSpec(("root://door",), timeout=7.0, connections=3)
    assert source.site is None


def test_a_url_takes_its_lister_from_the_top_level() -> None:
    config = Config.default({"Lister": "wire"})
    assert _store(parse_source("root://door//store", config)).spec.method == WIRE


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("ftp://door//store", 'unknown scheme "ftp"'),
        ("root://door", "no path; write which directory to list, as in root://door//store"),
        ("root://door:1094/", "no path; write which directory to list, as in root://door:1094//store"),
        ("file://", "no path; write which directory to list, as in file:///data"),
        ("root://door:65536//store", 'bad port "65536"'),
        ("root:////store", "the host is missing"),
        ("root://:1094//store", "the host is missing"),
        ("root://door/store", "write two"),
        ("root://door//store?authz=x", "XRootD cuts a path at '?'"),
        ("root://door//a/../b", "component"),
        ("file://door/data", "write three slashes"),
    ],
)
def test_a_wrong_url_is_refused_with_what_was_given(text: str, why: str) -> None:
    refusal = _refusal(text)
    assert why in refusal
    assert refusal.startswith(f'"{text.partition("?")[0]}')
    assert "authz" not in refusal


def test_neither_a_site_nor_a_path_lists_the_sites(config: Config) -> None:
    assert _refusal("T2_C", config).startswith('"T2_C" is neither a site nor a path on disk; expected a site of ')
    assert _refusal("T2_C", config).endswith("; known sites: T2_A, T2_Bare")
    assert "known sites" not in _refusal("T2_C")
    assert _refusal("T2_C", Config.default({})).endswith("; known sites: none")
    for text in ("a\0b", "\ud800", "x" * 50):
        assert "is neither a site nor a path" in _refusal(text)
    assert "File name too long" in _refusal("x" * 5000)
    assert _refusal("").startswith("an empty source; expected ")


def test_directories_become_absolute_and_links_stay(here: Path, config: Config) -> None:
    (here / "real" / "sub").mkdir(parents=True)
    (here / "link").symlink_to("real")
    for text, top in [
        (".", here),
        ("real", here / "real"),
        ("./real//sub/", here / "real" / "sub"),
        ("real/sub/../sub", here / "real" / "sub"),
        (f"../{here.name}/real", here / "real"),
        ("link", here / "link"),
        ("link/sub", here / "link" / "sub"),
        (str(here / "link"), here / "link"),
        (f"/{here}", here),
        (f"file://{here}/link", here / "link"),
    ]:
        source = _store(parse_source(text, config))
        assert source.tops == (os.fsencode(top),)
        assert source.spec == StoreSpec(("file://",), timeout=7.0, connections=3)
        assert source.label == str(top)
        assert source.site is None


def test_going_up_from_a_link_is_refused(here: Path) -> None:
    (here / "elsewhere" / "real").mkdir(parents=True)
    (here / "link").symlink_to("elsewhere/real")
    (here / "elsewhere" / "only").mkdir()
    for text in ("link/..", "link/../only"):
        assert _refusal(text) == f"\"{text}\": '..' after a symbolic link; write the path without '..'"


@pytest.mark.parametrize("name", ["a b", "100%", "a%20b", "Köln", "line\nbreak", "\udcff", "what?"])
def test_directories_of_any_name(here: Path, name: str) -> None:
    directory = here / name
    directory.mkdir()
    assert _store(parse_source(name, None)).tops == (os.fsencode(directory),)
    percent = "".join([f"%{byte:02X}" for byte in os.fsencode(name)])
    source = _store(parse_source(f"file://{here}/{percent}", None))
    assert source.tops == (os.fsencode(directory),)
    assert source.label.isprintable()


def test_a_regular_file_is_a_snapshot_or_an_inventory(here: Path) -> None:
    (here / "dump.csv").write_text("lfn\n")
    (here / "link.csv").symlink_to("dump.csv")
    assert parse_source("dump.csv", None) == FileSource(here / "dump.csv")
    assert parse_source(f"file://{here}/dump.csv", None) == FileSource(here / "dump.csv")
    assert parse_source("link.csv", None) == FileSource(here / "link.csv")


def test_what_is_neither_directory_nor_file_is_refused(here: Path) -> None:
    os.mkfifo(here / "pipe")
    assert _refusal("pipe") == '"pipe" is neither a directory nor a regular file'
    # The name of a socket must be short.
    with tempfile.TemporaryDirectory() as directory, socket.socket(socket.AF_UNIX) as server:
        server.bind(f"{directory}/s")
        assert "is neither a directory nor a regular file" in _refusal(f"file://{directory}/s")


def test_a_file_url_to_nothing_is_refused(here: Path) -> None:
    assert _refusal(f"file://{here}/none") == f'"file://{here}/none": No such file or directory'


def test_a_directory_that_is_gone_is_refused(here: Path) -> None:
    here.rmdir()
    assert _refusal(".") == '".": the working directory is gone'


@given(st.text(st.characters(codec="utf-8", exclude_characters="?\0"), min_size=1))
def test_any_path_behind_a_door_is_canonical_or_refused(path: str) -> None:
    text = f"root://door//{path}"
    if {".", ".."}.isdisjoint(path.split("/")):
        source = _store(parse_source(text, None))
        assert source.tops == (paths.canonical(paths.encode(f"/{path}")),)
        assert source.label.isprintable()
    else:
        assert "component" in _refusal(text)


@pytest.mark.parametrize("text", ["gsiftp://door/x", "srm://door/srm?SFN=/pnfs/x"])
def test_what_only_gfal_speaks_is_listed_as_a_site(text: str) -> None:
    assert "gfal-ls lists sites of the configuration, with AccessMethod SRM" in _refusal(text, None)
