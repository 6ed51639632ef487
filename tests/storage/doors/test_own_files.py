from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from storage.config.site import SiteConfig
from storage.doors.own_files import keep_apart
from storage.doors.source import DoorsError, StoreSource
from storage.listers.protocol import StoreSpec


def _keep_apart(home: Path, door: str, **changes: Any) -> None:
    site = SiteConfig("T2_X", var_location=home / "var", web_dir=home / "www")
    site = replace(site, **changes)
    keep_apart(site, StoreSource(StoreSpec((door,)), (b"/store/data",), site, "T2_X"))


@pytest.mark.parametrize(
    ("key", "changed"),
    [
        ("VarLocation", {"var_location": "x/var"}),
        ("WebDir", {"web_dir": ""}),
        ("MetricsDir", {"metrics_dir": "metrics"}),
    ],
)
def test_what_the_program_writes_may_not_lie_in_what_is_listed(
    tmp_path: Path, key: str, changed: dict[str, str]
) -> None:
    ((field, place),) = changed.items()
    own = tmp_path / "store/data" / place
    own.mkdir(parents=True)
    with pytest.raises(DoorsError) as caught:
        _keep_apart(tmp_path, f"file://{tmp_path}", **{field: own})
    message = str(caught.value)
    assert message.startswith(f"the site T2_X: {key}, {own}, lies in {tmp_path}/store/data, which is to be listed")


def test_it_is_found_behind_a_link_and_before_it_is_there(tmp_path: Path) -> None:
    (tmp_path / "store/data").mkdir(parents=True)
    (tmp_path / "here").symlink_to(tmp_path / "store/data")
    with pytest.raises(DoorsError, match="VarLocation"):
        _keep_apart(tmp_path, f"file://{tmp_path}", var_location=tmp_path / "here/not/yet")


def test_what_is_ignored_may_lie_there(tmp_path: Path) -> None:
    own = tmp_path / "store/data/ours"
    _keep_apart(tmp_path, f"file://{tmp_path}", var_location=own, web_dir=own / "www", ignore_directories=(b"/ours/",))


@pytest.mark.parametrize("door", ["file://{}", "root://localhost/{}"])
def test_other_places_are_nobodys_business(tmp_path: Path, door: str) -> None:
    _keep_apart(tmp_path, door.format(tmp_path), web_dir=tmp_path / "store/data2")
    _keep_apart(tmp_path, door.format(tmp_path), web_dir=tmp_path / "store")


def test_another_machines_paths_are_not_ours(tmp_path: Path) -> None:
    _keep_apart(tmp_path, f"root://localhost/{tmp_path}", var_location=tmp_path / "store/data/var")
