import json
import pickle
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from engine.actions import ActionLimits
from storage.config.loading import KEYS, Config, ConfigError, Email, SiteConfig
from storage.listers.protocol import BINDINGS, WIRE


def _write(directory: Path, values: Any) -> Path:
    path = directory / "site.yaml"
    path.write_text(yaml.safe_dump(values), encoding="utf-8")
    return path


def _load(directory: Path, values: Any, **environment: str) -> Config:
    return Config.load(_write(directory, values), environment)


def _problems(directory: Path, values: Any, **environment: str) -> list[str]:
    path = _write(directory, values)
    with pytest.raises(ConfigError) as caught:
        Config.load(path, environment)
    return [problem.removeprefix(f"{path}: ") for problem in caught.value.problems]


def test_without_a_file_there_are_defaults(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    config = Config.default({})
    assert config.sites == ()
    assert config.path is None
    site = config.top_level()
    assert (site.root_path, site.directories) == (b"/store", (b"/store/mc", b"/store/data"))
    assert (site.listers, site.in_flight, site.connections, site.retries, site.timeout) == (1, 512, None, 3, 30.0)
    assert (site.var_location, site.web_dir, site.inventory) == (tmp_path / "var", tmp_path / "www", None)
    assert site.runtime is None


def test_a_site_has_its_own_keys_and_those_of_the_top_level(tmp_path: Path) -> None:
    config = _load(
        tmp_path,
        {
            "Timeout": 10,
            "Retries": 1,
            "Sites": {"T2_A": {"Timeout": 20, "Doors": ["root://a:1094"]}, "T2_B": {"DirectoryList": []}},
        },
    )
    assert config.sites == ("T2_A", "T2_B")
    a, b = config.site("T2_A"), config.site("T2_B")
    assert (a.name, a.timeout, a.retries, a.doors) == ("T2_A", 20.0, 1, ("root://a:1094",))
    assert (b.name, b.timeout, b.retries, b.directories) == ("T2_B", 10.0, 1, (b"/store",))
    assert (config.top_level("T2_C").name, config.top_level("T2_C").timeout) == ("T2_C", 10.0)


def test_the_environment_is_the_last_word(tmp_path: Path) -> None:
    values = {"Timeout": 10, "Retries": 1, "Sites": {"T2_A": {"Timeout": 20, "MaxDepth": 7}}}
    config = _load(tmp_path, values, Timeout="2.5", DirectoryList='["x"]', MaxDepth="", HOME="/root", timeout="9")
    site = config.site("T2_A")
    assert (site.timeout, site.retries, site.max_depth, site.directories) == (2.5, 1, 7, (b"/store/x",))
    assert config.top_level().timeout == 2.5


def test_what_was_given_is_kept_as_it_was_written(tmp_path: Path) -> None:
    config = _load(tmp_path, {"IgnoreAge": 3, "VarLocation": "v"}, Timeout="5", DirectoryList="[mc]", HOME="/root")
    assert config.given == {"IgnoreAge": 3, "VarLocation": "v", "Timeout": 5, "DirectoryList": ["mc"]}
    assert Config.default({}).given == {}


def test_other_directories_go_before_all_others(tmp_path: Path) -> None:
    values = {"Timeout": 5, "DirectoryList": ["a"], "Sites": {"T2_A": {"DirectoryList": ["b"]}}}
    before = _load(tmp_path, values, DirectoryList="[c]")
    config = before.with_directories(("d", "d/e"))
    assert config.site("T2_A").directories == config.top_level().directories == (b"/store/d",)
    assert config.given["DirectoryList"] == ["d", "d/e"]
    assert config.site("T2_A").timeout == 5
    assert before.site("T2_A").directories == (b"/store/c",)
    with pytest.raises(ConfigError, match=r"DIRECTORYLIST: DirectoryList\[1\]: expected a directory inside RootPath"):
        before.with_directories(["d", "/e"])


def test_text_in_the_environment_is_taken_as_it_is(tmp_path: Path) -> None:
    site = _load(tmp_path, {}, RootPath="/a: [b] #c", Inventory=str(tmp_path / "2024"), Runtime="threads").top_level()
    assert site.root_path == b"/a: [b] #c"
    assert site.inventory == tmp_path / "2024"
    assert site.runtime == "threads"
    assert _load(tmp_path, {}, RootPath="/\udcff").top_level().root_path == b"/\xff"


def test_the_environment_can_bring_whole_sites(tmp_path: Path) -> None:
    config = _load(tmp_path, {"Sites": {"T2_A": {}}}, Sites="{T2_B: {Timeout: 5}}")
    assert config.sites == ("T2_B",)
    assert config.site("T2_B").timeout == 5.0


def test_a_url_in_the_place_of_a_key_shows_no_password(tmp_path: Path) -> None:
    problems = _problems(tmp_path, {"Sites": {"root://me:secret@door": {"Timout": 1}}})
    assert problems[0].startswith("Sites: expected a site name")
    assert problems[1].startswith("Sites.root://...@door: unknown key")
    assert "secret" not in "".join(problems)


def test_a_key_that_no_text_can_have_is_unknown(tmp_path: Path) -> None:
    path = tmp_path / "c.json"
    for content, words in (
        (r'{"Time\ud800out": 1}', r'unknown key "Time\ud800out"; did you mean "Timeout"?'),
        (r'{"Sites": {"T2_A": {"\ud800": 1}}}', r'Sites.T2_A: unknown key "\ud800"'),
    ):
        path.write_text(content)
        with pytest.raises(ConfigError) as caught:
            Config.load(path, {})
        assert caught.value.problems == (f"{path}: {words}",)


def test_problems_in_the_environment_say_so(tmp_path: Path) -> None:
    problems = _problems(tmp_path, {"Retries": -1}, Timeout="soon", Doors="[", Sites="{A: {Timout: 1}}")
    assert problems[0] == "Retries: expected a whole number, 0 or more, found -1"
    assert problems[1].startswith("environment: Doors: neither JSON nor YAML: line 1, column 2: ")
    assert problems[2:] == [
        'environment: Timeout: expected a number of seconds above 0, found "soon"',
        'environment: Sites.A: unknown key "Timout"; did you mean "Timeout"?',
    ]


def test_what_names_sites_at_the_top_level_is_a_plain_value_in_a_site(tmp_path: Path) -> None:
    by_name = {
        "PathPrefix": {"A": "/cms"},
        "AccessMethod": {"A": "SRM"},
        "Redirectors": {"A": "r.example:1094"},
        "UseLoadBalancer": ["A"],
        "Unmerged": ["A"],
        "AdditionalLogDeletions": {"A": ["logs"]},
    }
    own = {
        "PathPrefix": "/own",
        "AccessMethod": "directx",
        "Redirectors": "own.example",
        "UseLoadBalancer": True,
        "Unmerged": False,
        "AdditionalLogDeletions": ["own"],
    }

    def values(site: SiteConfig) -> tuple[object, ...]:
        return (
            site.path_prefix,
            site.access_method,
            site.redirector,
            site.use_load_balancer,
            site.unmerged,
            site.additional_log_deletions,
        )

    named = (b"/cms", "SRM", "r.example:1094", True, True, (b"/store/logs",))
    nothing = (b"", "XRootD", None, False, False, ())
    config = _load(tmp_path, by_name | {"Sites": {"A": {}, "B": {}}})
    assert values(config.site("A")) == named
    assert values(config.top_level("A")) == named
    assert values(config.site("B")) == nothing

    by_own = (b"/own", "directx", "own.example", True, False, (b"/store/own",))
    config = _load(tmp_path, by_name | {"Sites": {"A": own}})
    assert values(config.site("A")) == by_own

    environment = {key: json.dumps(value) for key, value in by_name.items()}
    config = _load(tmp_path, {"Sites": {"A": own, "B": own}}, **environment)
    assert values(config.site("A")) == named
    assert values(config.site("B")) == (b"/own", "directx", "own.example", False, False, (b"/store/own",))


@pytest.mark.parametrize(("lister", "method"), [("auto", ""), ("bindings", BINDINGS), ("wire", WIRE)])
def test_the_lister_of_a_site_talks_to_its_doors(tmp_path: Path, lister: str, method: str) -> None:
    config = _load(tmp_path, {"Sites": {"A": {"Lister": lister}, "B": {"Lister": lister, "AccessMethod": "directx"}}})
    assert [config.site(name).store_spec().method for name in "AB"] == [method, "directx"]
    assert _load(tmp_path, {}, Lister=lister).top_level().xrootd_method == method


def test_null_takes_a_site_back_to_nothing(tmp_path: Path) -> None:
    top = {"Inventory": "all.csv", "Runtime": "ray", "Email": {"Sender": "a@b", "Recipients": ["c@d"]}}
    config = _load(tmp_path, top | {"Sites": {"A": {"Inventory": None, "Runtime": None, "Email": None}}})
    assert config.top_level().email == Email("a@b", ("c@d",))
    site = config.site("A")
    assert (site.inventory, site.runtime, site.email) == (None, None, None)


def test_relative_files_start_from_where_they_are_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "etc").mkdir()
    (tmp_path / "run").mkdir()
    monkeypatch.chdir(tmp_path / "run")
    path = _write(tmp_path / "etc", {"Inventory": "all.csv", "Sites": {"A": {"Inventory": "../a.csv"}}})
    for spelled in (path, Path("../etc/site.yaml")):
        config = Config.load(spelled, {"WebDir": "www", "VarLocation": "/srv/var"})
        site = config.site("A")
        assert site.inventory is not None
        assert site.inventory.parent.resolve() == tmp_path
        assert site.web_dir == tmp_path / "run" / "www"
        assert site.var_location == Path("/srv/var")
    assert Config.load(path, {}).top_level().var_location == tmp_path / "etc" / "var"
    assert Config.load(path, {}).top_level().inventory == tmp_path / "etc" / "all.csv"


