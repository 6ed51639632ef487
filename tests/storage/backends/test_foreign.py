"""Backends of other packages: real ones, installed beside the program as far as Python can tell."""

from __future__ import annotations

import json
import os
import pickle
import subprocess
from collections.abc import Callable
from pathlib import Path
from textwrap import dedent

import pytest

from storage.backends import BackendError, Backends, choose
from storage.backends.files import FileRegistry
from storage.backends.into_snapshot import inventory_identity, inventory_of_backend
from storage.backends.protocols import InventoryRow, Transfers
from storage.config.loading import Config
from storage.config.site import SiteConfig
from storage.inventory import InventoryMalformed
from tests.cli.program import PROGRAM

SITE = "T2_A"


Install = Callable[..., tuple[Backends, SiteConfig]]


@pytest.fixture
def install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest) -> Install:
    """Install a package with a backend ``theirs``, whose class has this body, and choose it."""
    number = abs(hash(request.node.name))

    def do(body: str, module: str = "", **keys: object) -> tuple[Backends, SiteConfig]:
        name = f"theirs_{number}"
        write_package(tmp_path / "packages", name, body, module)
        monkeypatch.syspath_prepend(tmp_path / "packages")
        path = tmp_path / "config.yaml"
        path.write_text(json.dumps({"Backend": "theirs", "Sites": {SITE: {}}, **keys}))
        config = Config.load(path, {})
        return choose(config, config.site(SITE)), config.site(SITE)

    return do


def write_package(directory: Path, name: str, body: str, module: str = "", version: str = "1.2") -> None:
    inside = "".join(f"    {line}\n" for line in dedent(body).strip().splitlines())
    directory.mkdir(exist_ok=True)
    (directory / f"{name}.py").write_text(
        f"{dedent(module)}\nclass Backend:\n    def __init__(self, config, site):\n        self.site = site\n\n{inside}"
    )
    info = directory / f"{name}-{version}.dist-info"
    info.mkdir(exist_ok=True)
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n")
    (info / "entry_points.txt").write_text(f"[dynamo_consistency.backends]\ntheirs = {name}:Backend\n")


def test_an_inventory_of_any_shape(install: Install, tmp_path: Path, room_beside_the_snapshot_alone: None) -> None:
    backends, site = install("""
        def list_files(self, site):
            yield "/store/mc/b"
            yield ("/store/mc/a", 5, 7.5, "block#1")
            yield ["mc/c", None, None, None]
    """)
    assert list(backends.inventory.list_files(SITE))[:2] == [
        InventoryRow("/store/mc/b"),
        InventoryRow("/store/mc/a", 5, 7.5, "block#1"),  # type: ignore[arg-type]
    ]
    counts = inventory_of_backend(backends, site, tmp_path / "s")
    assert (counts.files, counts.bytes, counts.format) == (3, 5, "backend")
    assert inventory_identity(backends, site).mark == {"backend": "theirs", "site": SITE}
    assert isinstance(backends.registry, FileRegistry)
    assert backends.inventory.protected_datasets(SITE) == frozenset()


