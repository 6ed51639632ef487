import pytest

from engine.gates import (
    Refusal,
    absent_tops,
    failed_tops,
    hidden_files,
    listing_gate,
    root_refusal,
)
from engine.paths import tree_key
from engine.record import DirectorySummary
from engine.states import Reason, State
from engine.table import DirectoryTable

TOPS = (b"/store/data", b"/store/mc")


def store(*summaries: DirectorySummary) -> DirectoryTable:
    return DirectoryTable.from_summaries(sorted(summaries, key=lambda summary: tree_key(summary.path)))


def listed(**files: int) -> DirectoryTable:
    """Make a table of listed directories, of which ``a_b`` stands for ``/a/b``."""
    return store(
        *(DirectorySummary(b"/" + name.replace("_", "/").encode(), State.LISTED, files=n) for name, n in files.items())
    )


EXPECTED = listed(store_data=600, store_mc=0, store_mc_run1=400)


def test_one_top_that_was_listed_lets_a_run_pass() -> None:
    remote = store(
        DirectorySummary(b"/store/data", State.FAILED, Reason.TIMEOUT),
        DirectorySummary(b"/store/mc", State.LISTED, files=1),
    )
    assert listing_gate(remote, EXPECTED, TOPS) is None


def test_a_listing_without_any_top_is_refused_with_the_reasons() -> None:
    remote = store(DirectorySummary(b"/store/data", State.FAILED, Reason.CONNECTION, "refused\nby  the door"))
    assert listing_gate(remote, EXPECTED, TOPS) == Refusal(
        "root",
        "no top directory could be listed (/store/data: refused by the door; /store/mc: never reached)",
    )


@pytest.mark.parametrize("state", [State.FAILED, State.IGNORED, State.UNFILLED])
def test_only_a_complete_listing_of_a_top_counts(state: State) -> None:
    remote = store(DirectorySummary(b"/store/mc", state), DirectorySummary(b"/store/mc/a", State.LISTED, files=5))
    refusal = listing_gate(remote, EXPECTED, (b"/store/mc",))
    assert refusal is not None
    assert refusal.gate == "root"


def test_an_empty_store_is_refused_where_the_inventory_has_files() -> None:
    remote = store(DirectorySummary(b"/store/data", State.LISTED), DirectorySummary(b"/store/mc", State.LISTED))
    assert listing_gate(remote, EXPECTED, TOPS) == Refusal(
        "zero-files", "the store lists 0 files where the inventory has 1000"
    )
    assert listing_gate(remote, store(), TOPS) is None


def test_an_empty_store_is_refused_with_what_may_hide_its_files() -> None:
    remote = store(
        DirectorySummary(b"/store/data", State.LISTED),
        DirectorySummary(b"/store/data/a", State.FAILED, Reason.DEPTH),
        DirectorySummary(b"/store/data/b", State.FAILED, Reason.DEPTH),
        DirectorySummary(b"/store/data/c\n", State.FAILED, Reason.PERMISSION),
        DirectorySummary(b"/store/mc", State.IGNORED),
    )
    assert listing_gate(remote, EXPECTED, TOPS) == Refusal(
        "zero-files",
        "the store lists 0 files where the inventory has 1000; directories that were not listed: "
        f"2 too deep, see MaxDepth (/store/data/a), 1 {Reason.PERMISSION.label} (/store/data/c\\n), "
        "1 ignored (/store/mc)",
    )


def test_one_empty_top_among_others_is_refused_where_the_inventory_has_files_below_it() -> None:
    remote = listed(store_data=600, store_data_a=1, store_mc=0, store_mc_run1=0)
    assert listing_gate(remote, EXPECTED, TOPS) == Refusal(
        "zero-files", "the store lists 0 files below /store/mc where the inventory has 400"
    )


@pytest.mark.parametrize(
    ("remote", "inventory"),
    [
        pytest.param(listed(store_data=1, store_mc=0), listed(store_data=600, store_mc=0), id="nothing expected"),
        pytest.param(listed(store_data=1), EXPECTED, id="never reached"),
        pytest.param(listed(store_data=1, store_mc=0, store_mc_run2=1), EXPECTED, id="a file elsewhere below it"),
        pytest.param(listed(store_data=1, store_mc=0), listed(store_data=1, store_mcs=5), id="a neighbour's files"),
    ],
)
def test_a_top_is_not_refused_without_cause(remote: DirectoryTable, inventory: DirectoryTable) -> None:
    assert listing_gate(remote, inventory, TOPS) is None


@pytest.mark.parametrize("state", [State.FAILED, State.IGNORED, State.UNFILLED])
def test_files_that_nobody_looked_for_do_not_close_the_gate(state: State) -> None:
    # What lies below such a directory is not judged, so an empty top says nothing about it.
    remote = store(
        DirectorySummary(b"/store/data", State.LISTED, files=1),
        DirectorySummary(b"/store/mc", State.LISTED),
        DirectorySummary(b"/store/mc/run1", state),
    )
    assert listing_gate(remote, EXPECTED, TOPS) is None
    inventory = listed(store_mc_run1_a=3, store_mc_run1=5, store_mc_run2=2)
    assert listing_gate(remote, inventory, TOPS) == Refusal(
        "zero-files", "the store lists 0 files below /store/mc where the inventory has 2"
    )