@pytest.mark.parametrize(
    ("root", "listed", "tops"),
    [
        ("/store", [], [b"/store"]),
        ("//store//cms/", ["mc//x/"], [b"/store/cms/mc/x"]),
        ("/", ["mc"], [b"/mc"]),
        ("/", [], [b"/"]),
        ("/s", ["b", "a", "b"], [b"/s/b", b"/s/a"]),
        ("/s", ["a/b", "a", "a-b", "a/c/d"], [b"/s/a", b"/s/a-b"]),
        ("/s", ["Köln 1%"], ["/s/Köln 1%".encode()]),
    ],
)
def test_tops_are_absolute_and_apart(tmp_path: Path, root: str, listed: list[str], tops: list[bytes]) -> None:
    assert list(_load(tmp_path, {"RootPath": root, "DirectoryList": listed}).top_level().directories) == tops


_DOOR = (
    "expected root://host[:port][//prefix], roots://host[:port][//prefix], davs://host[:port][/prefix], "
    "s3://host[:port]/bucket[/prefix] or file:///prefix, found"
)
_DIRECTORY = "expected a directory inside RootPath, without a leading '/', '.' and '..', found"
_PLACEMENT = "expected a mapping of resources to amounts above 0, and of labels to their values, found"
_FILE, _AS_IT_IS = "expected a file name, found", "nothing is put in the place of ~ and $ here; write it out"
_NAME = "expected a site name of letters, digits, '_', '-' and '.', found"