def test_all_questions(install: Install, tmp_path: Path) -> None:
    backends, _ = install(
        """
        def list_files(self, site): return []
        def protected_datasets(self, site): return ["/a/b/c"]
        def delete(self, site, lfns): return len(lfns) - 1
        def transfer(self, site, lfns): return [lfns[0]], []
        def sources(self, site, lfns): return [lfns[0]], [lfns[0]]
        def site_list(self): return ("T2_A", "T2_X")
        def ready_sites(self): return {"T2_X"}
        def deletion_requests(self, site): return {"/d/e/f": 1}
        def check_site(self, site): return "it rains"
        def filelist_to_blocklist(self, site, lfns): return [("g", "d", "b", 1, 5), ("a", "d", "b", 1, 5)]
        def DatasetFilter(self, datasets): return Filter(datasets)
        """,
        module="""
        class Filter:
            def __init__(self, datasets): self.datasets = datasets
            def protected(self, name): return name in self.datasets
        """,
    )
    lfns = ["/store/a", "/store/b"]
    assert backends.inventory.protected_datasets(SITE) == {"/a/b/c"}
    assert backends.registry.delete(SITE, lfns) == 1
    assert backends.registry.transfer(SITE, lfns) == Transfers(lfns, lfns[:1])
    assert backends.registry.sources(SITE, lfns) == Transfers(lfns[1:], lfns[:1], lfns[:1])
    assert backends.sites.site_list() == ["T2_A", "T2_X"]
    assert backends.sites.ready_sites() == {"T2_X"}
    assert backends.deletions.deletion_requests(SITE) == {"/d/e/f"}
    assert backends.check.check_site(SITE) == "it rains"
    assert backends.blocks.filelist_to_blocklist(SITE, lfns) == [("a", "d", "b", 1, 5), ("g", "d", "b", 1, 5)]
    made = pickle.loads(pickle.dumps(backends.datasets.filter(["x"])))
    assert (made.protected("x"), made.protected("y")) == (True, False)


def test_a_question_may_be_answered_by_one_method_alone(install: Install) -> None:
    backends, _ = install("def delete(self, site, lfns): pass\ndef site_list(self): return ['T2_X']")
    assert backends.registry.delete(SITE, ["/store/a", "/store/b"]) == 2
    assert backends.registry.transfer(SITE, ["/store/a"]) == Transfers(["/store/a"])
    assert backends.sites.ready_sites() == {"T2_X"}


@pytest.mark.parametrize(("answer", "why"), [("True", ""), ("None", ""), ("''", ""), ("'no'", "no")])
def test_the_answers_of_check_site(install: Install, answer: str, why: str) -> None:
    backends, _ = install(f"def check_site(self, site): return {answer}")
    assert backends.check.check_site(SITE) == why


def test_a_no_without_words_names_the_backend(install: Install) -> None:
    backends, _ = install("def check_site(self, site): return False")
    assert 'backend "theirs" of theirs_' in backends.check.check_site(SITE)


@pytest.mark.parametrize(
    "body",
    [
        "def list_files(self, site): raise RuntimeError('first\\nsecond')",
        "def list_files(self, site):\n    yield '/store/a'\n    raise RuntimeError('first\\nsecond')",
    ],
)
def test_what_it_raises_is_one_line_that_names_it(install: Install, tmp_path: Path, body: str) -> None:
    backends, site = install(body)
    with pytest.raises(BackendError) as caught:
        inventory_of_backend(backends, site, tmp_path / "s")
    assert str(caught.value).startswith('backend "theirs" of theirs_')
    assert str(caught.value).endswith(" 1.2 failed in list_files: first second (RuntimeError)")
    assert not (tmp_path / "s").exists()


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ("def list_files(self, site): return None", r"list_files gave None; expected an iterable of rows"),
        ("def list_files(self, site): return 'abc'", r"list_files gave a str; expected an iterable"),
        ("def list_files(self, site): return [5]", r"list_files gave a int; expected an InventoryRow"),
        ("def list_files(self, site): return [()]", r"list_files gave a tuple"),
        ("def list_files(self, site): return [('/a', 'x')]", r'row 1: expected a size in bytes, found "x"'),
        ("def list_files(self, site): return [(None,)]", r"row 1: expected a path, found NULL"),
    ],
)
def test_rows_that_make_no_sense(install: Install, tmp_path: Path, body: str, message: str) -> None:
    backends, site = install(body)
    with pytest.raises((BackendError, InventoryMalformed), match=message):
        inventory_of_backend(backends, site, tmp_path / "s")


