from __future__ import annotations

import logging
import os
import re
import stat
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from storage.config.site import SiteConfig
from storage.doors import redirectors
from storage.doors.locate import DataServer, LocateError
from storage.doors.redirectors import NoDoors, domain_of, find_doors, matches, redirector_list

HOUR = 3600.0


class Directory:
    """Stands for redirectors, whose answers a test chooses; real ones are asked in test_locate and test_resolve."""

    def __init__(self) -> None:
        self.servers: dict[str, list[str]] = {}
        self.asked: list[str] = []

    def locate(self, redirector: str, path: bytes, seconds: float, _heed: Callable[[], None]) -> tuple[DataServer, ...]:
        self.asked.append(redirector)
        if redirector not in self.servers:
            raise LocateError(f"{redirector} gave no answer in time")
        return tuple([DataServer(door, door) for door in self.servers[redirector]])


@pytest.fixture
def directory(monkeypatch: pytest.MonkeyPatch) -> Directory:
    made = Directory()
    monkeypatch.setattr(redirectors, "locate", made.locate)
    return made


def site(tmp_path: Path, **settings: object) -> SiteConfig:
    return SiteConfig("T2_X", var_location=tmp_path / "var", **settings)  # type: ignore[arg-type]


def found(config: SiteConfig) -> tuple[str, ...]:
    return find_doors(config, b"/store", 5).doors


def age(config: SiteConfig, seconds: float) -> None:
    file = redirector_list(config)
    then = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(time.time() - seconds))
    file.write_text(re.sub(r"found \S+", f"found {then}", file.read_text()))


def test_the_redirector_of_the_site_is_asked_and_its_answer_kept(tmp_path: Path, directory: Directory) -> None:
    directory.servers["rdr.one.example"] = ["d2.one.example:1094", "d1.one.example:1095"]
    config = site(tmp_path, redirector="rdr.one.example")

    assert found(config) == found(config) == ("d1.one.example:1095", "d2.one.example:1094")
    assert directory.asked == ["rdr.one.example"]
    assert redirector_list(config) == tmp_path / "var" / "redirectors" / "T2_X_redirector_list.txt"
    lines = redirector_list(config).read_text().splitlines()
    assert lines[0].startswith("# The doors of T2_X")
    assert lines[-2:] == ["d2.one.example:1094 d2.one.example:1094", "d1.one.example:1095 d1.one.example:1095"]
    assert stat.S_IMODE(redirector_list(config).stat().st_mode) & 0o044


def test_a_list_is_kept_for_its_age_or_for_ever(tmp_path: Path, directory: Directory) -> None:
    directory.servers["rdr.one.example"] = ["d1.one.example:1094"]
    config = site(tmp_path, redirector="rdr.one.example", redirector_age=1.0)
    for_ever = site(tmp_path, redirector="rdr.one.example", redirector_age=0.0)
    found(config)
    directory.servers["rdr.one.example"] = ["d9.one.example:1094"]

    age(config, 23 * HOUR)
    assert found(config) == ("d1.one.example:1094",)
    age(config, 10000 * HOUR)
    assert found(for_ever) == ("d1.one.example:1094",)
    age(config, 25 * HOUR)
    assert found(config) == ("d9.one.example:1094",)
    age(config, -25 * HOUR)
    found(config)
    assert len(directory.asked) == 3


def test_an_older_list_is_used_on_when_nobody_answers(
    tmp_path: Path, directory: Directory, caplog: pytest.LogCaptureFixture
) -> None:
    directory.servers["rdr.one.example"] = ["d1.one.example:1094"]
    config = site(tmp_path, redirector="rdr.one.example")
    found(config)
    age(config, 25 * HOUR)
    directory.servers.clear()

    with caplog.at_level(logging.WARNING):
        assert found(config) == ("d1.one.example:1094",)
    assert "rdr.one.example gave no answer in time" in caplog.text
    assert "is used on" in caplog.text


@pytest.mark.parametrize(
    "text",
    ["", "rubbish", "# found yesterday by asking rdr.one.example\nd1:1094\n", "d1.one.example:1094\n", "\xff", "D:x\n"],
)
def test_a_list_that_makes_no_sense_is_made_again_with_a_warning(
    tmp_path: Path, directory: Directory, caplog: pytest.LogCaptureFixture, text: str
) -> None:
    directory.servers["rdr.one.example"] = ["d1.one.example:1094"]
    config = site(tmp_path, redirector="rdr.one.example")
    redirector_list(config).parent.mkdir(parents=True)
    redirector_list(config).write_bytes(text.encode("latin-1"))

    with caplog.at_level(logging.WARNING):
        assert found(config) == ("d1.one.example:1094",)
    assert "searched for again" in caplog.text
    assert found(config) == ("d1.one.example:1094",)
    assert len(directory.asked) == 1