@pytest.mark.parametrize(
    ("values", "problem"),
    [
        ({"Timeout": "soon"}, 'Timeout: expected a number of seconds above 0, found "soon"'),
        ({"Timeout": 0}, "Timeout: expected a number of seconds above 0, found 0"),
        ({"Timeout": True}, "Timeout: expected a number of seconds above 0, found true"),
        ({"Timeout": float("nan")}, "Timeout: expected a number of seconds above 0, found nan"),
        ({"Timeout": float("inf")}, "Timeout: expected a number of seconds above 0, found inf"),
        ({"Timeout": None}, "Timeout: expected a number of seconds above 0, found null"),
        ({"IgnoreAge": -0.5}, "IgnoreAge: expected a number of days, 0 or more, found -0.5"),
        ({"FreeMem": [1]}, "FreeMem: expected a number of GB, 0 or more, found a list"),
        ({"Retries": 1.5}, "Retries: expected a whole number, 0 or more, found 1.5"),
        ({"Retries": False}, "Retries: expected a whole number, 0 or more, found false"),
        ({"Retries": 100}, "Retries: expected a whole number, at most 99, found 100"),
        ({"NumThreads": 0}, "NumThreads: expected a whole number, 1 or more, found 0"),
        ({"Lister": "xrdfs"}, 'Lister: expected one of auto, bindings and wire, found "xrdfs"'),
        ({"Pool": 0}, "Pool: expected a whole number, 1 or more, found 0"),
        (
            {"DoorLimits": {"x:0": 1}},
            'DoorLimits: expected host or host:port, found "x:0" (bad port "0", a port is 1 to 65535)',
        ),
        ({"DoorLimits": {"x": 0}}, "DoorLimits.x: expected a whole number, 1 or more, found 0"),
        ({"Sites": {"A": {"Pool": 3}}}, 'Sites.A: unknown key "Pool"'),
        ({"Placement": ["x"]}, f"Placement: {_PLACEMENT} a list"),
        ({"Placement": {"near": 0}}, f"Placement: {_PLACEMENT} a mapping"),
        ({"Placement": {"a b": 1}}, f"Placement: {_PLACEMENT} a mapping"),
        ({"Placement": {"near": True}}, f"Placement: {_PLACEMENT} a mapping"),
        ({"Placement": {"CPU": 1}}, f"Placement: {_PLACEMENT} a mapping (CPU is what Ray counts by itself)"),
        ({"InFlight": "64"}, 'InFlight: expected a whole number, 1 or more, found "64"'),
        ({"NumThreads": 1001}, "NumThreads: expected a whole number, at most 1,000, found 1001"),
        ({"Connections": 10**12}, f"Connections: expected a whole number, at most 1,000, found {10**12}"),
        ({"GFALThreads": 10**6}, "GFALThreads: expected a whole number, at most 1,000, found 1000000"),
        ({"InFlight": 10**20}, f"InFlight: expected a whole number, at most 10,000, found {10**20}"),
        ({"MissingRuns": 10**30}, f"MissingRuns: expected a whole number, at most 1,000,000,000, found {10**30}"),
        ({"MaxOrphan": 10**30}, f"MaxOrphan: expected a whole number, at most 1,000,000,000, found {10**30}"),
        ({"IgnoreAge": 1e300}, "IgnoreAge: expected a number of days, at most 1,000,000, found 1e+300"),
        ({"Timeout": 1e300}, "Timeout: expected a number of seconds, at most 1,000,000, found 1e+300"),
        ({"StallMinutes": 1e300}, "StallMinutes: expected a number of minutes, at most 1,000,000, found 1e+300"),
        ({"WebDir": "~/www"}, f'WebDir: {_FILE} "~/www" ({_AS_IT_IS})'),
        ({"VarLocation": "$HOME/var"}, f'VarLocation: {_FILE} "$HOME/var" ({_AS_IT_IS})'),
        ({"Inventory": "/srv/${SITE}/a.csv"}, f'Inventory: {_FILE} "/srv/${{SITE}}/a.csv" ({_AS_IT_IS})'),
        ({"SecondInventory": "~op/a.csv"}, f'SecondInventory: {_FILE} "~op/a.csv" ({_AS_IT_IS})'),
        ({"Sites": {"a" * 151: {}}}, f'Sites: {_NAME} "{"a" * 151}" (151 characters, of which 150 are allowed)'),
        ({"DeleteOrphans": "no"}, 'DeleteOrphans: expected true or false, found "no"'),
        ({"SaveCache": 2}, "SaveCache: expected true or false, found 2"),
        ({"RootPath": "store"}, "RootPath: expected an absolute path without '.' and '..', found \"store\""),
        ({"RootPath": ""}, "RootPath: expected an absolute path without '.' and '..', found \"\""),
        (
            {"RootPath": "/store/../etc"},
            "RootPath: expected an absolute path without '.' and '..', found \"/store/../etc\" "
            "(a path with a '.' or '..' component)",
        ),
        ({"DirectoryList": "mc"}, 'DirectoryList: expected a list, found "mc"'),
        ({"DirectoryList": ["mc", "/data"]}, f'DirectoryList[1]: {_DIRECTORY} "/data"'),
        (
            {"DirectoryList": ["."]},
            f"DirectoryList[0]: {_DIRECTORY} \".\" (a path with a '.' or '..' component)",
        ),
        ({"DirectoryList": [1]}, f"DirectoryList[0]: {_DIRECTORY} 1"),
        ({"DirectoryList": [""]}, f'DirectoryList[0]: {_DIRECTORY} "" (an empty path)'),
        (
            {"IgnoreDirectories": [""]},
            'IgnoreDirectories[0]: expected a part of a path, found "" (it would leave out everything)',
        ),
        ({"Doors": ["ftp://x"]}, f'Doors[0]: {_DOOR} "ftp://x" (unknown scheme "ftp")'),
        (
            {"Doors": ["root://ok", "root://x:99999"]},
            f'Doors[1]: {_DOOR} "root://x:99999" (bad port "99999", a port is 1 to 65535)',
        ),
        ({"Doors": ["file:///a%3F"]}, f"Doors[0]: {_DOOR} \"file:///a%3F\" (no '?' may stand in the path of a door)"),
        (
            {"Doors": ["root://ann:secret@x//store"]},
            f'Doors[0]: {_DOOR} "root://...@x//store" (no user may stand before the host)',
        ),
        ({"Doors": {"A": "root://x"}}, "Doors: expected a list, found a mapping"),
        (
            {"PathPrefix": {"A": "cms"}},
            "PathPrefix.A: expected an absolute path without '.' and '..', or an empty one, found \"cms\"",
        ),
        (
            {"PathPrefix": {"A": "/a?b"}},
            "PathPrefix.A: expected an absolute path without '.' and '..', or an empty one, found \"/a?b\" "
            "(no '?' may stand in the path of a door)",
        ),
        ({"PathPrefix": "/cms"}, 'PathPrefix: expected a mapping, found "/cms"'),
        ({"PathPrefix": {"A B": "/cms"}}, f'PathPrefix: {_NAME} "A B"'),
        ({"AccessMethod": {"A": "FTP"}}, "AccessMethod.A: expected one of XRootD, SRM, directx and RAL-Reader, found "),
        ({"Redirectors": {"A": "x:y"}}, "Redirectors.A: expected host or host:port, found "),
        ({"UseLoadBalancer": [True]}, f"UseLoadBalancer[0]: {_NAME} true"),
        ({"Inventory": ""}, 'Inventory: expected a file name, found ""'),
        ({"WebDir": 7}, "WebDir: expected a file name, found 7"),
        (
            {"InventoryFormat": "xml"},
            "InventoryFormat: expected one of auto, paths, sizes, csv, tsv, pipe, ral, rucio, dcache, syncat, eos, "
            'xrdfs, rclone, parquet and avro, found "xml"',
        ),
        ({"Runtime": "Ray"}, 'Runtime: expected ray or threads, found "Ray"'),
        ({"ListDeletable": {"A": {"B": float("nan")}}}, "ListDeletable: expected a mapping of what JSON can hold, "),
        ({"ListDeletable": []}, "ListDeletable: expected a mapping of what JSON can hold, found a list"),
        ({"Email": "a@b"}, 'Email: expected a mapping, found "a@b"'),
        ({"Email": {"Sender": "a@b"}}, 'Email: the key "Recipients" is missing'),
        (
            {"Email": {"Sender": "a\nBcc: x", "Recipients": []}},
            'Email.Sender: expected a line of text, found "a\\nBcc: x"',
        ),
        (
            {"Email": {"Sender": "a", "Recipients": [], "recipient": 1}},
            'Email: unknown key "recipient"; did you mean "Recipients"?',
        ),
        ({"Timout": 5}, 'unknown key "Timout"; did you mean "Timeout"?'),
        ({"timeout": 5}, 'unknown key "timeout"; did you mean "Timeout"?'),
        ({"Weather": 5}, 'unknown key "Weather"'),
        ({"Sites": {"T2_X": {"Timeout": "x"}}}, "Sites.T2_X.Timeout: expected a number of seconds above 0, found "),
        ({"Sites": {"T2_X": {"Doors": [1]}}}, f"Sites.T2_X.Doors[0]: {_DOOR} 1"),
        ({"Sites": {"T2_X": {"door": 1}}}, 'Sites.T2_X: unknown key "door"; did you mean "Doors"?'),
        ({"Sites": {"T2_X": {"Sites": {}}}}, 'Sites.T2_X: unknown key "Sites"'),
        ({"Sites": {"T2_X": {"PathPrefix": {"T2_X": "/c"}}}}, "Sites.T2_X.PathPrefix: expected an absolute path "),
        ({"Sites": {"T2_X": None}}, "Sites.T2_X: expected a mapping, found null"),
        ({"Sites": ["T2_X"]}, "Sites: expected a mapping, found a list"),
        ({"Sites": {"../x": {}}}, f'Sites: {_NAME} "../x"'),
        ({"Sites": {"": {}}}, f'Sites: {_NAME} ""'),
    ],
)
def test_each_wrong_value_gets_a_line_that_says_what_is_right(tmp_path: Path, values: Any, problem: str) -> None:
    (found,) = _problems(tmp_path, values)
    assert found.startswith(problem)
    assert found == problem or problem.endswith(" ") or found.removeprefix(problem)[0] in " ;"


