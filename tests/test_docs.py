"""What the documentation says of the command line is whole and true; the README's examples are run."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import typer

from cli.exits import ExitCode
from cli.main import app
from tests.cli.program import PROGRAM, environment, run

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text()
COMMANDS_PAGE = (ROOT / "docs/commands.md").read_text()
COMMAND_PAGES = ROOT / "docs/commands"
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").rglob("*.md"))]

GROUP = typer.main.get_command(app)


def commands_of(group: Any, before: str = "") -> Iterator[tuple[str, Any]]:
    """Give the commands of a group and of the groups in it, as they are typed."""
    for name, command in group.commands.items():
        if hasattr(command, "commands"):
            yield from commands_of(command, f"{before}{name} ")
        else:
            yield before + name, command


COMMANDS: dict[str, Any] = dict(commands_of(GROUP))
SHARING = ("list", "compare", "check")
"""Commands whose common options stand in a section of their own."""

HOME = "/data"
"""Where the README's examples play."""

OLD = 1_700_000_000


def section(title: str) -> str:
    """Give the part of the page about all commands that is below a heading of the second level."""
    match = re.search(rf"^## {re.escape(title)}\n(.*?)(?=^## |\Z)", COMMANDS_PAGE, re.MULTILINE | re.DOTALL)
    assert match, f"docs/commands.md has no section {title!r}"
    return match[1]


def page_of(command: str) -> str:
    """Give the page of one command; its name is that of the command with hyphens for blanks."""
    page = COMMAND_PAGES / f"{command.replace(' ', '-')}.md"
    assert page.exists(), f"docs/commands has no page of {command!r}"
    return page.read_text()


def first_cells(text: str) -> Iterator[str]:
    """Give the first cell of each row of the tables in a text."""
    for line in text.splitlines():
        if line.startswith("| "):
            yield re.split(r"(?<!\\)\|", line)[1].strip()


def documented_options(text: str) -> set[str]:
    return {option for cell in first_cells(text) for option in re.findall(r"`(--?[a-z][a-z-]*)", cell)}


def options_of(command: Any) -> set[str]:
    """Give all names of a command's options but those of the help, which every command has."""
    names = {name for parameter in command.params if parameter.param_type_name == "option" for name in parameter.opts}
    return names - {"-h", "--help"}


def arguments_of(command: Any) -> list[str]:
    return [p.metavar or p.name for p in command.params if p.param_type_name == "argument"]


def keys_of(text: str) -> list[str]:
    """Give the keys in the tables of a section that are headed ``JSON key``."""
    tables = re.findall(r"^\| JSON key.*?(?=\n\n|\Z)", text, re.MULTILINE | re.DOTALL)
    return [key for table in tables for cell in first_cells(table) for key in re.findall(r"`([a-z_]+)`", cell)]


def test_every_command_is_in_the_overview_and_has_a_page() -> None:
    introduction = COMMANDS_PAGE.partition("\n## ")[0]
    listed = re.findall(r"^\| \[`([\w -]+)`\]\(commands/([\w-]+)\.md\)", introduction, re.MULTILINE)
    assert listed == [(command, command.replace(" ", "-")) for command in COMMANDS]
    for command in COMMANDS:
        assert page_of(command).startswith(f"# {command}\n")
    assert {page.stem for page in COMMAND_PAGES.iterdir()} == {command.replace(" ", "-") for command in COMMANDS}


def test_the_options_before_the_command_are_documented() -> None:
    introduction = COMMANDS_PAGE.partition("\n## ")[0]
    assert documented_options(introduction) - {"-h", "--help"} == options_of(GROUP)


@pytest.mark.parametrize("command", COMMANDS)
def test_every_option_of_a_command_is_documented_and_no_other(command: str) -> None:
    common = documented_options(section("Options of `list`, `compare` and `check`")) if command in SHARING else set()
    assert documented_options(page_of(command)) | common == options_of(COMMANDS[command])


@pytest.mark.parametrize("command", COMMANDS)
def test_the_usage_names_every_argument(command: str) -> None:
    arguments = "".join(rf" \[?{argument}\]?" for argument in arguments_of(COMMANDS[command]))
    assert re.search(rf"^    dynamo-consistency {command}{arguments}( \[|$)", page_of(command), re.MULTILINE)


def test_the_table_of_exit_codes_is_that_of_the_program() -> None:
    codes = [int(cell) for cell in first_cells(section("Exit codes")) if cell.isdigit()]
    assert codes == sorted(ExitCode)


