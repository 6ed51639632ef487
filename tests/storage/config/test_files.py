import json
import pickle
import tomllib
from contextlib import suppress
from pathlib import Path
from typing import Any, TextIO

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from storage.config.files import ConfigError, ConfigUnreadable, parse_value, read_mapping


def _problem(path: Path, content: str | bytes) -> str:
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    with pytest.raises(ConfigError) as caught:
        read_mapping(path)
    (problem,) = caught.value.problems
    assert problem.isprintable()
    assert problem.startswith(f"{path}: ")
    return problem.removeprefix(f"{path}: ")


def _write(directory: Path, content: str) -> Path:
    path = directory / "c.yaml"
    path.write_text(content)
    return path


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("c.json", '{"Timeout": 5, "Sites": {"A": {"Retries": 1}}}'),
        ("c.yaml", "Timeout: 5\nSites:\n  A: {Retries: 1}\n"),
        ("c.YML", "Timeout: 5\nSites: {A: {Retries: 1}}\n"),
        ("c.toml", "Timeout = 5\n[Sites.A]\nRetries = 1\n"),
        ("c.conf", '{"Timeout": 5, "Sites": {"A": {"Retries": 1}}}'),
        ("c", "Timeout: 5\nSites: {A: {Retries: 1}}\n"),
        ("c.json", '\ufeff{"Timeout": 5, "Sites": {"A": {"Retries": 1}}}'),
    ],
)
def test_the_suffix_tells_the_format_and_else_the_content(tmp_path: Path, name: str, content: str) -> None:
    path = tmp_path / name
    path.write_text(content, encoding="utf-8")
    assert read_mapping(path) == {"Timeout": 5, "Sites": {"A": {"Retries": 1}}}


@pytest.mark.parametrize(
    ("name", "content", "problem"),
    [
        ("c.json", '{"a": 1,\n"b": }', "line 2, column 6: Expecting value"),
        ("c.json", " \n", "it is empty"),
        ("c.conf", '{"a": 1,\n"b": ]}', "line 2, column 6: Expecting value"),
        (
            "c.yaml",
            "a: 1\nb: [1,\nc: 2\n",
            "line 4, column 1: expected ',' or ']', but got '<stream end>' (while ",
        ),
        ("c.yaml", "a: 1\n\tb: 2\n", "line 2, column 1: "),
        ("c.yaml", "a: 1\nb: \x07\n", "line 2: a character that YAML does not allow"),
        ("c.yaml", "a: !!python/object:os.system {}\n", "line 1, column 4: could not determine a constructor"),
        ("c.yaml", "a: !!bool maybe\n", "a value does not fit its YAML tag"),
        ("c.yaml", "a: 2024-99-99\n", "month must be in 1..12"),
        ("c.yaml", "a: 1\n---\nb: 1\n", "line 2, column 1: but found another document"),
        ("c.toml", "a = 1\nb = \n", "Invalid value (at line 2, column 5)"),
        ("c.yaml", b"a: 1\nb: \xff\n", "line 2: not UTF-8"),
        ("c.json", "[1]", "expected a mapping of keys to values, found a list"),
        ("c.yaml", "Timeout", "expected a mapping of keys to values, found a single value"),
        ("c.yaml", "# nothing\n", "expected a mapping of keys to values, found nothing"),
        ("c.json", '{"a": ' + "[" * 100_000, "nested too deeply"),
        ("c.yaml", "a: " + "[" * 10_000, "nested too deeply"),
    ],
)
def test_malformed_files_name_the_line(tmp_path: Path, name: str, content: str | bytes, problem: str) -> None:
    assert _problem(tmp_path / name, content).startswith(problem)


@pytest.mark.parametrize(
    ("name", "content", "problem"),
    [
        ("c.json", '{"Sites": {"A": {}, "A": {}}}', 'the key "A" stands twice'),
        ("c.yaml", "Timeout: 1\nRetries: 1\nTimeout: 2\n", 'line 3, column 1: the key "Timeout" stands twice'),
        ("c.yaml", 'a: 1\n"a": 2\n', 'line 2, column 1: the key "a" stands twice'),
        ("c.conf", '{"a": 1, "a": 2}', 'the key "a" stands twice'),
        ("c.toml", "a = 1\na = 2\n", "Cannot overwrite a value (at line 2"),
    ],
)
def test_a_repeated_key_is_an_error(tmp_path: Path, name: str, content: str, problem: str) -> None:
    assert _problem(tmp_path / name, content).startswith(problem)