def test_all_problems_are_told_at_once_each_with_the_file(tmp_path: Path) -> None:
    path = _write(tmp_path, {"Timeout": "soon", "Retrys": 1, "Sites": {"A": {"MaxDepth": 0}}})
    with pytest.raises(ConfigError) as caught:
        Config.load(path, {})
    lines = str(caught.value).splitlines()
    assert lines == list(caught.value.problems)
    assert len(lines) == 3
    assert all(line.startswith(f"{path}: ") for line in lines)


def test_a_value_that_is_not_unicode_is_refused_in_words(tmp_path: Path) -> None:
    path = tmp_path / "site.json"
    path.write_text(r'{"RootPath": "/\ud800"}')
    with pytest.raises(ConfigError, match=r'found "/\\ud800"'):
        Config.load(path, {})


def test_an_unknown_site_lists_the_known_ones(tmp_path: Path) -> None:
    config = _load(tmp_path, {"Sites": {"T2_A": {}, "T2_B": {}}})
    with pytest.raises(ConfigError, match=r'site\.yaml: no site "T2_C" under Sites; known: T2_A, T2_B'):
        config.site("T2_C")
    with pytest.raises(ConfigError, match="known: none"):
        Config.default({}).site("T2_C")


def test_a_missing_file_is_a_problem_and_not_an_empty_configuration(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"none\.json: cannot be read"):
        Config.load(tmp_path / "none.json", {})


