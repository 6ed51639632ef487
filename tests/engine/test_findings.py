from array import array

from hypothesis import given
from hypothesis import strategies as st

from engine.columns import FileColumns
from engine.findings import Finding, Kind, pack_findings, unpack_findings

FILES = FileColumns.from_rows([(b"a", 3, 30), (b"\xff\n", 4, 20)])

findings = st.builds(
    Finding,
    st.sampled_from(Kind),
    st.binary(max_size=5),
    st.builds(FileColumns, *[st.binary(max_size=5)] * 4),
    st.binary(max_size=5),
    st.integers(-(2**63), 2**63 - 1),
    st.lists(st.tuples(st.text(max_size=3), st.text(max_size=3)), max_size=2).map(tuple),
)


def test_the_values_are_those_of_the_messages() -> None:
    values = {"MISSING": 1, "ORPHAN": 2, "SIZE_MISMATCH": 3, "EMPTY": 4, "CHECKSUM_MISMATCH": 5}
    assert {kind.name: kind.value for kind in Kind} == values


def test_a_finding_counts_its_files_and_an_empty_directory_itself() -> None:
    assert len(Finding(Kind.MISSING, b"/d", FILES)) == 2
    assert len(Finding(Kind.SIZE_MISMATCH, b"/d", FILES, array("q", [1, 2]).tobytes())) == 2
    assert len(Finding(Kind.EMPTY, b"/d", mtime=5)) == 1


@given(st.lists(findings, max_size=4))
def test_a_batch_comes_back(batch: list[Finding]) -> None:
    assert unpack_findings(pack_findings(batch)) == batch