def test_links_lead_somewhere() -> None:
    broken = []
    for page in PAGES:
        for target, anchor in re.findall(r"\]\((?!https?://)([^)#\s]*)(?:#([^)\s]*))?\)", page.read_text()):
            file = page.parent / target if target else page
            if not file.exists() or (anchor and anchor not in anchors(file)):
                broken.append(f"{page.relative_to(ROOT)}: {target}#{anchor}")
    assert broken == []


def anchors(page: Path) -> set[str]:
    """Give the anchors that a page's headings have where Markdown is shown."""
    headings = re.findall(r"^#+ (.+)$", page.read_text(), re.MULTILINE)
    return {re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.fixture
def scratch(tmp_path: Path) -> Path:
    """The small site that the README's examples start from, with an inventory and the configuration shown there."""
    for name in ("mc/kept.root", "data/first.root", "data/second.root", "data/left.root"):
        file = tmp_path / "store" / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(b"x" * 1000)
        os.utime(file, (OLD, OLD))
    (tmp_path / "store/mc/empty").mkdir()
    os.utime(tmp_path / "store/mc/empty", (OLD, OLD))
    names = ("mc/kept.root", "mc/lost.root", "data/first.root", "data/second.root")
    (tmp_path / "inventory.txt").write_text("".join(f"{tmp_path}/store/{name} 1000 {OLD}\n" for name in names))
    (settings,) = re.findall(r"^```yaml\n(.*?)^```", README, re.MULTILINE | re.DOTALL)
    (tmp_path / "sites.yaml").write_text(settings.replace(HOME, str(tmp_path)))
    return tmp_path


@dataclass(frozen=True)
class Example:
    """A command of the README and what it is said to print."""

    command: str
    output: str


def examples() -> list[Example]:
    """Give the commands of all ``console`` blocks, in order."""
    found = []
    for block in re.findall(r"^```console\n(.*?)^```", README, re.MULTILINE | re.DOTALL):
        for part in re.split(r"^\$ ", block, flags=re.MULTILINE)[1:]:
            command, _, output = part.partition("\n")
            found.append(Example(command, output))
    return found


def without_chance(output: str) -> str:
    """Blot out what another run need not have in common: times of day, durations and the width of their column."""
    output = re.sub(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d", "DATE", output)
    output = re.sub(r"\b\d+\.\d+ s$", "N s", output, flags=re.MULTILINE)
    return re.sub(r" +\d+\.\d$", " N", output, flags=re.MULTILINE)


def test_the_examples_of_the_readme_do_what_they_show(scratch: Path) -> None:
    played = []
    path = f"{Path(PROGRAM).parent}{os.pathsep}{os.environ['PATH']}"
    for example in examples():
        done = subprocess.run(
            shlex.split(example.command),
            cwd=scratch,
            env=environment(PATH=path),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=120,
        )
        assert (done.returncode, done.stderr) == (0, ""), example.command
        played.append(Example(example.command, without_chance(done.stdout.replace(str(scratch), HOME))))
    assert played == [Example(example.command, without_chance(example.output)) for example in examples()]
    assert len(played) >= 4


def test_every_json_key_is_documented(scratch: Path) -> None:
    before = ("--config", "sites.yaml")
    results = {
        "list": run("list", "store", "--json", cwd=scratch),
        "compare": run("compare", "inventory.txt", "store", "--json", cwd=scratch),
        "check": run(*before, "check", "--json", cwd=scratch),
        "history": run(*before, "history", "T2_EXAMPLE", "--json", cwd=scratch),
    }
    for command in SHARING:
        assert sorted(keys_of(page_of(command))) == sorted(results[command].json), command
    history = results["history"].json
    assert sorted(history) == ["runs", "site"]
    # The counts of a run are those of a check; the page refers to them. Five are in the message of a run there, and one
    # in its plan.
    in_words = {"changed_meanwhile", "cluster", "taken_over", "distrust", "checksum_details"}
    counts = set(results["check"].json) - {"site", "run", "planned"} - in_words
    (row,) = history["runs"]
    assert counts <= set(row)
    assert set(keys_of(page_of("history"))) - {"files", "seconds"} == set(row) - counts


@pytest.mark.parametrize("command", ["make demo", "make test"])
def test_the_quick_start_is_two_targets_of_the_makefile(command: str) -> None:
    assert f"    {command} " in README
    assert re.search(rf"^{command.removeprefix('make ')}:", (ROOT / "Makefile").read_text(), re.MULTILINE)