def test_the_store_has_the_prefix_on_doors_without_one(tmp_path: Path) -> None:
    doors = ["root://a:1094", "ROOT://b//own", "roots://c/", "file://", "root://a:1094/"]
    config = _load(tmp_path, {"Doors": doors, "Timeout": 7, "Connections": 3, "Sites": {"A": {"PathPrefix": "/cms/"}}})
    spec = config.site("A").store_spec()
    assert spec.doors == ("root://a:1094//cms", "root://b//own", "roots://c//cms", "file:///cms")
    assert (spec.timeout, spec.connections) == (7.0, 3)
    assert config.top_level().store_spec().doors == ("root://a:1094", "root://b//own", "roots://c", "file://")


def test_a_configuration_cannot_be_changed(tmp_path: Path) -> None:
    config = _load(tmp_path, {"Sites": {"A": {}}})
    with pytest.raises(AttributeError):
        config.path = None  # type: ignore[misc]
    with pytest.raises(AttributeError):
        config.site("A").timeout = 1.0  # type: ignore[misc]
    assert hash(config.site("A")) == hash(config.site("A"))


def test_the_settings_of_a_site_travel_without_pydantic(tmp_path: Path) -> None:
    email = {"Sender": "a@b", "Recipients": ["c@d"]}
    site = _load(tmp_path, {"Email": email, "ListDeletable": {"MIN_AGE": 5}, "Sites": {"A": {}}}).site("A")
    packed = tmp_path / "site.pickle"
    packed.write_bytes(pickle.dumps(site))
    assert pickle.loads(packed.read_bytes()) == site
    program = "import pickle, sys; pickle.load(open(sys.argv[1], 'rb')); assert 'pydantic' not in sys.modules"
    root = Path(__file__).parents[3]
    subprocess.run([sys.executable, "-W", "ignore", "-c", program, str(packed)], check=True, cwd=root)


