"""Each test is named after the entry of the reference that it shows."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, TextIO

import pytest
import yaml

from dynamo_consistency import config
from storage.config.loading import ConfigError


def write(values: dict[str, Any], name: str = "consistency_config.json") -> Path:
    path = Path(name)
    path.write_text(json.dumps(values))
    return path


class TestLOCATION:
    def test_by_default_it_is_in_the_working_directory(self) -> None:
        write({"IgnoreAge": 3})
        assert config.LOCATION == "consistency_config.json"
        assert config.config_dict() == {"IgnoreAge": 3}

    def test_it_can_be_set_before_the_first_load(self, tmp_path: Path) -> None:
        config.LOCATION = tmp_path / write({"IgnoreAge": 5}, "other.json")
        assert config.config_dict() == {"IgnoreAge": 5}

    def test_setting_it_later_changes_nothing(self) -> None:
        write({"IgnoreAge": 3})
        config.config_dict()
        config.LOCATION = str(write({"IgnoreAge": 5}, "other.json"))
        assert config.config_dict() == {"IgnoreAge": 3}
        assert config.ignore_age() == 3


class TestLOADER:
    def test_it_is_json(self) -> None:
        assert config.LOADER is json
        Path("consistency_config.json").write_text("IgnoreAge: 3\n")
        with pytest.raises(ConfigError, match=r"consistency_config.json: line 1"):
            config.config_dict()

    def test_the_yaml_module_will_do(self) -> None:
        config.LOADER = yaml
        Path("consistency_config.json").write_text("IgnoreAge: 3\nDirectoryList:\n- mc\n")
        assert config.config_dict() == {"IgnoreAge": 3, "DirectoryList": ["mc"]}

    def test_so_will_any_object_with_load(self) -> None:
        class Lines:
            @staticmethod
            def load(file: TextIO) -> dict[str, object]:
                return {key: float(value) for key, value in (line.split("=") for line in file)}

        config.LOADER = Lines
        Path("consistency_config.json").write_text("IgnoreAge=3\nListAge=4\n")
        assert config.config_dict() == {"IgnoreAge": 3.0, "ListAge": 4.0}

    def test_what_it_raises_names_the_file(self) -> None:
        class Broken:
            def load(self, file: TextIO) -> None:
                raise RuntimeError("no such luck")

        config.LOADER = Broken()
        write({})
        with pytest.raises(ConfigError, match=r"consistency_config.json: RuntimeError: no such luck"):
            config.config_dict()


class TestSITE:
    def test_its_settings_count_for_what_belongs_to_no_other_site(self) -> None:
        write({"IgnoreAge": 3, "Sites": {"T2_A": {"IgnoreAge": 14}, "T2_B": {"IgnoreAge": 7}}})
        assert config.SITE is None
        assert config.ignore_age() == 3
        config.SITE = "T2_A"
        assert (config.ignore_age(), config.ignore_age("T2_B"), config.ignore_age("T2_OTHER")) == (14, 7, 3)


class TestDIRECTORYLIST:
    def test_it_overrides_the_configuration_at_any_time(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("DirectoryList", '["fromenv"]')
        write({"DirectoryList": ["mc"], "Sites": {"T2_A": {"DirectoryList": ["own"]}}})
        assert config.site("T2_A").directories == (b"/store/fromenv",)
        config.DIRECTORYLIST = ["data", "data/below", "hidata"]
        assert config.config_dict()["DirectoryList"] == ["data", "data/below", "hidata"]
        assert config.site("T2_A").directories == (b"/store/data", b"/store/hidata")
        config.DIRECTORYLIST = None
        assert config.site("T2_A").directories == (b"/store/fromenv",)

    @pytest.mark.parametrize("wrong", [["/store/mc"], ["mc/../data"], "mc"])
    def test_it_is_checked(self, wrong: Any) -> None:
        write({})
        config.DIRECTORYLIST = wrong
        with pytest.raises(ConfigError, match="DIRECTORYLIST: DirectoryList"):
            config.config_dict()


class TestConfigDict:
    def test_the_file_is_loaded_the_first_time_only(self) -> None:
        path = write({"IgnoreAge": 3})
        config.config_dict()
        path.unlink()
        assert config.config_dict() == {"IgnoreAge": 3}

    def test_changing_what_it_gave_changes_nothing(self) -> None:
        write({"DirectoryList": ["mc"]})
        config.config_dict()["DirectoryList"].append("data")
        assert config.config_dict() == {"DirectoryList": ["mc"]}

    def test_the_environment_overrides_keys(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("IgnoreAge", "8")
        monkeypatch.setenv("DirectoryList", '["data"]')
        write({"IgnoreAge": 3, "Retries": 1})
        assert config.config_dict() == {"IgnoreAge": 8, "Retries": 1, "DirectoryList": ["data"]}

    def test_a_file_that_cannot_be_found(self) -> None:
        config.LOCATION = "nowhere.json"
        with pytest.raises(OSError, match=r"nowhere.json: cannot be read: No such file or directory"):
            config.config_dict()

    def test_a_file_that_makes_no_sense(self) -> None:
        write({"Timeout": "soon"})
        with pytest.raises(ConfigError, match="Timeout: expected a number of seconds above 0"):
            config.config_dict()


class TestVardir:
    def test_the_directory_is_made(self, tmp_path: Path) -> None:
        write({"VarLocation": "state"})
        made = config.vardir("cache/inventory")
        assert made == str(tmp_path / "state/cache/inventory")
        assert Path(made).is_dir()
        Path(made, "file").touch()
        assert config.vardir("cache/inventory") == made
        assert Path(made, "file").exists()


class TestIgnoreAge:
    def test_without_any_file_it_is_the_default_until_there_is_one(self) -> None:
        assert config.ignore_age() == 1
        config.LOCATION = str(write({"IgnoreAge": 14}, "chosen.json"))
        assert config.ignore_age() == 14

    def test_a_file_that_was_chosen_has_to_be_there(self) -> None:
        config.LOCATION = "nowhere.json"
        with pytest.raises(OSError, match=r"nowhere.json"):
            config.ignore_age()
