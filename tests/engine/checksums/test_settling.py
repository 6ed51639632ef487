"""What the answers come to, from run to run."""

from __future__ import annotations

from collections.abc import Iterable

from hypothesis import given
from hypothesis import strategies as st

from engine.checksums.asking import FileAnswer, Said
from engine.checksums.choice import Choice, SampleFile
from engine.checksums.counts import SampleCounts
from engine.checksums.digest import ADLER32, Checksum
from engine.checksums.settling import MOST_OWED, ChecksumMismatch, SampleState, settle, without_changed
from engine.checksums.share import BEGINNING, Place, place_of

RIGHT, WRONG = Checksum(ADLER32, "00000001"), Checksum(ADLER32, "00000002")
END = Place(77)


def file(name: str, size: int = 7, mtime: int = 100) -> SampleFile:
    return SampleFile(f"/s/{name}".encode(), size, mtime)


def answer(name: str, said: Said = Said.AGREES) -> FileAnswer:
    found = (RIGHT, RIGHT if said == Said.AGREES else WRONG) if said.is_checked else ()
    return FileAnswer(f"/s/{name}".encode(), said, *found)


def known(name: str, confirmed: float = 1.0, size: int = 7) -> ChecksumMismatch:
    return ChecksumMismatch(f"/s/{name}".encode(), size, 100, RIGHT, WRONG, confirmed)


def choice(files: Iterable[str], again: Iterable[str] = (), unseen: Iterable[str] = ()) -> Choice:
    return Choice(
        tuple(map(file, again)), tuple(map(file, files)), END, frozenset(f"/s/{name}".encode() for name in unseen)
    )


def test_when_all_is_done_the_next_run_goes_on_behind_the_arc() -> None:
    settled = settle(SampleState(), choice("abc"), [answer("a"), answer("b", Said.DIFFERS), answer("c")], 5.0)
    assert settled.state == SampleState(END, {}, (known("b", 5.0),))
    assert settled.mismatches == (known("b", 5.0),)
    assert settled.counts == SampleCounts(compared=3)


def test_what_was_not_reached_is_where_the_next_run_begins() -> None:
    settled = settle(
        SampleState(), choice("abcd"), [answer("a"), answer("b", Said.NOT_GIVEN), answer("d")], 5.0, "late"
    )
    assert settled.state.place == place_of(b"/s/b")
    assert settled.counts == SampleCounts(2, {"no such checksum at the store": 1}, 1, "late")
    assert settle(SampleState(), choice("ab"), [], 5.0).state == SampleState()


def test_what_has_no_answer_is_asked_for_again_twice() -> None:
    state = settle(SampleState(), choice("a"), [answer("a", Said.SILENT)], 5.0).state
    assert state == SampleState(END, {b"/s/a": 1})
    assert state.again(10) == [b"/s/a"]
    not_reached = settle(state, choice("", "a"), [], 6.0).state
    assert not_reached.owed == {b"/s/a": 1}
    twice = settle(state, choice("", "a"), [answer("a", Said.UNSURE)], 6.0).state
    assert twice.owed == {b"/s/a": 2}
    assert settle(twice, choice("", "a"), [answer("a", Said.SILENT)], 7.0).state.owed == {}
    assert settle(twice, choice("", "a"), [answer("a")], 7.0).state.owed == {}
    assert settle(twice, choice("", unseen="a"), [], 7.0).state.owed == {b"/s/a": 2}
    assert settle(twice, choice(""), [], 7.0).state.owed == {}


def test_with_too_many_that_have_no_answer_nothing_goes_on() -> None:
    owed = {b"/s/%d" % at: 1 for at in range(MOST_OWED)}
    state = SampleState(BEGINNING, owed)
    again = Choice(tuple(SampleFile(path, 7, 100) for path in owed), (file("a"), file("b")), END)
    settled = settle(state, again, [answer("a"), answer("b", Said.SILENT)], 5.0)
    assert (settled.state.place, dict(settled.state.owed)) == (place_of(b"/s/a"), owed)


def test_a_known_mismatch_stays_until_it_is_put_right() -> None:
    state = SampleState(END, {}, (known("b"),))
    for said in (Said.SILENT, Said.NOT_GIVEN, Said.REFUSED, Said.UNSURE, Said.TOO_LARGE):
        settled = settle(state, choice("", "b"), [answer("b", said)], 9.0)
        assert settled.mismatches == settled.state.known == (known("b"),)
    assert settle(state, choice("", "b"), [], 9.0).mismatches == (known("b"),)
    again = settle(state, choice("", "b"), [answer("b", Said.DIFFERS)], 9.0)
    assert again.mismatches == again.state.known == (known("b", 9.0),)
    for said in (Said.AGREES, Said.CHANGED, Said.NOT_EXPECTED):
        assert settle(state, choice("", "b"), [answer("b", said)], 9.0).state.known == ()


