"""The files of runs that go on: written whole, listed without a lock, and cleared away when their runs are gone."""

from __future__ import annotations

import json
import multiprocessing
import os
import stat
from pathlib import Path
from typing import Any

import pytest

from engine.pace import DoorPace
from engine.site_states import SiteStatus
from engine.states import Reason
from storage.atomic import ReportError
from storage.page.live import KEEP, LiveFile, clear_live, live_name, put_list_right
from storage.page.words import page_name
from tests.storage.page.planting import NOW, Planted
from tests.storage.page.running import live_run

SITE = "T2_A"
GOLDEN = Path(__file__).parents[1] / "golden" / "live-1.json"


def listed(web: Path) -> list[str]:
    found = json.loads((web / "live/~running.json").read_text())
    assert found["version"] == 1
    names: list[str] = found["running"]
    return names


def there(web: Path) -> list[str]:
    return sorted(path.name for path in (web / "live").iterdir())


def said(web: Path, site: str = SITE) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((web / "live" / live_name(site)).read_text())
    return found


def age(path: Path, seconds: float) -> None:
    """Let a file have been written so long before `NOW`."""
    os.utime(path, (NOW - seconds, NOW - seconds))


def test_what_is_written_is_the_form_that_pages_read(tmp_path: Path) -> None:
    """Pages that are open know this form: another one needs another version, and another golden file."""
    LiveFile(tmp_path, SITE).write(live_run(SITE, NOW, note="nothing has answered for 60 s"))
    assert said(tmp_path) == json.loads(GOLDEN.read_text())


def test_a_file_comes_into_the_list_and_goes_out_of_it(tmp_path: Path) -> None:
    one, other = LiveFile(tmp_path, SITE), LiveFile(tmp_path, "T2_B")
    one.write(live_run(SITE, NOW))
    other.write(live_run("T2_B", NOW))
    assert listed(tmp_path) == ["T2_A.json", "T2_B.json"]
    one.remove()
    assert listed(tmp_path) == ["T2_B.json"]
    other.remove()
    assert listed(tmp_path) == []
    assert there(tmp_path) == ["~running.json"]
    other.remove()


def test_a_list_that_is_right_is_not_written_again(tmp_path: Path) -> None:
    file = LiveFile(tmp_path, SITE)
    file.write(live_run(SITE, NOW))
    before = (tmp_path / "live/~running.json").stat().st_ino
    file.write(live_run(SITE, NOW + 5))
    assert (tmp_path / "live/~running.json").stat().st_ino == before


@pytest.mark.parametrize("damage", ["", "[]", "nonsense", "\0"])
def test_a_damaged_list_is_put_right_by_the_next_who_writes(tmp_path: Path, damage: str) -> None:
    file = LiveFile(tmp_path, SITE)
    file.write(live_run(SITE, NOW))
    (tmp_path / "live/~running.json").write_text(damage)
    file.write(live_run(SITE, NOW))
    assert listed(tmp_path) == ["T2_A.json"]


@pytest.mark.parametrize(
    "site", ["~running", "../../out", "..", "", ".hidden", "a/b", "<b>&\"'\n\0", "größe", "x" * 1000]
)
def test_no_name_of_a_site_leads_out_of_the_directory_or_into_the_list(tmp_path: Path, site: str) -> None:
    web = tmp_path / "www"
    file = LiveFile(web, site)
    file.write(live_run(site, NOW))
    assert [path.name for path in tmp_path.iterdir()] == ["www"]
    assert [path.name for path in web.iterdir()] == ["live"]
    assert there(web) == sorted([live_name(site), "~running.json"])
    assert listed(web) == [live_name(site)]
    assert live_name(site).removesuffix(".json") == page_name(site).removesuffix(".html")


def test_names_and_words_of_others_are_on_one_line_each(tmp_path: Path) -> None:
    hostile = "new\nline\x00\x1b[31m\u2028\udcff<script>"
    failures = [(b"/a\n\xff<b>", Reason.SERVER, hostile), (b"/b", Reason.TIMEOUT, "x" * 5000)]
    LiveFile(tmp_path, hostile).write(live_run(hostile, NOW, phase=hostile, note=hostile, failures=failures))
    text = (tmp_path / "live" / live_name(hostile)).read_text()
    assert text.isprintable()
    found = said(tmp_path, hostile)
    assert found["failures"][0]["path"] == r"/a\n\xff<b>"
    for words in (found["site"], found["phase"], found["note"], found["failures"][0]["detail"]):
        assert words.isprintable()
        assert "<script>" in words
    assert len(found["failures"][1]["detail"]) < 500