def test_a_list_of_another_redirector_is_of_no_use(tmp_path: Path, directory: Directory) -> None:
    directory.servers = {"one.example": ["d1.one.example:1094"], "two.example": ["d1.two.example:1094"]}
    found(site(tmp_path, redirector="one.example"))

    assert found(site(tmp_path, redirector="two.example")) == ("d1.two.example:1094",)


def test_banned_doors_are_left_out_and_named(tmp_path: Path, directory: Directory) -> None:
    directory.servers["rdr.one.example"] = ["d1.one.example:1094", "d1.one.example:1095", "d2.one.example:1094"]
    config = site(tmp_path, redirector="rdr.one.example", banned_doors=("d1.one.example:1095",))

    doors = find_doors(config, b"/store", 5)
    assert doors.doors == ("d1.one.example:1094", "d2.one.example:1094")
    assert doors.banned == ("d1.one.example:1095",)
    assert found(site(tmp_path, redirector="rdr.one.example", banned_doors=("D1.one.example",))) == (
        "d2.one.example:1094",
    )
    everything = site(tmp_path, redirector="rdr.one.example", banned_doors=("d1.one.example", "d2.one.example"))
    with pytest.raises(NoDoors, match=r"BannedDoors has all that rdr\.one\.example named"):
        found(everything)


def test_global_redirectors_are_asked_when_the_sites_own_is_silent(tmp_path: Path, directory: Directory) -> None:
    directory.servers["global.example"] = ["d.one.example:1094", "d.two.example:1094", "10.0.0.1:1094"]
    config = site(tmp_path, redirector="rdr.one.example:1094", global_redirectors=("dead.example", "global.example"))

    assert found(config) == ("d.one.example:1094",)
    assert directory.asked == ["rdr.one.example:1094", "dead.example", "global.example"]


def test_without_a_redirector_the_domain_must_be_plain(tmp_path: Path, directory: Directory) -> None:
    config = site(tmp_path, global_redirectors=("global.example",))
    directory.servers["global.example"] = ["a.one.example:1094", "b.one.example:1094"]
    assert found(config) == ("a.one.example:1094", "b.one.example:1094")

    redirector_list(config).unlink()
    directory.servers["global.example"] = ["a.one.example:1094", "a.two.example:1094"]
    with pytest.raises(NoDoors, match=r"one\.example, two\.example; set Redirectors\.T2_X"):
        found(config)


def test_who_was_asked_is_said(tmp_path: Path, directory: Directory) -> None:
    config = site(tmp_path, redirector="rdr.one.example", global_redirectors=("global.example",))
    with pytest.raises(NoDoors, match=r"T2_X .*rdr\.one\.example gave no answer in time; global\.example gave no"):
        found(config)
    with pytest.raises(NoDoors, match=r"set Sites\.T2_X\.Doors"):
        found(site(tmp_path))

    directory.servers["global.example"] = ["d.two.example:1094"]
    with pytest.raises(NoDoors, match=r"global\.example named none in the domain one\.example"):
        found(config)


def test_a_list_that_cannot_be_kept_is_used_all_the_same(
    tmp_path: Path, directory: Directory, caplog: pytest.LogCaptureFixture
) -> None:
    directory.servers["rdr.one.example"] = ["d1.one.example:1094"]
    config = site(tmp_path, redirector="rdr.one.example")
    (tmp_path / "var").write_text("in the way")

    assert found(config) == ("d1.one.example:1094",)
    assert "are not kept" in caplog.text
    assert os.listdir(tmp_path) == ["var"]


@pytest.mark.parametrize(
    ("authority", "domain"),
    [
        ("xrootd.one.example:1094", "one.example"),
        ("XROOTD.one.example.", "one.example"),
        ("one.example", "one.example"),
        ("localhost:1094", "localhost"),
        ("10.1.2.3:1094", "10.1.2.3"),
        ("[2001:db8::7]:1094", "2001:db8::7"),
    ],
)
def test_a_domain_is_a_name_without_its_first_part(authority: str, domain: str) -> None:
    assert domain_of(authority) == domain


@pytest.mark.parametrize(
    ("door", "entry", "same"),
    [
        ("a.example:1095", "a.example", True),
        ("a.example:1095", "A.Example:1095", True),
        ("a.example:1095", "a.example:1094", False),
        ("a.example", "a.example:1094", True),
        ("xa.example:1094", "a.example", False),
        ("[::1]:1094", "[::1]", True),
        ("[::1]:1094", "[::1]:1095", False),
    ],
)
def test_a_host_alone_stands_for_all_its_ports(door: str, entry: str, same: bool) -> None:
    assert matches(door, entry) is same
