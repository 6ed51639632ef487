"""Where things go that are put aside: each to a place of its own, that every protocol can name."""

from __future__ import annotations

import re

from hypothesis import given
from hypothesis import strategies as st

from engine import paths
from engine.quarantine import place_of

_NAMES = st.binary(min_size=1, max_size=255).filter(lambda name: name not in (b".", b"..") and not set(name) & {0, 47})
_PATHS = st.lists(_NAMES, min_size=1, max_size=6).map(lambda names: b"/" + b"/".join(names))


@given(st.lists(_PATHS, unique=True, max_size=20))
def test_each_file_has_a_place_of_its_own(lfns: list[bytes]) -> None:
    places = [place_of(b"/store/q", "abc", number, lfn) for number, lfn in enumerate(lfns, 1)]
    assert len(set(places)) == len(places)
    for place in places:
        assert re.fullmatch(rb"/store/q/abc/[A-Za-z0-9._/=-]+", place)
        assert paths.canonical(place) == place
        assert len(place) <= 900
        assert all(len(name) <= 200 for name in place.split(b"/"))


def test_plain_names_stay_readable() -> None:
    assert place_of(b"/q", "p", 7, b"/store/mc/a b=c.root") == b"/q/p/store/mc/a=20b=3Dc.root"
    assert place_of(b"/q", "p", 7, b"/store/" + b"x" * 201) == b"/q/p/=7"
