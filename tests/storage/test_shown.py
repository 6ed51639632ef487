from hypothesis import given
from hypothesis import strategies as st

from storage.shown import printable, quoted, shown


@given(st.text(st.characters(codec=None)))
def test_whatever_was_given_stays_on_one_line_and_can_be_written(text: str) -> None:
    for line in (printable(text), quoted(text), shown(text)):
        assert line.isprintable()
        line.encode("utf-8")


def test_names_in_any_script_stand_as_they_are() -> None:
    assert quoted("Daten für Köln, 数据") == '"Daten für Köln, 数据"'


def test_users_and_parameters_of_urls_are_left_out() -> None:
    assert quoted("root://ann:secret@door//store") == '"root://...@door//store"'
    assert quoted("root://door//store?authz=secret") == '"root://door//store?..."'
    assert quoted("root:/ann:secret@door//store") == '"...@door//store"'
    assert quoted("ann:secret@door") == '"...@door"'
    assert quoted("root://ann:sec/ret@door//store") == '"root://...@door//store"'
    assert quoted("root://door:1094//store/a@b") == '"root://door:1094//store/a@b"'
    assert quoted("why?") == '"why?"'
    assert quoted("door:1094?authz=secret") == '"door:1094?..."'
    assert quoted("root://door//store/a&b&authz=secret") == '"root://door//store/a&b&..."'


def test_long_text_is_cut() -> None:
    assert quoted("x" * 1000) == '"' + "x" * 200 + '..."'


def test_values_look_as_in_a_file() -> None:
    assert [shown(v) for v in (None, True, False, 3, 2.5, float("nan"))] == ["null", "true", "false", "3", "2.5", "nan"]
    assert [shown(v) for v in ({"a": 1}, [1], b"x")] == ["a mapping", "a list", "a bytes"]
    assert shown(1 << 100_000) == "a number of thousands of digits"
