"""What is made of answers, in pieces of any size; the answers of real servers are in `test_lister`."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.columns import UNKNOWN_MTIME, DirectoryColumns, FileColumns
from engine.listing import Failed, Listed
from engine.states import Reason
from storage.listers.webdav.answers import Answer, Found, doubtful
from storage.listers.webdav.hrefs import Reading
from tests.storage.listers.asking import reason_of

DATE = "Sun, 13 Sep 2020 12:26:40 GMT"
NOON = 1_600_000_000


def response(href: str, size: int | str | None = None, date: str | None = DATE, status: str = "200 OK") -> str:
    kind = "<d:resourcetype/>" if size is not None else "<d:resourcetype><d:collection/></d:resourcetype>"
    length = f"<d:getcontentlength>{size}</d:getcontentlength>" if size is not None else ""
    time = f"<d:getlastmodified>{date}</d:getlastmodified>" if date is not None else ""
    return (
        f"<d:response><d:href>{href}</d:href><d:propstat><d:prop>{kind}{length}{time}</d:prop>"
        f"<d:status>HTTP/1.1 {status}</d:status></d:propstat></d:response>"
    )


def document(*responses: str, before: str = "") -> bytes:
    inside = "".join(responses)
    return f'<?xml version="1.0"?>{before}<d:multistatus xmlns:d="DAV:">{inside}</d:multistatus>'.encode("latin-1")


def answered(data: bytes, path: bytes = b"/data", piece: int = 1 << 20, members: bool = True) -> Found | Failed:
    answer = Answer("http://door:80", path, members, with_sizes=True)
    for start in range(0, len(data), piece):
        failed = answer.add(data[start : start + piece])
        if failed is not None:
            return failed
    return answer.end()


def listed(*responses: str, path: bytes = b"/data", reading: Reading = Reading.ENCODED) -> Listed | Failed:
    found = answered(document(*responses), path)
    return found if isinstance(found, Failed) else found.members.listed(found.reading or reading)


@pytest.mark.parametrize("piece", [1, 7, 1 << 20])
def test_a_directory_is_read_in_pieces_of_any_size(piece: int) -> None:
    data = document(response("/data/b", 7), response("/data/"), response("/data/sub/"), response("/data/a", 2**40))
    found = answered(data, piece=piece)
    assert isinstance(found, Found)
    assert (found.is_collection, found.mtime) == (True, NOON)
    assert found.members.listed(Reading.ENCODED) == Listed(
        FileColumns.from_rows([(b"a", 2**40, NOON), (b"b", 7, NOON)]), DirectoryColumns.from_rows([(b"sub", NOON)])
    )


def test_the_directory_itself_is_known_by_its_path_and_not_by_its_place() -> None:
    assert listed(response("/data/x", 1), response("/data")) == Listed(FileColumns.from_rows([(b"x", 1, NOON)]))
    assert reason_of(listed(response("/data/x", 1))) == Reason.SERVER


@pytest.mark.parametrize(
    "href", ["/other/x", "/data/x/y", "http://elsewhere/data/x", "x", "/datax", "/", "", "/data/../x", "/data//"]
)
def test_what_is_outside_of_the_directory_is_refused(href: str) -> None:
    assert reason_of(listed(response("/data/"), response(href, 1))) == Reason.BAD_NAME


@pytest.mark.parametrize("name", ["%2F", "a%2Fb", "%00", ".", "..", "%2E%2E"])
def test_a_name_that_none_can_be_is_refused(name: str) -> None:
    assert reason_of(listed(response("/data/"), response(f"/data/{name}", 1))) == Reason.BAD_NAME


def test_urls_of_the_same_host_are_taken() -> None:
    outcome = listed(response("http://door/data/"), response("http://DOOR:80/data/x%20y", 1))
    assert outcome == Listed(FileColumns.from_rows([(b"x y", 1, NOON)]))


def test_how_names_are_written_shows_in_the_path_of_the_directory() -> None:
    raw = listed(response("/d%41"), response("/d%41/x%41", 1), path=b"/d%41")
    encoded = listed(response("/d%2541/"), response("/d%2541/x%41", 1), path=b"/d%41")
    assert raw == Listed(FileColumns.from_rows([(b"x%41", 1, NOON)]))
    assert encoded == Listed(FileColumns.from_rows([(b"xA", 1, NOON)]))


def test_where_it_does_not_show_nothing_is_guessed() -> None:
    found = answered(document(response("/data"), response("/data/x%41", 1)))
    assert isinstance(found, Found)
    assert (found.reading, found.members.ambiguous) == (None, "x%41")


def test_hrefs_that_are_written_in_two_ways_are_refused() -> None:
    two_ways = listed(response("/d%41"), response("/d%2541/x", 1), path=b"/d%41")
    assert reason_of(two_ways) == Reason.BAD_NAME


@pytest.mark.parametrize("status", ["403 Forbidden", "500 Oh", "507 No", "", "nonsense"])
def test_an_entry_that_could_not_be_looked_at_makes_the_directory_partial(status: str) -> None:
    assert reason_of(listed(response("/data/"), response("/data/x", 1, status=status))) == Reason.PARTIAL
    alone = f"<d:response><d:href>/data/x</d:href><d:status>HTTP/1.1 {status}</d:status></d:response>"
    assert reason_of(listed(response("/data/"), alone)) == Reason.PARTIAL


def test_an_entry_that_is_gone_makes_the_directory_partial() -> None:
    gone = "<d:response><d:href>/data/x</d:href><d:status>HTTP/1.1 404 Not Found</d:status></d:response>"
    assert reason_of(listed(response("/data/"), gone)) == Reason.PARTIAL


def test_a_property_that_a_directory_does_not_have_is_no_fault() -> None:
    lacking = (
        "<d:response><d:href>/data/sub/</d:href>"
        "<d:propstat><d:prop><d:getcontentlength/></d:prop><d:status>HTTP/1.1 404 Not Found</d:status></d:propstat>"
        "<d:propstat><d:prop><d:resourcetype><d:collection/></d:resourcetype></d:prop>"
        "<d:status>HTTP/1.0 200 Fine</d:status></d:propstat></d:response>"
    )
    outcome = listed(response("/data/"), lacking)
    assert outcome == Listed(directories=DirectoryColumns.from_rows([(b"sub", UNKNOWN_MTIME)]))


def test_a_status_may_stand_before_what_it_is_about() -> None:
    # As EOS has it.
    def eos(href: str, there: str, lacking: str) -> str:
        return (
            f"<d:response><d:href>{href}</d:href>"
            f"<d:propstat><d:status>HTTP/1.1 200 OK</d:status><d:prop>{there}</d:prop></d:propstat>"
            f"<d:propstat><d:status>HTTP/1.1 404 Not Found</d:status><d:prop>{lacking}</d:prop></d:propstat>"
            "</d:response>"
        )

    time = f"<d:getlastmodified>{DATE}</d:getlastmodified>"
    kind, length = "<d:resourcetype><d:collection/></d:resourcetype>", "<d:getcontentlength/>"
    directories = [eos(href, time + kind, length) for href in ("/data/", "/data/sub/")]
    file = eos("/data/x", f"{time}<d:resourcetype/><d:getcontentlength>7</d:getcontentlength>", "")
    outcome = listed(directories[0], file, directories[1])
    assert outcome == Listed(FileColumns.from_rows([(b"x", 7, NOON)]), DirectoryColumns.from_rows([(b"sub", NOON)]))
    unlooked = file.replace("200 OK", "403 Forbidden")
    assert reason_of(listed(directories[0], unlooked)) == Reason.PARTIAL


@pytest.mark.parametrize("status", ["", "<d:status>HTTP/1.1 200 OK</d:status>" * 2])
def test_properties_have_one_status(status: str) -> None:
    file = response("/data/x", 1).replace("<d:status>HTTP/1.1 200 OK</d:status>", status)
    assert reason_of(listed(response("/data/"), file)) == Reason.PARTIAL
    assert reason_of(listed(response("/data/"), file, response("/data/y", 1))) == Reason.PARTIAL


@pytest.mark.parametrize(("size", "date"), [(1, None), (1, "tomorrow"), ("-1", DATE), ("1_0", DATE), (2**63, DATE)])
def test_a_file_needs_a_size_and_a_time(size: int | str, date: str | None) -> None:
    assert reason_of(listed(response("/data/"), response("/data/x", size, date))).retryable


@pytest.mark.parametrize(
    ("date", "seconds"),
    [
        (DATE, NOON),
        ("Wed, 31 Dec 1969 00:00:00 GMT", -86400),
        ("Sun, 13 Sep 2020 14:26:40 +0200", NOON),
        ("Sunday, 13-Sep-20 12:26:40 GMT", NOON),
    ],
)
def test_times_are_read_in_all_forms_of_http(date: str, seconds: int) -> None:
    outcome = listed(response("/data/"), response("/data/x", 1, date))
    assert outcome == Listed(FileColumns.from_rows([(b"x", 1, seconds)]))


def test_only_the_type_says_what_is_a_directory() -> None:
    flag = response("/data/x", 1).replace("<d:prop>", "<d:prop><d:iscollection>1</d:iscollection>")
    assert listed(response("/data/"), flag) == Listed(FileColumns.from_rows([(b"x", 1, NOON)]))


def test_an_entry_that_comes_twice_counts_once_and_not_at_all_if_it_differs() -> None:
    once = listed(response("/data/"), response("/data/x", 1), response("/data/x", 1))
    assert once == Listed(FileColumns.from_rows([(b"x", 1, NOON)]))
    assert reason_of(listed(response("/data/"), response("/data/x", 1), response("/data/x", 2))) == Reason.PARTIAL
    assert reason_of(listed(response("/data/"), response("/data/x", 1), response("/data/x/"))) == Reason.PARTIAL


@given(st.integers(min_value=0, max_value=600))
def test_an_answer_that_is_cut_off_is_none(count: int) -> None:
    data = document(response("/data/"), response("/data/x", 1), response("/data/y", 1))
    found = answered(data[: len(data) * count // 601])
    assert reason_of(found) in (Reason.PARTIAL, Reason.SERVER)


@given(st.data())
def test_what_is_damaged_is_an_answer_or_none(data: st.DataObject) -> None:
    whole = bytearray(document(response("/data/"), response("/data/x", 1), response("/data/sub/")))
    for _ in range(data.draw(st.integers(1, 4))):
        at = data.draw(st.integers(0, len(whole) - 1))
        whole[at : at + data.draw(st.integers(0, 3))] = data.draw(st.binary(max_size=3))
    found = answered(bytes(whole), piece=data.draw(st.integers(1, 400)))
    assert isinstance(found, Found | Failed)
    if isinstance(found, Found):
        assert isinstance(found.members.listed(Reading.ENCODED), Listed | Failed)


@pytest.mark.parametrize(
    "before",
    [
        '<!DOCTYPE d:multistatus [<!ENTITY x "/data/x">]>',
        "<!DOCTYPE d:multistatus>",
        '<!DOCTYPE d:multistatus SYSTEM "file:///etc/passwd">',
    ],
)
def test_documents_with_types_or_entities_are_refused(before: str) -> None:
    for piece in (3, 1 << 20):
        found = answered(document(response("/data/"), before=before), piece=piece)
        assert reason_of(found) == Reason.SERVER
    assert reason_of(answered(document(response("&x;"), before=before))) in (Reason.SERVER, Reason.PARTIAL)


def test_a_name_is_not_cut_at_what_stands_in_it() -> None:
    outcome = listed(response("/data/"), response("/data/a<!-- c -->b<?p q?>c<![CDATA[d&]]>", 1))
    assert outcome == Listed(FileColumns.from_rows([(b"abcd&", 1, NOON)]))
    assert reason_of(listed(response("/data/"), response("/data/a<b/>c", 1))) == Reason.SERVER


@pytest.mark.parametrize("data", [b"", b"<html/>", b"no XML", b"<d/>", b"\xff\xfe<\0", document()])
def test_what_is_no_answer_is_said_to_be_none(data: bytes) -> None:
    assert reason_of(answered(data)) in (Reason.SERVER, Reason.PARTIAL)


def test_bytes_that_are_not_utf_8_come_through() -> None:
    outcome = listed(response("/data/"), response("/data/caf\xe9", 1))
    assert outcome == Listed(FileColumns.from_rows([(b"caf\xe9", 1, NOON)]))
    # A number means a character, and which byte that was nobody knows.
    assert reason_of(listed(response("/data/"), response("/data/caf&#233;", 1))) == Reason.BAD_NAME


def test_what_was_asked_about_one_path_has_no_entries() -> None:
    assert isinstance(answered(document(response("/data", 1)), members=False), Found)
    assert reason_of(answered(document(response("/data/"), response("/data/x", 1)), members=False)) == Reason.BAD_NAME
    assert reason_of(answered(document(response("/data", 1), response("/data/x", 1)))) == Reason.SERVER


def test_names_that_may_be_none_are_doubted() -> None:
    names = [b"n" * 254, b"14293522312134144 5 16 1795691710 1795691710 1795691710 0644 root root", b"1 2 3 4"]
    plain = [b"n" * 253, b"1 2 3", b"12345 1700000000", b"a 1 2 3 4"]
    rows = [(name, 1, NOON) for name in names + plain]
    assert sorted(doubtful(Listed(FileColumns.from_rows(rows)))) == sorted(names)


def test_a_hundred_thousand_entries_are_read_as_they_come() -> None:
    rows = [(b"file-%06d.root" % number, number, NOON) for number in range(100_000)]
    responses = [response(f"/data/{name.decode()}", size) for name, size, _ in rows]
    found = answered(document(response("/data/"), *responses), piece=65536)
    assert isinstance(found, Found)
    assert found.members.listed(Reading.ENCODED) == Listed(FileColumns.from_rows(rows))