_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.sampled_from(["/a", "root://x", "A"]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text() | st.sampled_from(KEYS), inner, max_size=3),
    max_leaves=6,
)


@given(values=st.dictionaries(st.sampled_from(KEYS) | st.text(), _VALUES, max_size=4), data=st.data())
def test_any_values_make_a_configuration_or_one_line_for_each_problem(
    tmp_path_factory: pytest.TempPathFactory, values: dict[str, Any], data: st.DataObject
) -> None:
    path = tmp_path_factory.getbasetemp() / "any.json"
    path.write_text(json.dumps(values))
    environment = data.draw(st.dictionaries(st.sampled_from(KEYS), st.text() | _VALUES.map(json.dumps), max_size=2))
    config = _attempt(path, environment)
    if isinstance(config, ConfigError):
        assert config.problems
        assert all(problem.isprintable() for problem in config.problems)
    else:
        for site in (config.top_level(), *map(config.site, config.sites)):
            assert pickle.loads(pickle.dumps(site)) == site


def _attempt(path: Path, environment: dict[str, str]) -> Config | ConfigError:
    try:
        return Config.load(path, environment)
    except ConfigError as error:
        return error


@given(
    st.dictionaries(st.sampled_from(("Timeout", "IgnoreAge")), st.floats(min_value=1e-300, max_value=1e6)),
    st.dictionaries(st.sampled_from(("MaxOrphan", "MaxMissing")), st.integers(0, 10**9)),
)
def test_json_and_yaml_and_toml_say_the_same(
    tmp_path_factory: pytest.TempPathFactory, numbers: dict[str, float], counts: dict[str, int]
) -> None:
    directory = tmp_path_factory.getbasetemp()
    values = numbers | counts
    (directory / "same.json").write_text(json.dumps(values))
    (directory / "same.yaml").write_text(yaml.safe_dump(values))
    (directory / "same.toml").write_text("".join(f"{key} = {value!r}\n" for key, value in values.items()))
    first, *others = (Config.load(directory / f"same.{suffix}", {}).top_level() for suffix in ("json", "yaml", "toml"))
    assert others == [first, first]


