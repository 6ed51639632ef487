from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any

import pytest

from engine.tree.answer import GAVE_UP, ask, read_answer

MARK = ("_unlisted_", 0, 0)


def test_a_complete_listing() -> None:
    answer = read_answer((True, [("a", 5), ("b", None)], [("f", 1, 2.5), ("g", 3, None, "block")]))
    assert answer.problem == ""
    assert answer.directories == [("a", 5), ("b", None)]
    assert answer.files == [("f", 1, 2.5), ("g", 3, None, "block")]


def test_what_an_incomplete_listing_names_is_kept() -> None:
    answer = read_answer((False, [("a", 5)], [("f", 1, 2)]))
    assert (answer.problem, answer.directories, answer.files) == (GAVE_UP, [("a", 5)], [("f", 1, 2), MARK])


def test_the_pseudo_file_makes_a_listing_incomplete() -> None:
    answer = read_answer((True, [], [("_unlisted_", 0, 0), ("f", 1, 2)]))
    assert (answer.problem, answer.files) == (GAVE_UP, [("f", 1, 2), MARK])


def test_a_directory_that_is_named_twice_counts_once_and_as_young_as_it_may_be() -> None:
    named = [("a", 5), ("b", 1), ("a", 9), ("a", 7), ("b", None)]
    assert read_answer((True, named, [])).directories == [("a", 9), ("b", None)]


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        (None, r"expected \(bool, directories, files\)"),
        ((True, []), r"expected \(bool, directories, files\)"),
        ((True, None, []), "expected a list of directories"),
        ((True, [], "files"), "expected a list of files"),
        ((True, ["mc"], []), r"expected \(directory, mtime\)"),
        ((True, [("..", 1)], []), "not a name"),
        ((True, [("a/b", 1)], []), "not a name"),
        ((True, [(b"a", 1)], []), "not a name"),
        ((True, [("\ud800", 1)], []), "surrogates not allowed"),
        ((True, [("a", "soon")], []), "could not convert"),
        ((True, [("a", float("nan"))], []), "not a time"),
        ((True, [], [("f", 1)]), r"expected \(file, size, mtime\)"),
        ((True, [], [("f", -5, 1)]), "a size that no file has"),
        ((True, [], [("f", 1 << 70, 1)]), "a size that no file has"),
        ((True, [], [("f", "large", 1)]), "invalid literal"),
        ((True, [], [("f", 1, 1e300)]), "not a time"),
        ((True, [], [("", 1, 1)]), "not a name"),
        ((True, [], [("f", 1, 1, "block", "more")]), "too many values"),
    ],
)
def test_what_makes_no_sense_leaves_the_directory_unlisted(answer: Any, words: str) -> None:
    with pytest.raises((TypeError, ValueError), match=words):
        read_answer(answer)
    asked = ask(lambda _path: answer, "/store")
    assert (asked.directories, asked.files) == ([], [MARK])
    assert asked.problem


class _Nasty:
    def __repr__(self) -> str:
        raise RuntimeError("no words")


@pytest.mark.parametrize(
    "raiser", [lambda _: 1 / 0, lambda _: sys.exit(3), lambda _: _Nasty(), lambda: None, lambda _: next(iter(()))]
)
def test_whatever_a_filler_raises_is_a_problem_of_this_directory(raiser: Callable[[str], Any]) -> None:
    assert ask(raiser, "/store").problem


def test_it_is_asked_for_the_path() -> None:
    asked: list[str] = []
    ask(asked.append, "/store/mc")
    assert asked == ["/store/mc"]


def test_a_name_that_is_not_utf8_is_carried() -> None:
    name = b"\xff".decode("utf-8", "surrogateescape")
    assert read_answer((True, [(name, 1)], [(name, 1, 1)])).directories == [(name, 1)]


def test_a_large_time_stays_exact() -> None:
    assert read_answer((True, [("a", 2**60 + 1)], [])).directories == [("a", 2**60 + 1)]
