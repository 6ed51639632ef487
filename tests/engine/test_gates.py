import pytest

from engine.gates import Refusal, listing_gate, root_refusal
from engine.record import DirectorySummary
from engine.states import Reason, State
from engine.table import DirectoryTable

TOPS = (b"/store/data", b"/store/mc")


def store(*summaries: DirectorySummary) -> DirectoryTable:
    return DirectoryTable.from_summaries(summaries)


def test_one_top_that_was_listed_lets_a_run_pass() -> None:
    remote = store(
        DirectorySummary(b"/store/data", State.FAILED, Reason.TIMEOUT),
        DirectorySummary(b"/store/mc", State.LISTED, files=1),
    )
    assert listing_gate(remote, TOPS, expected_files=1000) is None


def test_a_listing_without_any_top_is_refused_with_the_reasons() -> None:
    remote = store(DirectorySummary(b"/store/data", State.FAILED, Reason.CONNECTION, "refused\nby  the door"))
    assert listing_gate(remote, TOPS, expected_files=1000) == Refusal(
        "root",
        "no top directory could be listed (/store/data: refused by the door; /store/mc: never reached)",
    )


@pytest.mark.parametrize("state", [State.FAILED, State.IGNORED, State.UNFILLED])
def test_only_a_complete_listing_of_a_top_counts(state: State) -> None:
    remote = store(DirectorySummary(b"/store/mc", state), DirectorySummary(b"/store/mc/a", State.LISTED, files=5))
    refusal = listing_gate(remote, (b"/store/mc",), expected_files=5)
    assert refusal is not None
    assert refusal.gate == "root"


def test_an_empty_store_is_refused_where_the_inventory_has_files() -> None:
    remote = store(DirectorySummary(b"/store/data", State.LISTED), DirectorySummary(b"/store/mc", State.LISTED))
    assert listing_gate(remote, TOPS, expected_files=1000) == Refusal(
        "zero-files", "the store lists 0 files where the inventory has 1000"
    )
    assert listing_gate(remote, TOPS, expected_files=0) is None


def test_a_refusal_is_one_line_and_names_a_few_tops() -> None:
    failures = [(b"/top%d\n" % number, Reason.PERMISSION, "") for number in range(50)]
    message = root_refusal(failures).message
    assert message.isprintable()
    assert [name in message for name in ("/top0\\n", "/top1\\n", "/top2\\n", "/top3")] == [True, True, True, False]
