from __future__ import annotations

import pytest

from storage.inventory.foreign.checksums import read_checksum
from storage.inventory.foreign.lfn import identity_path
from storage.inventory.foreign.template import Template
from tests.storage.inventory.foreign.reading import read

KEYS = Template(b"=", (b"", b" size=", b" sum=", b""), ("path", "size", "sum"))
JSON = Template(b'"', (b'{"Path":"', b'","Size":', b',"Time":"', b'"},'), ("path", "size", "mtime"))


def test_fields_are_found_between_what_is_the_same_on_all_lines() -> None:
    found = KEYS.find(b"/a/b size=7 sum=x\n/a/c d=e size=8 sum=x\n")
    assert found is not None
    assert found.paths() == ([b"/a", b"/a"], [b"b", b"c d=e"])
    sizes = found.integers("size")
    assert sizes is not None
    assert sizes.tolist() == [7, 8]
    assert found.texts("sum") == [b"x", b"x"]


def test_a_path_is_all_that_is_before_the_last_keys() -> None:
    found = KEYS.find(b"/a/b size=7 sum=y size=8 sum=x\n/c size=1 sum=z\n")
    assert found is not None
    assert found.paths() == ([b"/a", b""], [b"b size=7 sum=y", b"c"])


def test_a_relative_path_gets_a_slash() -> None:
    found = JSON.find(b'{"Path":"a/b","Size":7,"Time":"1"},\n{"Path":"c","Size":8,"Time":"2"},\n')
    assert found is not None
    assert found.paths(relative=True) == ([b"/a", b""], [b"b", b"c"])
    assert found.paths() is None


@pytest.mark.parametrize(
    "odd",
    [
        *(b"", b"/a/b", b"/a/b size=7", b"/a/b size=7 sum=x=y", b"/a/b  size=7 sum= x y", b"/a/b size:7 sum=x"),
        *(b"/a/b sum=x size=7", b"/a/b size=7 sum=", b" size=7 sum=x"),
    ],
)
def test_of_lines_of_which_one_is_odd_nothing_is_said_that_is_not_true(odd: bytes) -> None:
    found = KEYS.find(b"/a/b size=7 sum=x\n" + odd + b"\n/a/c size=7 sum=x\n")
    if found is None:
        return
    # What fits is what stands there, were it taken for a path and its fields by hand.
    path, _, rest = odd.rpartition(b" size=")
    size, _, sum_ = rest.partition(b" sum=")
    assert found.texts("path")[1] == path
    assert found.texts("size")[1] == size
    assert found.texts("sum")[1] == sum_


@pytest.mark.parametrize(
    "path", [b"a/b", b"/a//b", b"/a/./b", b"/a/../b", b"/.", b"/..", b"/a/", b"/", b"", b"/a/...", b"/" + b"x" * 20_000]
)
def test_a_path_that_is_not_plain_is_left_to_others(path: bytes) -> None:
    found = KEYS.find(b"/a/b size=7 sum=x\n" + path + b" size=7 sum=x\n/a/.c size=7 sum=x\n")
    assert found is None or found.paths() is None


@pytest.mark.parametrize("number", [b"", b"-1", b"7x", b"0x7", b"1" * 19, b"\xb27"])
def test_a_number_that_is_not_plain_is_left_to_others(number: bytes) -> None:
    found = KEYS.find(b"/a/b size=123456789012345678 sum=x\n/a/c size=" + number + b" sum=x\n")
    assert found is not None
    assert found.integers("size") is None


def test_numbers_of_any_length_stand_side_by_side() -> None:
    numbers = [0, 7, 10, 99, 100, 123456789012345678]
    found = KEYS.find(b"".join(b"/a/b size=%d sum=\n" % number for number in numbers))
    assert found is not None
    assert (sizes := found.integers("size")) is not None
    assert sizes.tolist() == numbers


@pytest.mark.parametrize("data", [b"", b"/a/b size=7 sum=x", b"\n"])
def test_what_is_no_whole_lines_is_left_to_others(data: bytes) -> None:
    assert KEYS.find(data) is None


@pytest.mark.parametrize(
    ("text", "checksum"),
    [
        (b"0a1b2c3d", ("adler32", b"0a1b2c3d")),
        (b"A1B2C3D", ("adler32", b"0a1b2c3d")),
        (b" 1 ", ("adler32", b"00000001")),
        (b"AD:ca793d51", ("adler32", b"ca793d51")),
        (b"adler32:0xca793d51", ("adler32", b"ca793d51")),
        (b"d41d8cd98f00b204e9800998ecf8427e", ("md5", b"d41d8cd98f00b204e9800998ecf8427e")),
        (b"MD5:d41d8cd98f00b204e9800998ecf8427e", ("md5", b"d41d8cd98f00b204e9800998ecf8427e")),
        *((text, None) for text in (b"", b"N/A", b"none", b"\\N", b"sha1:ab", b"xyz", b"123456789", b"md5:ab", b"0")),
    ],
)
def test_a_checksum_is_read_however_it_is_written(text: bytes, checksum: tuple[str, bytes] | None) -> None:
    assert read_checksum(text) == checksum


def upper_path(scope: bytes, name: bytes) -> bytes:
    return b"/".join((scope, name[:1].upper(), name))


def test_the_path_of_a_replica_follows_from_its_name_as_somebody_says() -> None:
    row = b"X\tmc\t%b\tab\t7\t2020-01-01 00:00:00\t\t2020-01-01 00:00:00\tA\n"
    content = row % b"a" + row % b"b"
    assert read(content, root=b"/r").paths == [b"/r/mc/a", b"/r/mc/b"]
    assert read(content, root=b"/r", lfn_to_path=upper_path).paths == [b"/r/mc/A/a", b"/r/mc/B/b"]
    assert identity_path(b"cms", b"/store/a") == b"/store/a"
    assert read(row % b"/store/a" + row % b"/store/b").paths == [b"/store/a", b"/store/b"]


def test_dots_of_users_and_groups_are_slashes_however_lines_are_read() -> None:
    row = b"X\t%b\t%b\tab\t7\t2020-01-01 00:00:00\t\t2020-01-01 00:00:00\tA\n"
    dids = [
        *((b"user.joe", b"a.root"), (b"group.phys-x.y", b"b.root"), (b"users", b"user.c"), (b"mc23.1", b"user.d")),
        *((b"my.user.x", b"e"), (b"u", b"f"), (b"user..z", b"g"), (b"groups.ab", b"h")),
    ]
    odd = b"#" + row % (b"X", b"")
    for scope, name in dids:
        path = b"/r/" + identity_path(scope, name).replace(b"//", b"/")
        lines = row % (scope, name) * 2
        assert read(lines, root=b"/r").paths == read(lines + odd, root=b"/r").paths == [path] * 2
    together = b"".join(row % did for did in dids[:6])
    assert read(together, root=b"/r").paths == [b"/r/" + identity_path(*did) for did in dids[:6]]
