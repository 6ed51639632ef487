from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from engine.unmerged import Mode
from storage.config.files import ConfigError
from storage.config.loading import Config
from storage.config.site import SiteConfig
from storage.unmerged.settings import UNUSED_KEYS, UnmergedSettings, unmerged_settings

LIST = "https://lists.example/protected.json"


def site(keys: dict[str, Any] | None = None, **changes: Any) -> SiteConfig:
    """Make a site's settings with these keys in ListDeletable."""
    list_deletable = json.dumps({"PROTECTED_LIST": LIST, **(keys or {})})
    return replace(SiteConfig("T2_X"), list_deletable=list_deletable, **changes)


def problems(chosen: SiteConfig, **options: Any) -> list[str]:
    with pytest.raises(ConfigError) as failure:
        unmerged_settings(chosen, **options)
    return list(failure.value.problems)


def test_the_defaults() -> None:
    assert unmerged_settings(site()) == UnmergedSettings(
        b"/store/unmerged",
        LIST,
        Mode.FILES,
        2419200.0,
        (b"/store/unmerged/SAM",),
        (b"/store/unmerged/logs",),
        28 * 86400.0,
    )


def test_every_key() -> None:
    keys = {
        "LFN_TO_CLEAN": "/store/temp/unmerged/",
        "WHICH_LIST": "directories",
        "MIN_AGE": 60,
        "DIRS_TO_AVOID": ["SAM", "/store/temp/unmerged//x/"],
        "MAX_FRACTION": 0.5,
    }
    settings = unmerged_settings(site(keys, unmerged_logs_age=2.0, ignore_directories=(b"/tmp",)))
    assert settings == UnmergedSettings(
        b"/store/temp/unmerged",
        LIST,
        Mode.DIRECTORIES,
        60.0,
        (b"/store/temp/unmerged/SAM", b"/store/temp/unmerged/x"),
        (b"/store/temp/unmerged/logs",),
        2 * 86400.0,
        (b"/tmp",),
        0.5,
    )


def test_the_command_line_goes_before_the_configuration() -> None:
    settings = unmerged_settings(site({"WHICH_LIST": "files"}), protected_list="mine.json", mode="directories")
    assert (settings.protected_list, settings.mode) == ("mine.json", Mode.DIRECTORIES)
    without = replace(site(), list_deletable="{}")
    assert unmerged_settings(without, protected_list="mine.json").protected_list == "mine.json"


def test_more_logs_only_when_asked_for() -> None:
    chosen = site(additional_log_deletions=(b"/store/logs/prod", b"/store/unmerged/a/logs"))
    assert unmerged_settings(chosen).tops == (b"/store/unmerged",)
    more = unmerged_settings(chosen, more_logs=True)
    assert more.logs == (b"/store/unmerged/logs", b"/store/logs/prod", b"/store/unmerged/a/logs")
    assert more.tops == (b"/store/unmerged", b"/store/logs/prod")


