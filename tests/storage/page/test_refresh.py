import logging

import pytest

from storage.page.refresh import Refresher, Sign, sign_of
from storage.sites.summary import SummaryError
from tests.storage.page.planting import HOUR, NOW, Planted


def sign(planted: Planted) -> Sign:
    return sign_of(planted.web, planted.history)


def test_a_build_is_no_news_to_itself(planted: Planted) -> None:
    planted.run("T2_A", NOW - HOUR)
    planted.result("T2_A")
    planted.build()
    before = sign(planted)
    planted.build(now=NOW + 60)
    assert sign(planted) == before


def test_databases_and_lists_are_news(planted: Planted) -> None:
    planted.run("T2_A", NOW - HOUR)
    planted.result("T2_A")
    seen = [sign(planted)]
    planted.result("T2_A", NOW)
    seen.append(sign(planted))
    planted.run("T2_A", NOW)
    seen.append(sign(planted))
    planted.file("T2_A_empty.txt", "a\n")
    seen.append(sign(planted))
    planted.file("T2_A.log", "begun\n")
    seen.append(sign(planted))
    assert len(set(seen)) == len(seen)
    planted.file("T2_A.log", "begun\nand going on\n")
    assert sign(planted) == seen[-1], "a log that grows is none"


def test_nothing_there_is_a_sign_too(planted: Planted) -> None:
    assert sign_of(planted.web / "nowhere", None) == sign_of(planted.web / "nowhere", None)


def test_the_page_is_built_when_something_changed_and_not_else() -> None:
    built = []
    signs: list[Sign] = [((1,),)]
    refresh = Refresher(lambda: built.append(signs[0]), lambda: signs[0])
    refresh()
    refresh()
    assert built == [((1,),)]
    signs[0] = ((2,),)
    refresh()
    refresh()
    assert built == [((1,),), ((2,),)]


def test_a_problem_is_said_once_and_forgotten_when_it_is_gone(caplog: pytest.LogCaptureFixture) -> None:
    state = {"sign": 0, "bad": True}

    def build() -> None:
        if state["bad"]:
            raise SummaryError("stats.db: damaged")

    refresh = Refresher(build, lambda: ((state["sign"],),))
    with caplog.at_level(logging.ERROR):
        for _ in range(3):
            refresh()
            state["sign"] += 1
    assert caplog.text.count("not up to date") == 1
    assert refresh.problem == "stats.db: damaged"
    state["bad"] = False
    refresh()
    assert refresh.problem == ""