def test_a_known_mismatch_of_another_file_is_none() -> None:
    state = SampleState(END, {}, (known("b", size=8), known("c"), known("d")))
    settled = settle(state, choice("", "b", unseen="d"), [], 9.0)
    # What could not be seen is remembered, and not reported.
    assert (settled.mismatches, settled.state.known) == ((), (known("d"),))


def test_the_longest_known_are_asked_for_first_and_never_take_all() -> None:
    state = SampleState(END, {b"/s/o": 1}, (known("b", 3.0), known("c", 1.0), known("d", 2.0)))
    assert state.again(4) == [b"/s/c", b"/s/o"]
    assert SampleState(END, {}, state.known).again(4) == [b"/s/c", b"/s/d"]
    assert SampleState(END, dict.fromkeys([b"/s/o", b"/s/p", b"/s/q"], 1)).again(4) == [b"/s/o", b"/s/p"]
    # What nobody can ask for takes no turn.
    assert state.again(4, {b"/s/b", b"/s/d"}) == [b"/s/d", b"/s/b"]
    assert state.again(4, set()) == []
    assert state.again(100) == [b"/s/c", b"/s/d", b"/s/b", b"/s/o"]
    assert state.again(1) == [b"/s/c"]


def test_where_most_differ_none_is_believed_to() -> None:
    told = [answer("a", Said.DIFFERS), answer("b", Said.DIFFERS), answer("c")]
    settled = settle(SampleState(), choice("abc"), told, 5.0)
    assert settled.mismatches == ()
    assert settled.counts.why.startswith("2 of 3 files have another checksum than the inventory says")
    assert settled.counts.unchecked == {"different answers": 2}
    assert settled.state.owed == {b"/s/a": 1, b"/s/b": 1}
    # They are not given up, however often that is so.
    for _ in range(5):
        settled = settle(settled.state, choice("", "ab"), told[:2], 6.0)
    assert settled.state.owed == {b"/s/a": 1, b"/s/b": 1}
    believed = settle(settled.state, choice("cd", "ab"), [*told, answer("d")], 7.0)
    assert believed.mismatches == (known("a", 7.0), known("b", 7.0))


def test_what_is_known_makes_no_doubt() -> None:
    state = SampleState(END, {}, (known("b"), known("c")))
    told = [answer("b", Said.DIFFERS), answer("c", Said.DIFFERS), answer("a")]
    assert len(settle(state, choice("a", "bc"), told, 9.0).mismatches) == 2


def test_what_the_inventory_does_not_say_any_more_is_left_out() -> None:
    told = [answer("a"), answer("b", Said.DIFFERS), answer("c"), answer("d", Said.DIFFERS)]
    settled = settle(SampleState(), choice("abcd"), told, 5.0)
    left = without_changed(settled, {b"/s/b": (RIGHT,), b"/s/d": (WRONG,)})
    assert left.mismatches == left.state.known == (known("b", 5.0),)
    assert without_changed(settled, {b"/s/b": (RIGHT,), b"/s/d": (RIGHT,)}) == settled


def test_words() -> None:
    counts = SampleCounts(1000, {"no answer": 1, "refused by the store": 2}, 7, "stopped after 60 minutes")
    assert counts.words == (
        "1,000 compared, 3 unchecked (1 no answer, 2 refused by the store), 7 left for the next run; "
        "stopped after 60 minutes"
    )
    assert SampleCounts().words == "0 compared"


@given(
    st.dictionaries(st.sampled_from("abcdefgh"), st.sampled_from(Said)),
    st.dictionaries(st.sampled_from("xyz"), st.sampled_from(Said)),
    st.integers(0, 3),
)
def test_nothing_is_lost_and_nothing_is_said_of_what_was_not_compared(
    ring: dict[str, Said], of_known: dict[str, Said], reached: int
) -> None:
    state = SampleState(Place(5), {}, tuple(known(name) for name in sorted(of_known)))
    files = list(ring)
    told = [answer(name, ring[name]) for name in files[:reached]]
    told += [answer(name, said) for name, said in of_known.items()]
    settled = settle(state, choice(files, of_known), told, 9.0)
    paths = {mismatch.path for mismatch in settled.mismatches}
    differing = {each.path for each in told if each.said == Said.DIFFERS}
    assert paths <= differing | {mismatch.path for mismatch in state.known}
    assert set(settled.state.known) == set(settled.mismatches)
    passed = {each.path for each in told if each.said.passes} - {mismatch.path for mismatch in state.known}
    assert passed <= set(settled.state.owed)
    expected = END if reached >= len(files) else place_of(f"/s/{files[reached - 1]}".encode()) if reached else Place(5)
    assert settled.state.place == expected
    assert settled.counts.compared + settled.counts.unchecked_files + settled.counts.left == len(files) + len(of_known)
