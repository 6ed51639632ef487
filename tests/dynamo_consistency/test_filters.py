"""Each test is named after the entry of the reference that it shows."""

from __future__ import annotations

import pytest

from dynamo_consistency import datatypes
from dynamo_consistency.filters import Filters, FullFilter, PatternFilter

OLD = 1_700_000_000


class TestFilters:
    def test_protected_by_one_of_its_functions(self) -> None:
        filters = Filters(lambda name: name.startswith("/a"), lambda name: name.endswith("z"))
        assert [filters.protected(name) for name in ("/a/b", "/b/z", "/b/b")] == [True, True, False]
        assert [filters(name) for name in ("/a/b", "/b/z", "/b/b")] == [True, True, False]

    def test_without_functions_it_protects_nothing(self) -> None:
        assert not Filters().protected("/a")

    def test_add(self) -> None:
        filters = Filters()
        filters.add(PatternFilter(["keep"]).protected)
        filters.add(PatternFilter(["hold"]))
        assert [filters.protected(name) for name in ("/keep", "/hold", "/go")] == [True, True, False]

    def test_exceptions_are_not_handled(self) -> None:
        with pytest.raises(ZeroDivisionError):
            Filters(lambda name: bool(1 / 0)).protected("/a")

    def test_it_is_a_check_for_a_comparison(self) -> None:
        inventory, listing = datatypes.DirectoryInfo("/store"), datatypes.DirectoryInfo("/store")
        listing.add_file_list([("/store/keep/a", 1, OLD), ("/store/go/a", 1, OLD)])
        inventory.add_files([])
        checks = Filters(PatternFilter(["/keep/"]))
        assert datatypes.compare(inventory, listing, orphan_check=checks) == ([], ["/store/go/a"])


class TestFullFilter:
    def test_protected_whatever_the_name(self) -> None:
        assert FullFilter().protected("anything")
        assert FullFilter()("")


class TestPatternFilter:
    def test_protected_by_a_plain_string(self) -> None:
        protected = PatternFilter(["/mc/", "a.b"]).protected
        assert [protected(name) for name in ("/store/mc/f", "/store/mcx/f", "a.b", "axb")] == [True, False, True, False]

    def test_it_can_be_called(self) -> None:
        assert PatternFilter(["x"])("x")

    def test_without_patterns_it_protects_nothing(self) -> None:
        assert not PatternFilter([]).protected("/a")
        assert not PatternFilter([""]).protected("/a")

    def test_names_may_hold_any_bytes(self) -> None:
        assert PatternFilter(["\udcff"]).protected("/store/\udcff/f")
