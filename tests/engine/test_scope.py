"""Where a run looks for findings."""

from engine.columns import UNKNOWN_MTIME
from engine.scope import Scope


def test_what_lies_below_no_top_is_passed_over_as_far_as_these_are_known() -> None:
    scope = Scope((b"/s/mc", b"/s/data"))
    assert [scope.passes_over(path) for path in (b"/s/mc", b"/s/mc/a", b"/s/mcx", b"/s")] == [False, False, True, True]
    assert not Scope().passes_over(b"/anywhere")


def test_what_is_left_alone_is_passed_over() -> None:
    scope = Scope((b"/s",), (b"/tmp/", b".log"), (b"/s/q",))
    passed = [b"/s/tmp/a", b"/s/a.log", b"/s/q", b"/s/q/a"]
    seen = [b"/s/tmp", b"/s/a", b"/s/qcd"]
    assert [path for path in passed + seen if scope.passes_over(path)] == passed
    assert not scope.passes_over(b"/s/a", orphan=True)
    keeps = Scope((b"/s",), keeps_orphans=True)
    assert (keeps.passes_over(b"/s/a", orphan=True), keeps.passes_over(b"/s/a")) == (True, False)


def test_what_changed_after_the_age_limit_is_too_young() -> None:
    scope = Scope(young_after=10.5)
    assert [scope.is_too_young(mtime) for mtime in (10, 11, UNKNOWN_MTIME)] == [False, True, False]
    assert not Scope().is_too_young(2**40)


def test_the_keys_that_differ_are_named_and_an_age_limit_is_another_one_each_time() -> None:
    one = Scope((b"/s/a", b"/s/b"), (b"x", b"y"), (b"/s/q",), young_after=1.0)
    assert one.differs_in(Scope((b"/s/b", b"/s/a"), (b"y", b"x"), (b"/s/q",), young_after=2.0)) == ()
    other = Scope((b"/s/a",), (b"x",), (), keeps_orphans=True)
    assert one.differs_in(other) == ("DirectoryList", "IgnoreDirectories", "Quarantine", "DeleteOrphans")
