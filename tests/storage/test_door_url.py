import re
from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine import paths
from storage.door_url import DoorURL, check_authority, is_url, parse_door, with_prefix
from storage.listers.doors import Door

_NAMES = st.text(st.characters(codec="utf-8", exclude_characters="/\0"), min_size=1).filter(lambda n: n not in ".")
_PATHS = st.lists(_NAMES.filter(lambda name: name != ".."), min_size=1).map(lambda names: "/" + "/".join(names))
_AUTHORITIES = st.sampled_from(["door", "door.example:1094", "127.0.0.1:1", "[::1]:1094", "[2001:db8::7]"])


@pytest.mark.parametrize(
    ("text", "scheme", "authority", "path"),
    [
        ("root://door", "root", "door", b""),
        ("root://door/", "root", "door", b""),
        ("root://door//", "root", "door", b"/"),
        ("ROOTS://door.example:65535//store", "roots", "door.example:65535", b"/store"),
        ("root://door///store//mc/", "root", "door", b"/store/mc"),
        ("root://[::1]:1094//store", "root", "[::1]:1094", b"/store"),
        ("root://door//a%20b", "root", "door", b"/a%20b"),
        ("root://door//a#b@c:d", "root", "door", b"/a#b@c:d"),
        ("davs://door:443/webdav//x/", "davs", "door:443", b"/webdav/x"),
        ("https://door//x%20y", "https", "door", b"/x%20y"),
        ("http://door:8080/", "http", "door:8080", b""),
        ("DAV://[::1]/x", "dav", "[::1]", b"/x"),
        ("s3://door/bucket/a//b", "s3", "door", b"/bucket/a/b"),
        ("s3+http://door:9000/bucket", "s3+http", "door:9000", b"/bucket"),
        ("gsiftp://door", "gsiftp", "door", b""),
        ("srm://door:8443/srm/managerv2?SFN=/pnfs/x", "srm", "door:8443", b"/srm/managerv2?SFN=/pnfs/x"),
        ("file://", "file", "", b""),
        ("file:///", "file", "", b"/"),
        ("file:///a%20b/%ff", "file", "", b"/a b/\xff"),
        ("file:///what?#", "file", "", b"/what?#"),
    ],
)
def test_urls_are_taken_apart(text: str, scheme: str, authority: str, path: bytes) -> None:
    assert parse_door(text) == DoorURL(scheme, authority, path)


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("door", "not a URL"),
        ("ftp://door//store", 'unknown scheme "ftp"'),
        ("root://", "the host is missing"),
        ("root:////store", "the host is missing"),
        ("root://:1094//store", "the host is missing"),
        ("root://door/store", "write two"),
        ("root://door:65536//store", 'bad port "65536"'),
        ("root://door:0//store", 'bad port "0"'),
        ("root://door:-1//store", 'bad port "-1"'),
        ("root://door:x//store", 'bad port "x"'),
        ("root://door:\u0661//store", 'bad port "\u0661"'),
        ("root://door://store", 'bad port ""'),
        ("root://ann@door//store", "no user may stand before the host"),
        ("root://[::1//store", "bad IPv6 address"),
        ("root://[]//store", "bad IPv6 address"),
        ("root://[::1]x//store", "only a port may follow"),
        ("root://[::g]//store", "bad IPv6 address"),
        ("root://[fe80::1%eth0]//store", "bad IPv6 address"),
        ("root://::1//store", "stands in brackets"),
        ("root://2001:db8::7//store", "stands in brackets"),
        ("root://do or//store", 'bad host "do or"'),
        ("root://-door//store", 'bad host "-door"'),
        ("root://door//store/../etc", "component"),
        ("root://door//a\0b", "NUL"),
        ("root://door//store?x", "cuts a path"),
        ("davs://door/x?y", "a query"),
        ("srm://door/srm?x=/pnfs", "a query"),
        ("srm://door/srm?SFN=/pnfs?x", "a query"),
        ("gsiftp:///x", "the host is missing"),
        ("file://host/data", "three slashes"),
        ("file:///100%", "hexadecimal"),
        ("file:///a%00b", "NUL"),
        ("file:///a/%2e%2e/b", "component"),
    ],
)
def test_what_is_wrong_is_said(text: str, why: str) -> None:
    with pytest.raises(ValueError, match=re.escape(why)):
        parse_door(text)


@given(_AUTHORITIES, _PATHS.filter(lambda path: "?" not in path))
def test_a_lister_finds_the_same_parts_in_the_plain_form(authority: str, path: str) -> None:
    door = parse_door(f"root://{authority}/{path}")
    assert parse_door(str(door)) == door
    assert door.path == paths.encode(path)
    seen = Door.parse(str(door))
    assert (seen.scheme, seen.host, seen.prefix) == ("root", authority, door.path)


def test_a_lister_finds_a_decoded_prefix_in_a_file_door() -> None:
    assert Door.parse(str(parse_door("file:///a%2520b/%ff"))).prefix == b"/a%20b/\xff"


@pytest.mark.parametrize(
    ("door", "prefix", "expected"),
    [
        ("root://door:1094", b"/cms", "root://door:1094//cms"),
        ("root://door//own", b"/cms", "root://door//own"),
        ("root://door", b"", "root://door"),
        ("root://door", b"/", "root://door"),
        ("file://", b"/mnt", "file:///mnt"),
        ("file:///own", b"/mnt", "file:///own"),
    ],
)
def test_a_prefix_goes_on_doors_without_a_path(door: str, prefix: bytes, expected: str) -> None:
    assert with_prefix(door, prefix) == expected


@given(st.text())
def test_any_text_is_read_or_refused(text: str) -> None:
    for url in (text, "root://" + text, "root://door//" + text, "file:///" + text):
        with suppress(ValueError):
            door = parse_door(url)
            assert is_url(url)
            assert not door.path or paths.canonical(door.path) == door.path


@pytest.mark.parametrize("authority", ["door", "door:1", "[::1]", "[::1]:65535", "under_score.example"])
def test_hosts_that_are_fine(authority: str) -> None:
    check_authority(authority)
