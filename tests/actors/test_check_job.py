from __future__ import annotations

from dataclasses import replace

import pytest

from actors.check_job import incremental_listing
from engine.incremental import SAFELY
from engine.second_looks import CACHED_FOR
from storage.config.site import SiteConfig
from storage.doors.source import StoreSource, site_source
from storage.listers.protocol import StoreSpec

SITE = SiteConfig("T2_TEST", doors=("root://one",), incremental=True, incremental_sample=0.1, incremental_full_runs=7)
STORE = site_source(SITE)


def test_the_settings_of_an_incremental_listing() -> None:
    wanted = incremental_listing(SITE, STORE)
    assert (wanted.share, wanted.every, wanted.delay, wanted.why_not) == (0.1, 7, CACHED_FOR, "")
    assert incremental_listing(replace(SITE, incremental_delay=5.0), STORE).delay == 5.0
    # A listing began as long before its answer as a request may take.
    assert wanted.margin == SAFELY + 4 * SITE.timeout + 30


@pytest.mark.parametrize(
    ("store", "why_not"),
    [
        (replace(STORE, spec=replace(STORE.spec, clustered=True)), "the store is a cluster, or may be one"),
        (replace(STORE, spec=replace(STORE.spec, open_ended=True)), "the store is a cluster, or may be one"),
        (replace(STORE, spec=StoreSpec(("dump:///d",)), as_of=5.0), "the store is known by a dump"),
    ],
)
def test_who_is_listed_in_full(store: StoreSource, why_not: str) -> None:
    assert incremental_listing(SITE, store).why_not == why_not


@pytest.mark.parametrize(
    "other",
    [
        {"doors": ("root://two",)},
        {"directories": (b"/store/mc",)},
        {"ignore_directories": (b"/tmp",)},
        {"quarantine": b"/store/mc/aside"},
        {"access_method": "directx"},
        {"path_prefix": b"/cms"},
        {"max_depth": 3},
    ],
)
def test_what_is_listed_another_way_takes_nothing_over(other: dict[str, object]) -> None:
    site = replace(SITE, **other)  # type: ignore[arg-type]
    assert incremental_listing(site, site_source(site)).mark != incremental_listing(SITE, STORE).mark
    again = replace(SITE, timeout=5.0, listers=3, incremental_sample=0.5)
    assert incremental_listing(again, site_source(again)).mark == incremental_listing(SITE, STORE).mark