@pytest.mark.parametrize(
    ("keys", "words"),
    [
        ({"WHICH_LIST": "both"}, 'WHICH_LIST: expected "files" or "directories", found "both"'),
        ({"WHICH_LIST": []}, 'WHICH_LIST: expected "files" or "directories", found a list'),
        ({"MIN_AGE": "old"}, 'MIN_AGE: expected a number of seconds, 0 or more, found "old"'),
        ({"MIN_AGE": -1}, "MIN_AGE: expected a number of seconds, 0 or more, found -1"),
        ({"MIN_AGE": True}, "MIN_AGE: expected a number of seconds, 0 or more, found true"),
        ({"MIN_AGE": 10**400}, "MIN_AGE: expected a number of seconds, 0 or more"),
        ({"DIRS_TO_AVOID": "SAM"}, 'DIRS_TO_AVOID: expected a list of directories in the unmerged directory, found "S'),
        ({"DIRS_TO_AVOID": [""]}, "DIRS_TO_AVOID: expected a list"),
        ({"DIRS_TO_AVOID": ["../mc"]}, "DIRS_TO_AVOID: expected a list of directories in the unmerged directory, fou"),
        ({"DIRS_TO_AVOID": ["/store/unmergd/SAM"]}, '"/store/unmergd/SAM" is outside /store/unmerged'),
        ({"DIRS_TO_AVOID": ["unmerged/SAM"]}, 'write "SAM", or an absolute path'),
        ({"LFN_TO_CLEAN": ""}, 'LFN_TO_CLEAN: expected a directory below RootPath, found ""'),
        ({"LFN_TO_CLEAN": "/store"}, "LFN_TO_CLEAN: expected a directory below RootPath (/store)"),
        ({"LFN_TO_CLEAN": "/storeroom/unmerged"}, "LFN_TO_CLEAN: expected a directory below RootPath (/store)"),
        ({"LFN_TO_CLEAN": "mc/unmerged"}, 'LFN_TO_CLEAN: "mc/unmerged" overlaps with /store/mc of DirectoryList'),
        ({"MAX_FRACTION": 0}, "MAX_FRACTION: expected a number above 0 and up to 1, found 0"),
        ({"MAX_FRACTION": 50}, "MAX_FRACTION: expected a number above 0 and up to 1, found 50"),
        ({"PROTECTED_LIST": ""}, "PROTECTED_LIST: expected a URL (http, https or file) or a file name"),
        ({"PROTECTED_LIST": None}, "PROTECTED_LIST: expected a URL (http, https or file) or a file name, found null"),
        ({"MINAGE": 5}, 'ListDeletable: unknown key "MINAGE"; did you mean "MIN_AGE"?'),
        ({"zzz": 5}, 'ListDeletable: unknown key "zzz"'),
    ],
)
def test_one_line_for_a_problem(keys: dict[str, Any], words: str) -> None:
    (line,) = problems(site(keys))
    assert line.startswith("T2_X: ListDeletable")
    assert words in line


def test_every_problem_is_named_at_once() -> None:
    assert len(problems(site({"MIN_AGE": -1, "WHICH_LIST": 1, "X": 1}))) == 3


def test_without_a_protected_list_there_is_no_cleaning() -> None:
    (line,) = problems(replace(SiteConfig("T2_X"), list_deletable="{}"))
    assert line == (
        "T2_X: ListDeletable.PROTECTED_LIST: the key is missing; without a protected list nothing is deleted"
    )


@pytest.mark.parametrize("path", [b"/store", b"/store/unmerged", b"/store/mc"])
def test_additional_logs_may_not_be_everything(path: bytes) -> None:
    chosen = site(additional_log_deletions=(path,))
    assert unmerged_settings(chosen).logs == (b"/store/unmerged/logs",)
    (line,) = problems(chosen, more_logs=True)
    assert line.startswith(f"T2_X: AdditionalLogDeletions: {path.decode()} would make everything in ")


def test_a_root_that_is_ignored() -> None:
    (line,) = problems(site(ignore_directories=(b"/unmerged",)))
    assert line == "T2_X: IgnoreDirectories leaves out all of /store/unmerged"


def test_keys_of_earlier_programs_have_no_meaning() -> None:
    assert unmerged_settings(site(dict.fromkeys(UNUSED_KEYS, "x"))) == unmerged_settings(site())


@pytest.mark.parametrize(
    ("given", "read"),
    [
        ("lists/p.json", "{}/lists/p.json"),
        ("/etc/p.json", "/etc/p.json"),
        ("http://h/p", "http://h/p"),
        ("file:///etc/p.json", "file:///etc/p.json"),
    ],
)
def test_a_relative_file_name_starts_from_the_configuration(tmp_path: Path, given: str, read: str) -> None:
    file = tmp_path / "c.json"
    file.write_text(json.dumps({"ListDeletable": {"PROTECTED_LIST": given}, "Sites": {"T2_X": {}}}))
    settings = unmerged_settings(Config.load(file, {}).site("T2_X"))
    assert settings.protected_list == read.format(tmp_path)


def test_a_quarantine_in_the_area_is_not_cleaned() -> None:
    assert unmerged_settings(site(quarantine=b"/store/unmerged/q")).avoided == (
        *(b"/store/unmerged/SAM", b"/store/unmerged/q"),
    )
    assert unmerged_settings(site(quarantine=b"/store/unmergedq")).avoided == (b"/store/unmerged/SAM",)