def test_a_top_below_another_one_is_looked_at_by_itself() -> None:
    remote = listed(store=1, store_data=0, store_mc=1)
    refusal = listing_gate(remote, EXPECTED, (b"/store", b"/store/data", b"/store/data"))
    assert refusal == Refusal("zero-files", "the store lists 0 files below /store/data where the inventory has 600")
    assert listing_gate(remote, EXPECTED, (b"/store",)) is None


def test_a_top_below_one_that_was_not_listed_is_not_judged() -> None:
    remote = store(
        DirectorySummary(b"/other", State.LISTED, files=1),
        DirectorySummary(b"/store", State.FAILED, Reason.TIMEOUT),
        DirectorySummary(b"/store/data", State.LISTED),
    )
    assert listing_gate(remote, EXPECTED, (b"/other", b"/store", b"/store/data")) is None


def test_the_root_may_be_a_top() -> None:
    root = store(DirectorySummary(b"/", State.LISTED), DirectorySummary(b"/store/data", State.LISTED))
    inventory = store(DirectorySummary(b"/store/data", State.LISTED, files=2))
    assert listing_gate(root, inventory, (b"/",)) == Refusal(
        "zero-files", "the store lists 0 files where the inventory has 2"
    )


def test_a_refusal_of_many_tops_is_one_line_and_names_a_few() -> None:
    tops = [b"/top%d\n" % number for number in range(9)]
    remote = store(
        DirectorySummary(b"/good", State.LISTED, files=1), *(DirectorySummary(top, State.LISTED) for top in tops)
    )
    inventory = store(*(DirectorySummary(top, State.LISTED, files=1) for top in tops))
    refusal = listing_gate(remote, inventory, [b"/good", *tops])
    assert refusal is not None
    assert refusal.message.isprintable()
    assert "/top2\\n" in refusal.message
    assert "/top3" not in refusal.message
    assert refusal.message.endswith("; 6 more")


def test_a_refusal_is_one_line_and_names_a_few_tops() -> None:
    failures = [(b"/top%d\n" % number, Reason.PERMISSION, "") for number in range(50)]
    message = root_refusal(failures).message
    assert message.isprintable()
    assert [name in message for name in ("/top0\\n", "/top1\\n", "/top2\\n", "/top3")] == [True, True, True, False]


def test_a_top_that_is_not_there_and_where_nothing_should_be_is_absent() -> None:
    summaries = [
        DirectorySummary(b"/store/data", State.FAILED, Reason.NOT_FOUND),
        DirectorySummary(b"/store/express", State.FAILED, Reason.TIMEOUT),
        DirectorySummary(b"/store/himc", State.FAILED, Reason.NOT_FOUND),
        DirectorySummary(b"/store/mc", State.LISTED, files=1),
    ]
    remote = DirectoryTable.from_summaries(summaries)
    inventory = DirectoryTable.from_summaries(
        [
            DirectorySummary(b"/store/himc/a", State.LISTED, files=1),
            DirectorySummary(b"/store/mc", State.LISTED, files=1),
        ]
    )
    tops = [summary.path for summary in summaries] + [b"/store/unheard"]
    assert absent_tops(remote, inventory, tops) == {b"/store/data"}


def test_tops_that_were_not_listed_failed_but_for_those_that_need_not_be_there() -> None:
    remote = store(
        DirectorySummary(b"/store/a", State.LISTED),
        DirectorySummary(b"/store/b", State.FAILED, Reason.TIMEOUT),
        DirectorySummary(b"/store/c", State.FAILED, Reason.NOT_FOUND),
        DirectorySummary(b"/store/d", State.IGNORED),
    )
    tops = (b"/store/a", b"/store/b", b"/store/b", b"/store/c", b"/store/d", b"/store/never")
    assert failed_tops(remote, tops, frozenset({b"/store/c"})) == (b"/store/b", b"/store/never")


def test_what_may_be_in_directories_that_failed_is_counted_once_and_what_is_ignored_is_not() -> None:
    inventory = listed(store_a=1, store_b=10, store_b_in=100, store_b_in_deep=1000, store_bb=10_000, store_c_in=100_000)
    remote = store(
        DirectorySummary(b"/store/a", State.LISTED),
        DirectorySummary(b"/store/b", State.LISTED),
        DirectorySummary(b"/store/b/in", State.FAILED, Reason.TIMEOUT),
        DirectorySummary(b"/store/b/in/deep", State.UNFILLED),
        DirectorySummary(b"/store/bb", State.LISTED),
        DirectorySummary(b"/store/c", State.IGNORED),
    )
    assert hidden_files(remote, inventory) == 1100
