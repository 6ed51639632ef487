"""How missing candidates are asked for, and what the answers make of them."""

from __future__ import annotations

from collections.abc import Callable, Set

import pytest
from hypothesis import event, given
from hypothesis import strategies as st

from engine.columns import FileColumns
from engine.confirm import (
    Confirmation,
    ConfirmLimits,
    Doubt,
    Question,
    Verdict,
    contradiction,
    emptiness_questions,
    judge,
    looked_up,
    not_empty,
    pack_verdicts,
    refutation,
    unpack_verdicts,
)
from engine.findings import Finding, Kind
from engine.listing import Absent, Failed, Listed, NamesListed, Outcome, Present
from engine.states import Reason
from engine.work import NO_OTHERS

D = b"/store/d"
LIMITS = ConfirmLimits(longest_listed=8, names_from=4, most_asked=5)
THERE = Present(1, 0, False)

Store = Callable[[Question], Outcome]


def settle(names: list[bytes], store: Store, limits: ConfirmLimits = LIMITS) -> tuple[Verdict, list[Question]]:
    """Ask a store until nothing is open; gives the verdict and the questions in their order."""
    confirmation = Confirmation(names, limits)
    asked = confirmation.begin()
    for question in asked:
        assert not confirmation.settled
        asked += confirmation.take(question, store(question))
    assert confirmation.settled
    return confirmation.verdict(D, 1), asked


def store_of(entries: Set[bytes], dangling: Set[bytes] = frozenset()) -> Store:
    """Make a store whose ``dangling`` entries have a name and nothing else."""

    def answer(question: Question) -> Outcome:
        if question is None:
            return NamesListed(frozenset(entries | dangling))
        return THERE if question in entries else Absent()

    return answer


def test_a_few_names_are_asked_for_one_by_one() -> None:
    verdict, asked = settle([b"a", b"b", b"c"], store_of({b"b"}))
    assert asked == [b"a", b"b", b"c"]
    assert verdict == Verdict(D, 1, absent=(b"a", b"c"), present=(b"b",))


def test_many_names_are_looked_up_in_one_listing() -> None:
    verdict, asked = settle([b"a", b"b", b"c", b"d"], store_of({b"x", b"y"}))
    assert asked == [None]
    assert verdict == Verdict(D, 1, absent=(b"a", b"b", b"c", b"d"), others=2)


def test_where_listings_prove_nothing_each_name_is_asked_for() -> None:
    names = [b"a", b"b", b"c", b"d?", b"e"]
    limits = ConfirmLimits(longest_listed=8, names_from=4, complete=False)
    verdict, asked = settle(names, store_of({b"b"}), limits)
    assert asked == [*names]
    assert verdict == Verdict(D, 1, absent=(b"a", b"c", b"d?", b"e"), present=(b"b",))


def test_what_a_listing_has_is_asked_for_before_it_counts() -> None:
    answers: dict[Question, Outcome] = {
        None: NamesListed(frozenset((b"a", b"b", b"c"))),
        b"a": THERE,
        b"b": Absent(),
        b"c": Failed(Reason.TIMEOUT, "30 s"),
    }
    verdict, asked = settle([b"a", b"b", b"c", b"d"], answers.__getitem__)
    assert asked == [None, b"a", b"b", b"c"]
    assert verdict == Verdict(D, 1, (b"d", b"b"), (b"a",), (b"c",), Reason.TIMEOUT, "30 s")


def test_names_that_a_listing_cannot_carry_are_asked_for_by_themselves() -> None:
    names = [b"short", b"seven77", b"eight888", b"two\nlines", b"what?", b"eight88?"]
    assert looked_up(names, LIMITS) == [b"short", b"seven77", b"what?"]
    assert looked_up(names[2:], LIMITS) == [b"what?"]
    assert looked_up(names[:3], LIMITS) == []