def test_answers_that_make_no_sense(install: Install) -> None:
    backends, _ = install("""
        def protected_datasets(self, site): return "abc"
        def transfer(self, site, lfns): return 5
        def site_list(self): return [1]
        def deletion_requests(self, site): return None
        def check_site(self, site): return 5
        def filelist_to_blocklist(self, site, lfns): return [("a", "b")]
        def filter(self, datasets): return lambda name: True
    """)
    for question, expected in (
        (
            lambda: backends.inventory.protected_datasets(SITE),
            "datasets gave a str; expected a list of names",
        ),
        (lambda: backends.registry.transfer(SITE, []), r"transfer gave a int; expected Transfers, or the lists"),
        (lambda: backends.sites.site_list(), "site_list gave a int; expected names as str"),
        (lambda: backends.deletions.deletion_requests(SITE), "deletion_requests gave None"),
        (lambda: backends.check.check_site(SITE), "check_site gave a int; expected words why not"),
        (lambda: backends.blocks.filelist_to_blocklist(SITE, []), "filelist_to_blocklist gave a tuple; expected rows"),
        (lambda: backends.datasets.filter([]), "filter gave a function; expected an object with a method protected"),
    ):
        with pytest.raises(BackendError, match=expected):
            question()


def test_a_filter_that_cannot_travel_is_refused(install: Install) -> None:
    backends, _ = install("""
        def filter(self, datasets):
            class Local:
                def protected(self, name): return True
            return Local()
    """)
    with pytest.raises(BackendError, match="gave a filter in filter that does not pickle"):
        backends.datasets.filter([])


def test_one_that_cannot_be_loaded(install: Install) -> None:
    with pytest.raises(BackendError, match=r"cannot be loaded: No module named 'nowhere' \(ModuleNotFoundError\)"):
        install("def delete(self, site, lfns): pass", module="import nowhere")


def test_one_that_cannot_be_made(install: Install) -> None:
    with pytest.raises(BackendError, match=r"cannot be loaded: sorry \(ValueError\)"):
        install("def delete(self): pass\ndef __new__(cls, config, site): raise ValueError('sorry')")


def test_one_that_answers_nothing(install: Install) -> None:
    with pytest.raises(BackendError, match="Backend has none of the methods of a backend: list_files, "):
        install("def other(self): pass")


def test_a_question_that_it_was_named_for_and_does_not_answer(install: Install) -> None:
    with pytest.raises(BackendError, match=r'Backends\.registry: the backend "theirs" does not answer this'):
        install("def site_list(self): return []", Backend="files", Backends={"registry": "theirs"})


def test_it_is_named_among_the_valid_ones(install: Install) -> None:
    with pytest.raises(BackendError, match=r'no backend "other"; valid: dynamo-v1, files, rucio, sql, theirs'):
        install("def site_list(self): return []", Backend="other")


def test_two_packages_of_one_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("theirs_one", "theirs_two"):
        write_package(tmp_path / "packages", name, "def site_list(self): return []")
    monkeypatch.syspath_prepend(tmp_path / "packages")
    path = tmp_path / "config.yaml"
    path.write_text(json.dumps({"Backend": "theirs", "Sites": {SITE: {}}}))
    config = Config.load(path, {})
    with pytest.raises(BackendError, match=r'"theirs": several packages bring it: theirs_(one|two) 1.2, theirs_'):
        choose(config, config.site(SITE))


def test_an_operator_sees_no_traceback(tmp_path: Path) -> None:
    write_package(tmp_path / "packages", "theirs_cli", "def site_list(self): raise RuntimeError('down')")
    (tmp_path / "consistency_config.json").write_text(json.dumps({"Backend": "theirs", "Sites": {SITE: {}}}))
    ended = subprocess.run(
        [PROGRAM, "sites"],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(tmp_path / "packages")},
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert (ended.returncode, ended.stdout) == (2, "")
    assert ended.stderr == (
        'dynamo-consistency: backend "theirs" of theirs_cli 1.2 failed in site_list: down (RuntimeError)\n'
    )
