from __future__ import annotations

import gzip
import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from cli.xrootd_server import XRootDServer
from storage.snapshot import Snapshot
from tests.cli.loaded import run
from tests.cli.planted import OLD, PlantedSite
from tests.cli.program import environment

KEYS = ["files", "directories", "bytes", "unlisted", "empty", "requests", "seconds"]


def test_json_is_one_object_and_stderr_is_quiet(site: PlantedSite) -> None:
    ended = run("list", site.source, "--json", cwd=site.home.parent)
    assert (ended.code, ended.err) == (0, "")
    assert list(ended.json) == KEYS
    assert ended.json["files"] == site.files
    assert ended.json["unlisted"] == ended.json["empty"] == 1
    assert ended.json["requests"] >= ended.json["directories"] + ended.json["unlisted"]


def test_a_snapshot_holds_what_was_seen_and_what_was_not(site: PlantedSite) -> None:
    ended = run("list", site.source, "-o", "site.snap", cwd=site.home)
    assert ended.code == 0
    assert f"{site.files} files" in ended.out
    assert "could not be listed: 1 directory\n" in ended.out
    assert f"{site.unlisted[0]}: permission denied" in ended.out
    assert ended.out.endswith("written: site.snap\n")
    table = Snapshot(site.home / "site.snap").table
    assert table.total_files() == site.files
    assert [path.decode() for path, _, _ in table.unlisted()] == site.unlisted


def test_text_and_jsonl_have_one_file_a_line(site: PlantedSite) -> None:
    assert run("list", site.source, "-o", "site.txt", "--format", "text", cwd=site.home).code == 0
    assert run("list", site.source, "-o", "site.jsonl", "--format", "jsonl", cwd=site.home).code == 0
    lines = (site.home / "site.txt").read_text().splitlines()
    text = [line for line in lines if not line.startswith("#")]
    assert f"# not listed: {site.unlisted[0]} (permission denied)" in lines
    objects = [json.loads(line) for line in (site.home / "site.jsonl").read_text().splitlines()]
    assert len(text) == len(objects) == site.files
    assert f"{site.lfn}/data/c/übrig.root 10 {OLD}" in text
    assert {"path": f"{site.lfn}/mc/a/with blank.root", "size": 10, "mtime": OLD} in objects


def test_a_site_of_the_configuration_is_listed_by_name(site: PlantedSite) -> None:
    ended = run("--config", site.config, "list", site.name, "--json", cwd=site.home.parent)
    assert ended.json["files"] == site.files


def test_a_directory_is_listed_without_a_server_or_a_configuration(tmp_path: Path) -> None:
    (tmp_path / "tree/deep").mkdir(parents=True)
    (tmp_path / "tree/deep/file").write_bytes(b"12345")
    for source in ("tree", f"file://{tmp_path}/tree"):
        ended = run("list", source, "--json", cwd=tmp_path)
        assert ended.code == 0
        assert {key: ended.json[key] for key in ("files", "directories", "bytes", "unlisted")} == {
            "files": 1,
            "directories": 2,
            "bytes": 5,
            "unlisted": 0,
        }


def test_exit_code_tells_that_something_could_not_be_seen(site: PlantedSite) -> None:
    assert run("list", site.source, "--exit-code", cwd=site.home).code == 5
    assert run("list", f"{site.source}/data", "--exit-code", cwd=site.home).code == 0


def test_a_door_where_nobody_answers(tmp_path: Path) -> None:
    ended = run("list", "root://localhost:1//store", "-o", "x.snap", cwd=tmp_path, env={"Retries": "0"})
    assert ended.code == 4
    assert ended.message == (
        "root://localhost:1//store: root: no top directory could be listed (/store: connection failed at localhost:1: "
        "connection refused)"
    )
    assert list(tmp_path.iterdir()) == []


def test_a_door_that_takes_connections_and_says_nothing(
    start_xrootd: Callable[..., XRootDServer], tmp_path: Path
) -> None:
    server = start_xrootd()
    server.pause()
    env = {"Retries": "0", "Timeout": "1"}
    ended = run("list", f"{server.url}//store", "-o", "x.snap", cwd=tmp_path, env=env)
    assert ended.code == 4
    assert ended.message.startswith(f"{server.url}//store: root: no top directory could be listed (/store: ")
    assert list(tmp_path.iterdir()) == []