def test_of_a_listing_that_has_too_many_names_the_rest_stays_unknown() -> None:
    names = [b"%d" % number for number in range(7)]
    verdict, asked = settle(names, store_of(set(names)))
    assert asked == [None, *names[:5]]
    assert verdict == Verdict(
        D,
        1,
        present=tuple(names[:5]),
        unknown=tuple(names[5:]),
        reason=Reason.CUT_SHORT,
        detail="the store has 7 names that its listing lacked",
    )


@pytest.mark.parametrize("reason", [Reason.NOT_FOUND, Reason.NOT_A_DIRECTORY])
@pytest.mark.parametrize("names", [[b"a"], [b"a", b"b", b"c", b"d"]])
def test_a_directory_that_is_not_there_has_none_of_the_names(reason: Reason, names: list[bytes]) -> None:
    verdict, _ = settle(names, lambda _question: Failed(reason))
    assert verdict == Verdict(D, 1, absent=tuple(names))


@pytest.mark.parametrize(
    ("names", "answer"),
    [([b"a"], Listed()), ([b"a"], NamesListed(frozenset())), ([b"a", b"b", b"c", b"d"], Absent())],
)
def test_an_answer_to_another_question_settles_nothing(names: list[bytes], answer: Outcome) -> None:
    verdict, _ = settle(names, lambda _question: answer)
    assert (verdict.absent, verdict.unknown, verdict.reason) == ((), tuple(names), Reason.SERVER)


def test_of_two_reasons_the_one_that_another_try_may_settle_stands() -> None:
    failures: dict[Question, Outcome] = {b"a": Failed(Reason.BAD_NAME), b"b": Failed(Reason.TIMEOUT, "30 s")}
    for names in ([b"a", b"b"], [b"b", b"a"]):
        verdict, _ = settle(names, failures.__getitem__)
        assert (verdict.unknown, verdict.reason, verdict.detail) == (tuple(names), Reason.TIMEOUT, "30 s")


def test_to_count_the_others_takes_one_listing() -> None:
    verdict, asked = settle([b"a", NO_OTHERS], store_of({b"a", b"x", b"y"}))
    assert asked == [None]
    assert (verdict.present, verdict.others, verdict.unknown) == ((b"a",), 2, ())


names = st.binary(min_size=1, max_size=9).filter(lambda name: b"/" not in name and b"\0" not in name)
name_sets = st.sets(st.sampled_from([b"a", b"b", b"c", b"d", b"e", b"f?", b"g\nh", b"long-long"]) | names, max_size=12)


@given(name_sets.filter(bool), name_sets, name_sets, st.integers(1, 12))
def test_the_verdict_on_a_file_does_not_depend_on_how_many_are_asked_for(
    candidates: set[bytes], entries: set[bytes], dangling: set[bytes], names_from: int
) -> None:
    limits = ConfirmLimits(longest_listed=8, names_from=names_from, most_asked=100)
    verdict, asked = settle(sorted(candidates), store_of(entries, dangling), limits)
    event(f"by listing: {None in asked}")
    assert set(verdict.present) == candidates & entries
    assert set(verdict.absent) == candidates - entries
    assert verdict.unknown == ()


outcomes: st.SearchStrategy[Outcome] = st.sampled_from(
    [THERE, Absent(), Failed(Reason.TIMEOUT), Failed(Reason.BAD_NAME), Failed(Reason.NOT_FOUND), Listed()]
)


@given(st.data(), name_sets.filter(bool), name_sets)
def test_whatever_comes_every_name_ends_in_one_place_and_only_a_denial_makes_it_absent(
    data: st.DataObject, candidates: set[bytes], listed: set[bytes]
) -> None:
    told: dict[Question, Outcome] = {}

    def store(question: Question) -> Outcome:
        assert question not in told
        names_listed: st.SearchStrategy[Outcome] = st.just(NamesListed(frozenset(listed)))
        told[question] = data.draw(outcomes if question is not None else outcomes | names_listed)
        return told[question]

    verdict, _ = settle(sorted(candidates), store)
    assert sorted([*verdict.absent, *verdict.present, *verdict.unknown]) == sorted(candidates)
    assert bool(verdict.unknown) == bool(verdict.reason)
    denials = (Absent(), Failed(Reason.NOT_FOUND))
    for name in verdict.present:
        assert told[name] == THERE
    for name in verdict.absent:
        denied = told.get(name, told.get(None))
        assert denied in denials or (isinstance(denied, NamesListed) and name not in listed)