@pytest.mark.parametrize(
    ("given", "size"),
    [(0, 0), (1500, 1500), ("10TB", 10**13), ("1.5 GB", 1_500_000_000), ("0.1kB", 100), ("7B", 7), ("2EB", 2 * 10**18)],
)
def test_a_size_is_a_number_of_bytes_or_has_a_unit(tmp_path: Path, given: object, size: int) -> None:
    site = _load(tmp_path, {"MaxOrphanSize": given, "MaxMissingSize": given}).top_level()
    assert (site.max_orphan_size, site.max_missing_size) == (size, size)
    assert Config.default({"MaxOrphanSize": str(given)}).top_level().max_orphan_size == size


@pytest.mark.parametrize("given", [-1, 1.5, True, "10", "10 tb", "-1TB", "1e3GB", "TB", "1..2TB", "10TiB", "1,5TB", []])
def test_what_is_no_size_is_refused(tmp_path: Path, given: object) -> None:
    (problem,) = _problems(tmp_path, {"MaxMissingSize": given})
    assert problem.startswith("MaxMissingSize: expected bytes, 0 or more, or a size such as 500GB or 1.5 TB, found ")


@pytest.mark.parametrize("key", ["MaxMissingFraction", "MaxOrphanFraction", "MaxUnlisted", "MinFiles"])
def test_a_fraction_is_between_0_and_1(tmp_path: Path, key: str) -> None:
    for fraction in (0, 1, 0.25):
        _load(tmp_path, {key: fraction})
    for wrong in (-0.1, 1.01, 50, "0.5", True):
        (problem,) = _problems(tmp_path, {key: wrong})
        assert problem.startswith(f"{key}: expected a fraction between 0 and 1, found ")