def test_a_root_that_is_not_there(site: PlantedSite) -> None:
    ended = run("list", f"{site.source}/nowhere", "-o", "x.snap", cwd=site.home)
    assert ended.code == 4
    assert "no such file or directory" in ended.message
    assert not list(site.home.glob("x.snap*"))


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["nosuchsite"], '"nosuchsite" is neither a site nor a path on disk'),
        (["gsiftp://localhost//store"], 'unknown scheme "gsiftp"'),
        (["root://localhost/store"], "write two, as in root://host//store"),
        (["root://localhost:port//store"], '"root://localhost:port//store"'),
        ([""], "an empty source"),
        (["file.txt"], "file.txt is a file; list takes a site, a URL or a directory"),
        (["tree", "--format", "xml"], "--format: expected snapshot, text or jsonl, found 'xml'"),
        (["tree", "--runtime", "slurm"], "--runtime: expected ray or threads, found 'slurm'"),
        (["tree", "--address", "host:6379"], "--address goes with --runtime ray"),
        (["tree", "-o", "file.txt/x.snap"], "file.txt cannot be made: "),
        (["tree", "-o", "tree"], "tree is a directory; -o takes the name of a file"),
        (["tree", "-o", "x.part"], "x.part: an unfinished listing is called so; give -o another name"),
        (
            ["tree", "--listers", "0"],
            "Invalid value for '--listers': expected 1 or more; see dynamo-consistency list --help",
        ),
        (["tree", "--listers", "1001"], "Invalid value for '--listers': expected 1000 or less; see "),
        (["tree", "--in-flight", "few"], "Invalid value for '--in-flight': expected a whole number; see "),
        ([], "Missing argument 'SOURCE'; see dynamo-consistency list --help"),
        (["tree", "--bogus"], "No such option: --bogus; see dynamo-consistency list --help"),
    ],
)
def test_what_is_wrong_is_said_in_one_line(tmp_path: Path, arguments: list[str], said: str) -> None:
    (tmp_path / "tree").mkdir()
    (tmp_path / "file.txt").write_text("/a\n")
    ended = run("list", *arguments, cwd=tmp_path)
    assert ended.code == 2
    assert said in ended.message
    assert sorted(path.name for path in tmp_path.iterdir()) == ["file.txt", "tree"]


def test_the_directory_of_the_output_is_made_as_by_compare(tmp_path: Path) -> None:
    (tmp_path / "tree").mkdir()
    (tmp_path / "tree/a").touch()
    assert run("list", "tree", "-o", "new/er/x.snap", cwd=tmp_path).code == 0
    assert (tmp_path / "new/er/x.snap").is_file()
    assert run("compare", "new/er/x.snap", "tree", "-o", "newer/still/x", cwd=tmp_path).code == 0


def test_a_full_or_protected_place_for_the_output_is_named(site: PlantedSite) -> None:
    (site.home / "site.snap.part").mkdir()
    ended = run("list", site.source, "-o", "site.snap", cwd=site.home)
    assert ended.code == 2
    assert ended.message.endswith("site.snap.part: Is a directory")


def test_what_was_saved_can_be_compared_packed_or_not(site: PlantedSite) -> None:
    source = f"{site.source}/data"
    run("list", source, "-o", "site.txt", "--format", "text", cwd=site.home)
    (site.home / "site.gz").write_bytes(gzip.compress((site.home / "site.txt").read_bytes()))
    ended = run("compare", "site.gz", source, "--json", cwd=site.home)
    assert {ended.json[key] for key in ("missing", "orphan", "size_mismatch", "protected")} == {0}


def test_an_incomplete_list_as_text_is_refused_where_a_snapshot_is_not(site: PlantedSite) -> None:
    run("list", site.source, "-o", "site.txt", "--format", "text", cwd=site.home)
    ended = run("compare", "inventory.txt", "site.txt", cwd=site.home)
    assert ended.code == 2
    assert "expected a complete list; of an incomplete one, compare the snapshot" in ended.message


def test_the_threads_runtime_loads_no_ray(tmp_path: Path) -> None:
    code = (
        "import sys\n"
        "from cli.main import main\n"
        "sys.argv = ['dynamo-consistency', 'list', '.', '--json']\n"
        "try:\n    main()\n"
        "except SystemExit as end:\n    assert not end.code\n"
        "print(sorted({name.partition('.')[0] for name in sys.modules} & {'ray', 'sqlite_utils', 'XRootD'}))\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, env=environment(), capture_output=True, text=True, timeout=60
    )
    assert done.stdout.splitlines()[1:] == ["[]"], done
