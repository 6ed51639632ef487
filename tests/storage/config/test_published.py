"""The copy of the configuration beside the page holds no secret, and changes only when the configuration does."""

from __future__ import annotations

import datetime
import json
import os
from pathlib import Path
from typing import Any

import pytest

from storage.atomic import ReportError
from storage.config.published import NAME, publish, without_secrets

SECRET = "s3cr3t"


@pytest.mark.parametrize(
    "value",
    [
        {"SQL": {"URL": f"mysql+pymysql://reader:{SECRET}@db.example/dynamo"}},
        {"SQL": {"URL": f"postgresql://reader:a/{SECRET}@b@db.example:5432/dynamo"}},
        {"SQL": {"URL": f"postgresql://db.example/dynamo?user=x&password={SECRET}&sslmode=require"}},
        {"SQL": {"URL": f"postgresql:///d?sslpassword={SECRET}"}},
        {"SQL": {"URL": f"postgresql:///d?key_of_somebody={SECRET}"}},
        {"Doors": [f"root://{SECRET}@door.example//store"]},
        {"Doors": [f"https://door.example/store?authz={SECRET}"]},
        {"Doors": [f"srm://door.example/srm/managerv2?SFN=/x&authz={SECRET}"]},
        {"Doors": [f"srm://door.example/srm/managerv2?authz={SECRET}&SFN=/x"]},
        {"Password": SECRET},
        {"db_passwd": SECRET},
        {"Nested": [{"API_KEY": {"inner": SECRET}}]},
        {"BearerToken": [SECRET]},
        {"ListDeletable": {"PROTECTED_LIST": f"https://u:{SECRET}@cms.example/list?token={SECRET}"}},
        {"RuntimeEnv": {"env_vars": {"AWS_ACCESS_KEY_ID": SECRET, "NUMBER": SECRET}}},
        {"Header": f"Authorization: Bearer {SECRET}"},
        {"DSN": f"host=db password='{SECRET} {SECRET}' dbname=x"},
        {"Note": f"eyJhbGciOiJSUzI1NiJ9.{SECRET}abc.{SECRET}"},
    ],
)
def test_secrets_are_blotted_out(value: dict[str, Any]) -> None:
    text = json.dumps(without_secrets(value))
    assert SECRET not in text
    assert "***" in text


def test_everything_else_stands_as_it_is() -> None:
    value = {
        "RootPath": "/store",
        "Doors": ["root://door.example:1094//cms", "srm://door.example:8443/srm/managerv2?SFN=/pnfs/x"],
        "SQL": {"URL": "sqlite:////srv/inventory.db", "Files": "SELECT lfn FROM files WHERE site = :site"},
        "Email": {"Sender": "a@example.org", "Recipients": ["b@example.org"]},
        "MaxMissing": 5,
        "IgnoreAge": 1.5,
        "SaveCache": False,
        "Inventory": None,
        "Token": None,
    }
    assert without_secrets(value) == value


def test_what_json_cannot_hold_becomes_text() -> None:
    assert without_secrets({1: datetime.date(2026, 1, 2), "x": (1, 2)}) == {"1": "2026-01-02", "x": [1, 2]}


def test_it_is_written_when_it_changed(tmp_path: Path) -> None:
    source, web = tmp_path / "sites.yaml", tmp_path / "www"
    source.write_text("MaxMissing: 5")
    web.mkdir()
    assert publish({"MaxMissing": 5}, source, web)
    assert json.loads((web / NAME).read_text()) == {"MaxMissing": 5}
    os.utime(web / NAME, (1, 1))
    assert not publish({"MaxMissing": 5}, source, web)
    assert (web / NAME).stat().st_mtime == 1
    assert publish({"MaxMissing": 6}, source, web)
    assert json.loads((web / NAME).read_text()) == {"MaxMissing": 6}
    assert [file.name for file in web.iterdir()] == [NAME]


def test_names_that_are_no_unicode_are_written(tmp_path: Path) -> None:
    assert publish({"RootPath": "/\udcff"}, tmp_path / "x", tmp_path)
    assert not publish({"RootPath": "/\udcff"}, tmp_path / "x", tmp_path)
    assert json.loads((tmp_path / NAME).read_text()) == {"RootPath": "/\udcff"}


def test_the_configuration_itself_is_never_written(tmp_path: Path) -> None:
    source = tmp_path / NAME
    source.write_text("{ }")
    assert not publish({"MaxMissing": 5}, source, tmp_path)
    assert source.read_text() == "{ }"
    web = tmp_path / "www"
    web.mkdir()
    (web / NAME).symlink_to(source)
    assert not publish({"MaxMissing": 5}, source, web)
    assert source.read_text() == "{ }"


def test_what_is_in_the_way_is_named(tmp_path: Path) -> None:
    (tmp_path / NAME).mkdir()
    with pytest.raises(ReportError, match="Is a directory"):
        publish({}, tmp_path / "x", tmp_path)
    with pytest.raises(ReportError, match="No such file or directory"):
        publish({}, tmp_path / "x", tmp_path / "none")