def test_no_user_of_a_door_is_shown(tmp_path: Path) -> None:
    door = DoorPace("https://me:secret@door.example.org/store?authz=token", 1, 1, 1, 0.0)
    LiveFile(tmp_path, SITE).write(live_run(SITE, NOW, doors=[door]))
    text = (tmp_path / "live/T2_A.json").read_text()
    assert "door.example.org" in text
    assert "secret" not in text
    assert "token" not in text


def test_everybody_may_read_what_a_web_server_is_to_give_out(tmp_path: Path) -> None:
    before = os.umask(0o022)
    try:
        LiveFile(tmp_path, SITE).write(live_run(SITE, NOW))
    finally:
        os.umask(before)
    for name in there(tmp_path):
        assert stat.S_IMODE((tmp_path / "live" / name).stat().st_mode) == 0o644


def test_what_cannot_be_written_is_named_and_nothing_half_is_left(tmp_path: Path) -> None:
    (tmp_path / "live").write_text("a file")
    with pytest.raises(ReportError, match=f"{tmp_path}/live"):
        LiveFile(tmp_path, SITE).write(live_run(SITE, NOW))
    with pytest.raises(ValueError, match="JSON"):
        LiveFile(tmp_path / "other", SITE).write(live_run(SITE, NOW, rate=float("nan")))
    assert not list((tmp_path / "other").rglob("*.json"))


def _write_often(web: Path, site: str, stays: bool) -> None:
    file = LiveFile(web, site)
    for number in range(60):
        file.write(live_run(site, NOW + number))
    if not stays:
        file.remove()


def test_many_runs_write_at_once_and_need_no_lock(tmp_path: Path) -> None:
    context = multiprocessing.get_context("spawn")
    sites = {f"T2_{number}": number % 2 == 0 for number in range(4)}
    writers = [context.Process(target=_write_often, args=(tmp_path, site, stays)) for site, stays in sites.items()]
    for writer in writers:
        writer.start()
    while any(writer.is_alive() for writer in writers):
        for path in (tmp_path / "live").glob("*.json"):
            try:
                text = path.read_text()
            except FileNotFoundError:
                continue
            assert json.loads(text)["version"] == 1, "nobody sees half of a file"
    for writer in writers:
        writer.join()
        assert writer.exitcode == 0
    # Whoever writes next puts right what was left wrong, if anything was.
    put_list_right(tmp_path / "live")
    assert listed(tmp_path) == ["T2_0.json", "T2_2.json"]
    assert there(tmp_path) == ["T2_0.json", "T2_2.json", "~running.json"]


def test_the_file_of_a_killed_run_goes_with_the_next_build(planted: Planted) -> None:
    for site, status in (("T2_Killed", SiteStatus.READY), ("T2_Runs", SiteStatus.RUNNING), (SITE, SiteStatus.READY)):
        planted.site(site, status)
        LiveFile(planted.web, site).write(live_run(site, NOW))
    age(planted.web / "live/T2_Killed.json", 2 * KEEP)
    age(planted.web / "live/T2_Runs.json", 1000 * KEEP)
    age(planted.web / "live/T2_A.json", KEEP / 2)
    planted.build()
    assert listed(planted.web) == ["T2_A.json", "T2_Runs.json"], "one may have begun since the databases were read"


def test_what_is_somebody_elses_stays(planted: Planted) -> None:
    planted.build()
    live = planted.web / "live"
    precious = planted.base / "precious.json"
    LiveFile(planted.base, "precious").write(live_run("precious", NOW))
    (planted.base / "live/precious.json").rename(precious)
    (live / "link.json").symlink_to(precious)
    (live / "mine.json").write_text('{"mine": 1}')
    (live / "nonsense.json").write_text("nonsense")
    (live / "notes.txt").write_text("notes")
    (live / "folder.json").mkdir()
    for path in (precious, *live.glob("*.json")):
        if not path.is_symlink():
            age(path, 100 * KEEP)
    os.utime(live / "link.json", (NOW - 100 * KEEP,) * 2, follow_symlinks=False)
    clear_live(planted.web, (), NOW)
    assert precious.is_file()
    assert there(planted.web) == [
        "folder.json", "link.json", "mine.json", "nonsense.json", "notes.txt", "~running.json"
    ]  # fmt: skip


def test_a_link_in_the_place_of_a_file_is_replaced_and_not_written_through(tmp_path: Path) -> None:
    precious = tmp_path / "precious.txt"
    precious.write_text("precious")
    (tmp_path / "www/live").mkdir(parents=True)
    for name in ("T2_A.json", "~running.json"):
        (tmp_path / "www/live" / name).symlink_to(precious)
    LiveFile(tmp_path / "www", SITE).write(live_run(SITE, NOW))
    assert precious.read_text() == "precious"
    assert listed(tmp_path / "www") == ["T2_A.json"]