@pytest.mark.parametrize("name", ["NO", "2024", "1e3.5e", "null", "1.5", "2024-01-01", "~"])
def test_names_that_yaml_takes_for_something_else_need_quotes(tmp_path: Path, name: str) -> None:
    path = tmp_path / "c.yaml"
    path.write_text(f'Sites:\n  "{name}": {{}}\n')
    assert read_mapping(path) == {"Sites": {name: {}}}
    path.write_text(f"Sites:\n  {name}: {{}}\n")
    if isinstance(yaml.safe_load(name), str):
        assert read_mapping(path) == {"Sites": {name: {}}}
    else:
        assert f'line 2, column 3: YAML does not read the key "{name}" as text' in _problem(path, path.read_bytes())


def test_what_was_left_open_names_where_it_begins(tmp_path: Path) -> None:
    problem = _problem(tmp_path / "c.yaml", "a: 1\nb: [1\n")
    assert problem.partition("; in YAML")[0].endswith("(while parsing a flow sequence, line 2)")


_YAML = "; in YAML keys side by side are indented alike, with blanks; text with ? : # , [ or { in it stands in quotes"
_JSON = "; in JSON all text stands in double quotes, there are no comments, and no comma behind the last one"


@pytest.mark.parametrize(
    ("name", "content", "advice"),
    [
        ("c.json", '{"a": {"b": 1,}}', _JSON),
        ("c.json", "// mine\n{'a': 1}\n", _JSON),
        ("c.conf", "{'a': [1, }\n", _JSON),
        ("c.json", "# mine\nSites:\n  A: {}\n", "; it is YAML, which belongs into a file whose name ends in .yaml"),
        ("c.yaml", "a:\n\tb: 1\n", _YAML),
        ("c.yaml", "a:\n    b: 1\n   c: 2\n", _YAML),
        ("c.yaml", "a: [srm://door/x?SFN=/y]\n", _YAML),
        ("c.toml", "a: 1\n", "; in TOML a key is followed by =, and text stands in double quotes"),
    ],
)
def test_a_file_that_its_reader_does_not_understand_says_what_to_look_for(
    tmp_path: Path, name: str, content: str, advice: str
) -> None:
    assert _problem(tmp_path / name, content).endswith(advice)


@pytest.mark.parametrize(
    ("name", "content"),
    [("c.json", ""), ("c.json", '{"a": 1, "a": 2}'), ("c.yaml", "a: 1\na: 2\n"), ("c.toml", "a = 1\na = 2\n")],
)
def test_what_says_by_itself_what_to_do_has_no_more_words(tmp_path: Path, name: str, content: str) -> None:
    assert ";" not in _problem(tmp_path / name, content)


def test_a_list_is_no_key(tmp_path: Path) -> None:
    assert "the key a list or mapping as text" in _problem(tmp_path / "c.yaml", "? [a]\n: 1\n")


def test_merged_keys_may_be_overridden_even_below_where_they_are_merged_again(tmp_path: Path) -> None:
    path = tmp_path / "c.yaml"
    path.write_text(
        "deep: {base: &base {x: 1}, more: {extended: &extended {<<: *base, x: 2}}}\nlast: {<<: *extended, y: 3}\n"
    )
    assert read_mapping(path)["last"] == {"x": 2, "y": 3}


def test_a_few_lines_cannot_stand_for_millions_of_values(tmp_path: Path) -> None:
    lists = "".join(f"  l{n}: &l{n} [{', '.join([f'*l{n - 1}'] * 9)}]\n" for n in range(1, 30))
    merged = "".join(f"  m{n}: &m{n} {{<<: [{', '.join([f'*m{n - 1}'] * 9)}], k: 1}}\n" for n in range(1, 30))
    for content in (f"ListDeletable:\n  l0: &l0 [1]\n{lists}", f"ListDeletable:\n  m0: &m0 {{x: 1}}\n{merged}"):
        assert "with its aliases written out it has more than 100000 values" in _problem(tmp_path / "c.yaml", content)
    assert read_mapping(_write(tmp_path, "a: &a [1, 2]\nb: [*a, *a]\n")) == {"a": [1, 2], "b": [[1, 2], [1, 2]]}


