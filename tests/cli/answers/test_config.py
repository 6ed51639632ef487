"""The commands config show, config check and config schema, as an operator types them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from tests.cli.loaded import run
from tests.test_docs import keys_of, page_of

SECRET = "s3cr3t"


@pytest.fixture
def home(tmp_path: Path) -> Path:
    (tmp_path / "one.csv").touch()
    write(tmp_path, Doors=["root://localhost:1094"], Inventory="one.csv")
    return tmp_path


def write(home: Path, **keys: Any) -> None:
    values = {"Timeout": 60, "SQL": {"URL": f"postgresql://me:{SECRET}@db/x"}, "Sites": {"T2_EXAMPLE": keys}}
    path = home / "consistency_config.json"
    path.write_text(json.dumps(values))
    path.chmod(0o600)


def test_what_counts_for_a_site_and_where_it_comes_from(home: Path) -> None:
    ended = run("config", "show", "T2_EXAMPLE", "--changed", cwd=home, env={"Retries": "1"})
    assert (ended.code, ended.err) == (0, "")
    first, *rows = ended.out.splitlines()
    assert first == f"T2_EXAMPLE, from {home}/consistency_config.json"
    assert {tuple(row.split(None, 1)) for row in rows if "SQL" not in row} == {
        ("Doors", 'site         ["root://localhost:1094"]'),
        ("Inventory", f'site         "{home}/one.csv"'),
        ("Retries", "environment  1"),
        ("Timeout", "top level    60.0"),
    }
    assert SECRET not in ended.out
    assert "***@db/x" in ended.out
    whole = run("config", "show", "T2_EXAMPLE", cwd=home).out
    assert ["MaxDepth", "default", "40"] in [line.split() for line in whole.splitlines()]
    ended = run("config", "show", "T2_NONE", cwd=home)
    known = 'consistency_config.json: no site "T2_NONE" under Sites; known: T2_EXAMPLE'
    assert (ended.code, ended.message) == (2, known)


def test_doors_that_were_found_are_shown(home: Path) -> None:
    write(home, Redirectors="rdr.example", Inventory="one.csv")
    kept = home / "var/redirectors/T2_EXAMPLE_redirector_list.txt"
    kept.parent.mkdir(parents=True)
    kept.write_text("# found 2026-01-02T03:04:05Z by asking rdr.example\ndoor1.example:1094 192.0.2.1:1094\n")
    said = f"doors found 2026-01-02 03:04:05 UTC by asking rdr.example ({kept}): door1.example:1094"
    assert run("config", "show", "T2_EXAMPLE", cwd=home).out.splitlines()[-1] == said
    shown = run("config", "show", "T2_EXAMPLE", "--json", cwd=home).json
    assert shown["found_doors"] == {
        "doors": ["door1.example:1094"],
        "found": 1767323045.0,
        "asked": "rdr.example",
        "file": str(kept),
    }


def test_everything_that_is_wrong_is_said_with_an_exit_code(home: Path) -> None:
    ended = run("config", "check", cwd=home)
    assert (ended.code, ended.out, ended.err) == (0, "consistency_config.json: 1 site; nothing is wrong\n", "")
    write(home, Doors=["root://localhost:1094"], Inventory="two.csv", Retries=-1)
    ended = run("config", "check", cwd=home, env={"Timeout": "5"})
    assert (ended.code, ended.err) == (2, "")
    variable = "the environment variable Timeout goes before what the file says, for every site; unset it unless"
    assert ended.out.splitlines() == [
        "problem: Sites.T2_EXAMPLE.Retries: found -1; write a whole number, 0 or more",
        f"warning: Timeout (environment): {variable} that is meant",
        f"problem: Sites.T2_EXAMPLE.Inventory: {home}/two.csv does not exist; name the file with what should be at the "
        "site",
        "consistency_config.json: 1 site; 2 problems, 1 warning",
    ]
    (home / "consistency_config.json").write_text("{")
    ended = run("config", "check", cwd=home)
    assert ended.code == 2
    assert ended.out.startswith("problem: consistency_config.json: line 1, column 2: ")


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (
            "Sites:\n  T2_A:\n",
            "problem: Sites.T2_A: found null; write a mapping, {} for a site without keys of its own",
        ),
        (
            'Sites: {T2_A: {Doors: [" root://door"], Inventory: one.csv}}\n',
            'problem: Sites.T2_A.Doors[0]: found " root://door" (a blank before it); write root://host[:port]',
        ),
        (
            'Sites: {T2_A: {Doors: ["root://door"], Inventory: "one.csv "}}\n',
            "problem: Sites.T2_A.Inventory: HOME/one.csv  does not exist (its name ends with a blank); name the file",
        ),
        (
            'Sites: {T2_A: {Doors: ["root://door"], Inventory: one.csv, DirectoryList: ["mc "]}}\n',
            'warning: Sites.T2_A.DirectoryList[0]: "mc " begins or ends with a blank; take it out, unless',
        ),
        (
            "Sites:\n  T2_A:\n    Doors: [root://door]\n   Inventory: one.csv\n",
            "problem: sites.yaml: line 4, column 4: expected <block end>, but found '<block mapping start>' (while "
            "parsing a block mapping, line 2); in YAML keys side by side are indented alike",
        ),
    ],
)
def test_slips_of_the_pen_are_told_as_such(home: Path, content: str, said: str) -> None:
    (home / "sites.yaml").write_text(content)
    ended = run("--config", "sites.yaml", "config", "check", cwd=home)
    assert any(line.startswith(said.replace("HOME", str(home))) for line in ended.out.splitlines()), ended.out


def test_files_of_a_rucio_are_looked_for_and_its_sites_need_not_be_named(home: Path) -> None:
    def lines(**rucio: str) -> list[str]:
        values = {"Backend": "rucio", "Rucio": rucio}
        (home / "consistency_config.json").write_text(json.dumps(values))
        return run("config", "check", cwd=home).out.splitlines()

    (home / "rucio.cfg").touch()
    assert lines(RSEExpression="tier=2", Config="rucio.cfg") == ["consistency_config.json: 0 sites; nothing is wrong"]
    assert lines(Config="other.cfg", StorageJSON="storage.json")[:-1] == [
        "warning: Sites: no site stands here; name each under Sites, unless a backend lists them",
        f"problem: Rucio.Config: {home}/other.cfg does not exist; name the file that is meant",
        f"problem: Rucio.StorageJSON: {home}/storage.json does not exist; name the file that is meant",
    ]


def test_json_keys_are_documented(home: Path) -> None:
    write(home, Retries=-1)
    found = run("config", "check", "--json", cwd=home).json
    problem = found["problems"][0]
    assert keys_of(page_of("config check")) == list(found)
    for key in problem:
        assert f"`{key}`" in page_of("config check")
    assert (problem["key"], problem["site"], problem["level"]) == ("Retries", "T2_EXAMPLE", "problem")
    write(home)
    shown = run("config", "show", "T2_EXAMPLE", "--json", cwd=home).json
    assert keys_of(page_of("config show")) == list(shown)
    assert {"key": "Timeout", "value": 60.0, "origin": "top level"} in shown["keys"]


def test_the_schema_is_one(home: Path) -> None:
    ended = run("config", "schema", cwd=home)
    assert (ended.code, ended.err) == (0, "")
    schema = json.loads(ended.out)
    jsonschema.Draft202012Validator.check_schema(schema)
    jsonschema.validate(json.loads((home / "consistency_config.json").read_text()), schema)
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate({"Timeot": 5}, schema)
