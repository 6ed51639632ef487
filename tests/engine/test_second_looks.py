from __future__ import annotations

from engine.second_looks import SecondLooks


def test_a_parent_is_asked_once_for_all_that_were_seen_long_enough_ago() -> None:
    looks = SecondLooks(100.0)
    looks.hold(b"/a", 1, 0.0)
    looks.hold(b"/a", 2, 10.0)
    looks.hold(b"/a", 3, 60.0)
    looks.hold(b"/b", 4, 50.0)
    assert looks.due(99.0) == []
    assert looks.due(110.0) == [b"/a"]
    assert looks.is_asked(b"/a")
    assert not looks.is_asked(b"/b")
    assert looks.held == [b"/a", b"/b"]
    # It is asked about one thing at a time.
    assert looks.due(170.0) == [b"/b"]
    assert looks.answered(b"/a") == [1, 2]
    assert looks.due(170.0) == [b"/a"]
    assert looks.answered(b"/a") == [3]
    assert looks.answered(b"/b") == [4]
    assert looks.held == []
    assert looks.due(1000.0) == []


def test_what_is_seen_while_its_parent_is_asked_waits_for_a_question_of_its_own() -> None:
    looks = SecondLooks(100.0)
    looks.hold(b"/a", 1, 0.0)
    assert looks.due(100.0) == [b"/a"]
    looks.hold(b"/a", 2, 101.0)
    assert looks.answered(b"/a") == [1]
    assert looks.due(200.0) == []
    assert looks.due(201.0) == [b"/a"]


def test_what_is_seen_again_is_as_old_as_it_was() -> None:
    looks = SecondLooks(100.0)
    looks.hold(b"/a", 1, 0.0)
    looks.hold(b"/a", 1, 50.0)
    assert looks.due(100.0) == [b"/a"]


def test_what_is_dropped_is_not_asked() -> None:
    looks = SecondLooks(100.0)
    looks.hold(b"/a", 1, 0.0)
    assert looks.due(100.0) == [b"/a"]
    looks.hold(b"/a", 2, 100.0)
    looks.hold(b"/b", 3, 100.0)
    looks.drop()
    assert looks.due(1000.0) == []
    assert looks.answered(b"/a") == [1]
    assert looks.answered(b"/b") == []
