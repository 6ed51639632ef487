"""Several processes that read a dump of another program write the same snapshot as one, or refuse the same line."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.storage.inventory.foreign.test_misfits import FILES, FORMS, LIMIT, REFUSAL, spoilt
from tests.storage.inventory.test_spread import written

HEADER = b"rse\tscope\tname\tsize\tstate\n"


def assert_same(path: Path, **options: Any) -> None:
    options = {"chunk_size": 20_000, "root": b"/", **options}
    whole = written(path, frames=False, **options)
    assert written(path, frames=True, alone=0, processes=3, **options) == whole


@pytest.mark.parametrize("form", FORMS)
def test_every_form_is_the_same_for_one_process_and_for_three(form: str, tmp_path: Path) -> None:
    path = tmp_path / "dump"
    path.write_bytes(FORMS[form][1](FILES))
    assert_same(path)


@pytest.mark.parametrize("form", ["pipe", "rucio", "eos"])
@pytest.mark.parametrize("allowed", [0.0, LIMIT])
def test_a_line_that_does_not_fit_has_the_same_number(form: str, allowed: float, tmp_path: Path) -> None:
    path = tmp_path / "dump"
    path.write_bytes(spoilt(form, REFUSAL, 2000, 2500))
    assert_same(path, allowed=allowed)


@pytest.mark.parametrize("site", ["", "X", "Z"])
def test_a_header_and_sites_are_the_same(site: str, tmp_path: Path) -> None:
    path = tmp_path / "dump"
    rows = [b"%b\td%d\tf%d\t7\tA\n" % (b"XY"[n % 2 : n % 2 + 1], n // 50, n) for n in range(3000)]
    path.write_bytes(HEADER + b"".join(rows))
    assert_same(path, site=site)
