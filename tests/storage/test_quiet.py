"""Libraries that are kept from telling secrets say nothing else either, where nobody wants to hear it."""

from __future__ import annotations

import logging
from collections.abc import Iterator

import pytest

from storage.quiet import no_debugging

LIBRARY = "library_of_a_test"


@pytest.fixture(autouse=True)
def _fresh() -> Iterator[None]:
    logging.getLogger(LIBRARY).setLevel(logging.NOTSET)
    yield
    logging.getLogger(LIBRARY).setLevel(logging.NOTSET)


@pytest.mark.parametrize(("usual", "said"), [("DEBUG", "INFO"), ("INFO", "INFO"), ("WARNING", "WARNING")])
def test_it_says_what_others_do_but_for_debugging(usual: str, said: str, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(usual)
    for _ in range(2):
        no_debugging(LIBRARY)
        assert logging.getLevelName(logging.getLogger(f"{LIBRARY}.part").getEffectiveLevel()) == said


def test_debugging_that_is_wanted_later_tells_nothing(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("WARNING")
    no_debugging(LIBRARY)
    caplog.set_level("DEBUG")
    assert not logging.getLogger(LIBRARY).isEnabledFor(logging.DEBUG)