def test_the_limits_of_a_site_are_those_of_its_keys(tmp_path: Path) -> None:
    values = {"MaxMissing": 1, "MaxOrphan": 2, "MaxMissingFraction": 0.3, "MaxOrphanFraction": 0.4}
    more = {"MaxMissingSize": 5, "MaxOrphanSize": "6kB", "MaxUnlisted": 0.7, "MaxRunAge": 8}
    assert _load(tmp_path, values | more).top_level().action_limits() == ActionLimits(1, 2, 0.3, 0.4, 5, 6000, 0.7, 8.0)
    assert Config.default({}).top_level().action_limits() == ActionLimits(100, 1000)


def test_where_listers_run_and_how_many_there_may_be(tmp_path: Path) -> None:
    config = _load(
        tmp_path,
        {
            "Pool": 8,
            "DoorLimits": {"Door.Example": 2, "[::1]:1095": 1},
            "VarLocation": "shared",
            "Sites": {"A": {"Placement": {"region": "north", "near_a": 1}, "VarLocation": "own", "CheckEvery": 0.5}},
        },
    )
    site = config.site("A")
    assert site.placement == (("near_a", 1.0), ("region", "north"))
    assert (site.pool, site.check_every) == (8, 0.5)
    assert site.door_limits == (("[::1]:1095", 1), ("door.example:1094", 2))
    assert (site.shared_location.name, site.var_location.name) == ("shared", "own")
    other = config.top_level("B")
    assert (other.placement, other.pool, other.check_every) == ((), 8, 7.0)


def test_the_rucio_of_a_site_is_put_beside_that_of_the_top_level(tmp_path: Path) -> None:
    path = tmp_path / "config.json"
    rules = [{"DID": "mc:(.*)", "Path": "mc/$1"}]
    rucio = {"Database": "sqlite:////srv/rucio.db", "LastCopies": True, "PathRules": rules}
    sites = {"T2_A": {"Rucio": {"RSE": "T2_A_Disk", "LastCopies": False}}, "T2_B": {}, "T2_C": {"Rucio": None}}
    path.write_text(json.dumps({"Rucio": rucio, "Sites": sites}))
    config = Config.load(path, {})
    one, two = config.site("T2_A").rucio, config.site("T2_B").rucio
    assert one is not None
    assert two is not None
    assert (one.rse, one.database, one.last_copies) == ("T2_A_Disk", "sqlite:////srv/rucio.db", False)
    assert (two.rse, two.database, two.last_copies) == (None, "sqlite:////srv/rucio.db", True)
    assert config.site("T2_C").rucio is None
    shown = {setting.key: setting.value for setting in config.settings("T2_A")}["Rucio"]
    assert (shown["RSE"], shown["Database"], list(shown["PathRules"])) == (
        "T2_A_Disk",
        "sqlite:////srv/rucio.db",
        rules,
    )
    overridden = Config.load(path, {"Rucio": '{"RSE": "X"}'}).site("T2_A").rucio
    assert overridden is not None
    assert (overridden.rse, overridden.database) == ("X", None)
