from __future__ import annotations

import os
import shutil
import sys
from pathlib import Path

import pytest

from actors.on_ray import guest
from actors.on_ray.guest import PACKAGES, Guest, are_same, guest_of, lacks, program_here, refused

ROOT = Path(__file__).parents[3]

OURS = ("1.0", "0123abcd", "3.11.2")


@pytest.fixture
def copied(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The program's sources at another place, from which they would be imported."""
    for package in PACKAGES:
        shutil.copytree(ROOT / package, tmp_path / package, ignore=shutil.ignore_patterns("__pycache__"))
    monkeypatch.setattr(sys, "path", [str(tmp_path), *sys.path])
    for name in [name for name in sys.modules if name.partition(".")[0] in PACKAGES]:
        monkeypatch.delitem(sys.modules, name)
    return tmp_path


def test_the_same_sources_elsewhere_are_the_same_program(copied: Path) -> None:
    there = program_here()
    assert (copied / "actors").exists()
    assert guest.package_directories() == [str(copied / package) for package in PACKAGES]
    shutil.rmtree(copied)
    assert there[1] == program_here()[1] != ""


@pytest.mark.parametrize("change", ["a byte", "a name", "a module more", "a module less", "a sub-package less"])
def test_any_change_of_the_sources_makes_another_program(copied: Path, change: str) -> None:
    before = program_here()
    path = copied / "engine/paths.py"
    if change == "a byte":
        path.write_bytes(path.read_bytes().replace(b"\n", b" \n", 1))
    elif change == "a name":
        path.rename(path.with_name("roads.py"))
    elif change == "a module more":
        path.with_name("further.py").touch()
    elif change == "a module less":
        path.unlink()
    else:
        shutil.rmtree(copied / "storage/listers")
    after = program_here()
    assert before[1] != after[1]
    assert not are_same(before, after)


def test_what_python_makes_of_the_sources_does_not_count(copied: Path) -> None:
    before = program_here()
    (copied / "engine/__pycache__").mkdir()
    (copied / "engine/__pycache__/paths.cpython-311.pyc").write_bytes(b"?")
    assert program_here() == before


def test_a_directory_that_happens_to_have_the_name_is_no_program(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for package in PACKAGES:
        (tmp_path / package).mkdir()
    monkeypatch.setattr(sys, "path", [str(tmp_path)])
    monkeypatch.setattr(sys, "meta_path", [finder for finder in sys.meta_path if "PathFinder" in repr(finder)])
    for name in [name for name in sys.modules if name.partition(".")[0] in PACKAGES]:
        monkeypatch.delitem(sys.modules, name)
    assert program_here()[1] == ""


@pytest.mark.parametrize(
    ("there", "same"),
    [
        (("1.0", "0123abcd", "3.11.9"), True),
        (("2.0", "0123abcd", "3.11.2"), True),
        (("1.0", "0123abcd", "3.12.2"), False),
        (("1.0", "0123abce", "3.11.2"), False),
        (("1.0", "", "3.11.2"), False),
    ],
)
def test_sources_and_python_decide(there: guest.Program, same: bool) -> None:
    assert are_same(there, OURS) is same


class _Adding:
    def __init__(self, start: int) -> None:
        self._sum = start

    def add(self, number: int) -> int:
        self._sum += number
        return self._sum

    def _secret(self) -> None:
        raise AssertionError


class _Importing:
    def __init__(self) -> None:
        import no_such_package  # noqa: F401


class _Applied:
    def apply(self) -> None:
        os.environ["APPLIED"] = "yes"


def _sealed(actor: type, *arguments: object) -> bytes:
    import pickle

    from ray import cloudpickle

    packed: bytes = cloudpickle.dumps((actor, (_Applied().apply,), arguments))
    assert pickle.loads(packed)
    return packed


def test_a_guest_does_what_the_actor_does(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("APPLIED", "no")
    cls = guest_of(_Adding)
    assert cls.__name__ == "_Adding"
    assert not hasattr(cls, "_secret")
    guest = cls(program_here(), _sealed(_Adding, 3))
    assert guest.add(4) == 7
    assert os.environ["APPLIED"] == "yes"


def test_nothing_is_unpacked_for_another_program() -> None:
    guest = guest_of(_Adding)(OURS, b"this would not unpack")
    with pytest.raises(RuntimeError) as told:
        guest.add(1)
    words = refused(told.value)
    assert words.startswith("the node ")
    assert "and this program is 1.0 (sources 0123abcd, Python 3.11.2): install the same there" in words
    assert "\n" not in words


def test_a_package_that_the_node_lacks_is_named() -> None:
    visitor: Guest = guest_of(_Importing)(program_here(), _sealed(_Importing))
    with pytest.raises(RuntimeError) as told:
        visitor._pass_on("anything", ())
    assert refused(told.value) == lacks(guest.node_here(), "no_such_package", sys.executable)


@pytest.mark.parametrize(
    "error", [RuntimeError(), RuntimeError("x", "y"), ValueError("dynamo-consistency: unfit node")]
)
def test_other_errors_say_nothing_of_the_node(error: Exception) -> None:
    assert refused(error) == ""
