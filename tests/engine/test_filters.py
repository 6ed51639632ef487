from engine.filters import PatternFilter, everything


def test_a_pattern_is_a_plain_piece_of_a_path() -> None:
    protects = PatternFilter([b"/tmp/", b".log"])
    assert protects(b"/store/tmp/a")
    assert protects(b"/store/a.log.gz")
    assert not protects(b"/store/tmpfile")
    assert not protects(b"/store/a_log")


def test_no_character_of_a_pattern_is_special() -> None:
    assert PatternFilter([b"a.*b"])(b"/x/a.*b")
    assert not PatternFilter([b"a.*b"])(b"/x/acb")
    assert PatternFilter([b"\xff\n"])(b"/x/\xff\n")


def test_without_patterns_nothing_is_protected() -> None:
    for patterns in ([], [b""]):
        assert not PatternFilter(patterns)
        assert not PatternFilter(patterns)(b"/anything")
    assert PatternFilter([b"", b"x"])
    assert not PatternFilter([b"", b"x"])(b"/y")


def test_everything_is_everything() -> None:
    assert everything(b"/")
    assert everything(b"/a\xff")


def test_the_patterns_that_apply_are_named() -> None:
    assert PatternFilter([b"/tmp/", b".log", b""]).which(b"/store/tmp/a.log") == (b"/tmp/", b".log")
    assert PatternFilter([b"/tmp/"]).which(b"/store/a") == ()


def test_a_directory_is_left_alone_by_whole_components() -> None:
    protects = PatternFilter([], [b"/store/q"])
    assert protects
    assert [protects(path) for path in (b"/store/q", b"/store/q/a", b"/store/qcd", b"/store/a/store/q/b", b"/q")] == [
        *(True, True),
        *(False, False, False),
    ]
    both = PatternFilter([b"/tmp/"], [b"/store/q"])
    assert [both(path) for path in (b"/store/tmp/a", b"/store/q/a", b"/store/a")] == [True, True, False]
    assert [both.is_inside(path) for path in (b"/store/tmp/a", b"/store/q/a")] == [False, True]
    assert both.which(b"/store/q/tmp/a") == (b"/tmp/",)
