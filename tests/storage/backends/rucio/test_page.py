"""What the page of backends says of the keys of Rucio, and of what an RSE may set."""

from __future__ import annotations

import re
from pathlib import Path

from storage.backends.rucio.sites import SETTINGS
from storage.config.keys import KEYS, RucioKeys

PAGE = (Path(__file__).parents[4] / "docs/backends.md").read_text()


def section(title: str) -> str:
    match = re.search(rf"^### {title}\n(.*?)(?=^##)", PAGE, re.MULTILINE | re.DOTALL)
    assert match
    return match[1]


def test_the_page_has_every_key_once_and_no_other() -> None:
    cells = [line.split("|")[1] for line in section("Keys of `Rucio`").splitlines() if line.startswith("| `")]
    assert sorted(key for cell in cells for key in re.findall(r"`(\w+)`", cell)) == sorted(RucioKeys.model_fields)


def test_the_page_has_what_an_rse_may_set() -> None:
    _, _, listed = section("Attributes of an RSE").partition("The keys are ")
    assert re.findall(r"`([A-Z]\w+)`", listed.partition(". Another one")[0]) == list(SETTINGS)
    assert set(SETTINGS) <= set(KEYS)
