"""The commands doctor and explain --live at doors that speak WebDAV and S3, on real servers."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest

from tests.cli.loaded import run
from tests.cli.program import Ended
from tests.servers.fixtures import ServedDirectory
from tests.servers.s3 import ENVIRONMENT, S3Server


def prepare(home: Path, root: str, door: str) -> None:
    (home / "inventory.txt").write_text(f"{root}/mc/a.root\n{root}/mc/lost.root\n")
    site = {"Inventory": "inventory.txt", "Doors": [door], "RootPath": root, "DirectoryList": ["mc"]}
    values = {"Timeout": 5, "Layout": "shared", "Sites": {"T2_X": site}}
    (home / "consistency_config.json").write_text(json.dumps(values))


def examined(home: Path, **environment: str) -> tuple[Ended, dict[str, str]]:
    """Give what the last line of each part says."""
    ended = run("doctor", "T2_X", "--json", cwd=home, env=environment)
    return ended, {line["part"]: line["text"] for line in ended.json["lines"]}


def is_there(home: Path, path: str, **environment: str) -> Any:
    """Give what the only door says now."""
    ended = run("explain", path, "--site", "T2_X", "--live", "--json", cwd=home, env=environment)
    assert ended.code == 0
    (door,) = ended.json["live"]["doors"]
    return door["there"]


@pytest.mark.parametrize("kind", ["apache", "http"])
def test_a_webdav_door(request: pytest.FixtureRequest, tmp_path: Path, kind: str) -> None:
    served: ServedDirectory = request.getfixturevalue(f"{kind}_directory")
    (served.path / "mc").mkdir()
    (served.path / "mc/a.root").touch()
    root = os.fsdecode(served.lfn)
    prepare(tmp_path, root, served.url)
    ended, said = examined(tmp_path)
    assert (ended.code, ended.json["level"]) == (0, "warning")
    assert f"{served.url}: WebDAV, connected in " in said["doors"]
    assert said["store"] == f"{root}/mc can be listed: 1 entry"
    assert "suit it as limits" in said["speed"]
    # XRootD's plugin puts no date into its answers.
    assert ("by the date of its answer" in said["clock"]) == (kind == "apache")
    assert is_there(tmp_path, f"{root}/mc/a.root") is True
    assert is_there(tmp_path, f"{root}/mc/lost.root") is False


def test_a_webdav_door_without_the_encryption_that_it_is_asked_for(
    apache_directory: ServedDirectory, tmp_path: Path
) -> None:
    prepare(tmp_path, "/store", apache_directory.url.replace("dav://", "davs://"))
    ended = run("doctor", "T2_X", cwd=tmp_path)
    assert ended.code == 4
    assert "it has no encryption at this port; name the port that has TLS; dav://" in ended.out


def test_an_s3_door(s3_server: S3Server, tmp_path: Path) -> None:
    s3_server.make_bucket("examined")
    s3_server.put("examined", b"store/mc/a.root", 5, 1_700_000_000)
    prepare(tmp_path, "/store", f"{s3_server.url}/examined")
    ended, said = examined(tmp_path, **ENVIRONMENT)
    assert (ended.code, ended.json["level"]) == (0, "warning")
    assert f"{s3_server.url}/examined: S3, connected in " in said["doors"]
    assert said["credentials"] == "key of AWS_ACCESS_KEY_ID; it does not say when it ends"
    assert said["store"] == "/store/mc can be listed: 1 entry"
    assert "by the date of its answer" in said["clock"]
    assert ENVIRONMENT["AWS_SECRET_ACCESS_KEY"] not in ended.out
    assert is_there(tmp_path, "/store/mc/a.root", **ENVIRONMENT) is True
    assert is_there(tmp_path, "/store/mc/lost.root", **ENVIRONMENT) is False


def test_a_bucket_that_is_not_there(s3_server: S3Server, tmp_path: Path) -> None:
    prepare(tmp_path, "/store", f"{s3_server.url}/no-such-bucket")
    ended, said = examined(tmp_path, **ENVIRONMENT)
    assert (ended.code, "404 NoSuchBucket" in said["store"]) == (4, True)
