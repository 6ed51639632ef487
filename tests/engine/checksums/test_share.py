"""The ring on which every file has its place, and its turn."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine import paths
from engine.checksums.share import BEGINNING, RING, Arc, Place, Share, place_of

names = st.lists(st.binary(min_size=1, max_size=6).filter(lambda name: b"/" not in name), unique=True, max_size=30)
shares = st.integers(1, 60).flatmap(lambda of: st.builds(Share, st.integers(1, of), st.just(of)))
places = st.builds(Place, st.integers(0, RING - 1), st.sampled_from([b"", b"/s/a", b"/z"]))


@pytest.mark.parametrize("text", ["1/1000", " 3 / 7 ", "1/1", "1000000/1000000"])
def test_a_share_is_two_numbers(text: str) -> None:
    share = Share.parse(text)
    assert str(share) == text.replace(" ", "")
    assert Share.parse(str(share)) == share


@pytest.mark.parametrize("text", ["", "1", "0/5", "6/5", "1/0", "-1/5", "1/1000001", "1/2/3", "0.5/1", "x/y"])
def test_other_text_is_none(text: str) -> None:
    with pytest.raises(ValueError, match=r"two numbers|first number|more than"):
        Share.parse(text)


@given(names, shares, places)
def test_in_a_round_each_file_has_its_turn_once(files: list[bytes], share: Share, start: Place) -> None:
    turns: list[bytes] = []
    for _ in range(-(-share.of // share.parts)):
        arc = Arc(start, share.width)
        turns += sorted(
            (name for name in files if arc.holds(place_of(b"/s/" + name))),
            key=lambda name: arc.distance(place_of(b"/s/" + name)),
        )
        start = arc.end
    assert set(turns) == set(files)
    # A round that does not come out even begins anew before it ends.
    extra = -(-share.of // share.parts) * share.width - RING
    assert len(turns) == len(files) or extra > 0


@given(names, shares, places, st.sampled_from([b"/", b"/s", b"/s/\xff"]))
def test_the_quick_way_chooses_the_same(files: list[bytes], share: Share, start: Place, directory: bytes) -> None:
    arc = Arc(start, share.width)
    expected = [at for at, name in enumerate(files) if arc.holds(place_of(paths.join(directory, name)))]
    assert arc.chosen(directory, files) == expected


@given(st.binary(max_size=9), places)
def test_what_is_at_the_start_comes_last(path: bytes, start: Place) -> None:
    place = place_of(path)
    own = Arc(place, RING)
    assert own.distance(place) == (RING, path)
    assert own.holds(place)
    assert not Arc(place, RING - 1).holds(place)
    assert (Arc(start, RING).end, Arc(start, 5).end.path) == (start, b"")


def test_places_are_spread() -> None:
    counts = [0] * 100
    for at in range(20_000):
        counts[place_of(b"/store/mc/a/file_%06d.root" % at).number * 100 // RING] += 1
    assert min(counts) > 140
    assert max(counts) < 260
    assert Place(0) == BEGINNING