def missing(*names: bytes) -> Finding:
    return Finding(Kind.MISSING, D, FileColumns.from_rows((name, 10, 20) for name in names))


def test_what_was_denied_is_missing_and_everything_else_protected() -> None:
    candidate = missing(b"a", b"b", b"c", b"d", b"forgotten")
    verdict = Verdict(D, 1, (b"a", b"d"), (b"b",), (b"c",), Reason.TIMEOUT, "30 s")
    judgement = judge(candidate, verdict)
    assert judgement.missing == missing(b"a", b"d")
    assert judgement.protected == ((1, Reason.CUT_SHORT), (2, Reason.TIMEOUT))


def test_a_candidate_that_was_denied_as_a_whole_stays_as_it_is() -> None:
    candidate = missing(b"a", b"b")
    judgement = judge(candidate, Verdict(D, 1, (b"b", b"a")))
    assert judgement.missing is candidate
    assert judgement.protected == ()


def test_nothing_is_judged_without_a_word_about_it() -> None:
    judgement = judge(missing(b"a"), Verdict(D, 1))
    assert (len(judgement.missing), judgement.protected) == (0, ((1, Reason.NEVER_REACHED),))


@given(name_sets.filter(bool), name_sets, name_sets, name_sets)
def test_every_file_of_a_candidate_is_missing_or_protected(
    candidates: set[bytes], absent: set[bytes], present: set[bytes], unknown: set[bytes]
) -> None:
    verdict = Verdict(D, 1, tuple(absent), tuple(present), tuple(unknown), Reason.TIMEOUT)
    judgement = judge(missing(*candidates), verdict)
    assert judgement.missing == missing(*(candidates & absent - present - unknown))
    assert len(judgement.missing) + sum(count for count, _ in judgement.protected) == len(candidates)


def test_a_listing_is_contradicted_by_a_candidate_that_the_store_has() -> None:
    verdict = Verdict(D, 1, present=(b"new\nline", b"b"))
    assert contradiction(verdict, set()) == Doubt(
        D, Reason.CUT_SHORT, "the store has new\\nline, which its listing lacked"
    )
    assert contradiction(verdict, {D}) is None
    assert contradiction(Verdict(D, 1, absent=(b"a",), unknown=(b"b",)), set()) is None


def test_only_directories_that_seem_to_hold_nothing_but_empty_ones_are_asked_about() -> None:
    (question,) = emptiness_questions([b"/s/a/x", b"/s/a/y", b"/s/a", b"/s/b"])
    assert (question.directory, question.files.name_list()) == (b"/s/a", [NO_OTHERS, b"x", b"y"])


def test_emptiness_is_refuted_by_other_entries_and_by_silence() -> None:
    assert refutation(Verdict(D, 1, present=(b"x",))) is None
    assert refutation(Verdict(D, 1, present=(b"x",), others=2)) == Doubt(
        D, Reason.CUT_SHORT, "the store has 2 entries that its listing lacked"
    )
    unsure = Verdict(D, 1, unknown=(b"x",), reason=Reason.TIMEOUT, detail="30 s")
    assert refutation(unsure) == Doubt(D, Reason.TIMEOUT, "30 s", disagrees=False)


def test_what_is_doubted_and_all_above_it_is_not_empty() -> None:
    doubts = [Doubt(path, Reason.CUT_SHORT, "") for path in (b"/s/a/b", b"/s/c")]
    assert not_empty(doubts) == {b"/s/a/b", b"/s/a", b"/s", b"/s/c", b"/"}


def test_verdicts_are_read_back_as_they_were_packed() -> None:
    verdicts = [Verdict(b"/store/new\nline/\xff\xfe b", 4, (b"a",), (b"b", b"c"), (b"\xff",), Reason.SERVER, "words")]
    assert unpack_verdicts(pack_verdicts(verdicts)) == verdicts