@pytest.mark.parametrize("content", ["a: &a [*a]\n", "a: &a {b: *a}\n", "&a a: {b: 1}\n&b c: &c {d: [*c]}\n"])
def test_nothing_stands_inside_itself(tmp_path: Path, content: str) -> None:
    assert "an alias stands inside of what it stands for" in _problem(tmp_path / "c.yaml", content)


def test_a_file_that_cannot_be_read(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"none\.yaml: cannot be read: No such file or directory"):
        read_mapping(tmp_path / "none.yaml")
    with pytest.raises(ConfigError, match="Is a directory"):
        read_mapping(tmp_path)
    with pytest.raises(ConfigError, match="not a file name") as caught:
        read_mapping(Path("a\0b\n"))
    assert str(caught.value).isprintable()


_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=8,
)


@given(_JSON)
def test_json_values_are_read_as_such(value: Any) -> None:
    assert parse_value(json.dumps(value)) == value


@pytest.mark.parametrize(("text", "value"), [("yes", True), ("[a, b]", ["a", "b"]), ("A: 1", {"A": 1}), ("mc", "mc")])
def test_values_may_be_yaml(text: str, value: object) -> None:
    assert parse_value(text) == value


@given(st.text())
def test_any_text_is_read_or_refused(text: str) -> None:
    with suppress(ValueError):
        parse_value(text)


def test_an_error_has_a_line_for_each_problem_and_travels() -> None:
    error = ConfigError("one", "two")
    assert str(error) == "one\ntwo"
    assert pickle.loads(pickle.dumps(error)).problems == ("one", "two")


@pytest.mark.parametrize(
    ("loader", "content"),
    [(json, '{"Timeout": 5}'), (yaml, "Timeout: 5\n"), (tomllib, "Timeout = 5\n")],
    ids=["json", "yaml", "tomllib"],
)
def test_a_loader_decides_instead_of_the_suffix(tmp_path: Path, loader: Any, content: str) -> None:
    path = tmp_path / "c.conf"
    path.write_text(content)
    assert read_mapping(path, loader) == {"Timeout": 5}


def test_the_modules_stand_for_the_strict_readers(tmp_path: Path) -> None:
    path = tmp_path / "c.yaml"
    path.write_text('{"Timeout": 5, "Timeout": 6}')
    for loader in json, yaml:
        with pytest.raises(ConfigError, match=r'"?Timeout"? stands twice'):
            read_mapping(path, loader)
    path.write_text("Timeout: 5\n")
    with pytest.raises(ConfigError, match="line 1, column 1"):
        read_mapping(path, json)


class _Words:
    """Any object will do that reads an open text file."""

    def load(self, file: TextIO) -> object:
        words = file.read().split()
        return dict(zip(words[::2], map(int, words[1::2]), strict=True))


def test_a_loader_of_ones_own(tmp_path: Path) -> None:
    path = tmp_path / "c.json"
    path.write_text("Timeout 5 Retries 1")
    assert read_mapping(path, _Words()) == {"Timeout": 5, "Retries": 1}
    path.write_text("Timeout soon")
    with pytest.raises(ConfigError, match=r"c\.json: ValueError: invalid literal"):
        read_mapping(path, _Words())


def test_a_file_that_is_not_there_is_an_os_error_too(tmp_path: Path) -> None:
    with pytest.raises(OSError, match="cannot be read: No such file or directory") as caught:
        read_mapping(tmp_path / "nowhere")
    assert isinstance(caught.value, ConfigUnreadable)
    again = pickle.loads(pickle.dumps(caught.value))
    assert (type(again), str(again)) == (ConfigUnreadable, str(caught.value))


@pytest.mark.parametrize(
    "value", ["*hunter2", "!hunter2 x", "!!hunter2 x", "&hunter2 1, b: &hunter2 1", "!h!hunter2 x"]
)
def test_what_looks_like_an_alias_or_a_tag_may_be_a_password(tmp_path: Path, value: str) -> None:
    file = tmp_path / "c.yaml"
    file.write_text(f"Sites: {{a: {value}}}\n")
    with pytest.raises(ConfigError) as raised:
        read_mapping(file)
    assert "line 1" in str(raised.value)
    assert "hunter2" not in str(raised.value)
