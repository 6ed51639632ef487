"""Checksums are compared behind a listing, at a store that goes wrong just then."""

from __future__ import annotations

import re
import struct
import time
import zlib
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from tests.cli.program import eventually, wait_for
from tests.faults.site import OLD, FaultySite
from tests.servers.faulty_proxy import Fault, FaultyProxy
from tests.servers.xrootd import XRootDServer

_SUM = re.compile(rb"(.{16})?(adler32 [0-9a-f]{8}\0?)", re.DOTALL)
"""The body of an answer that is a checksum, which comes later than others, behind the head of the answer that it is."""
_SPOILT = "data/3/kept03.root"
"""The one file whose content is another than the inventory says; its size and time are right."""


@pytest.fixture
def server(start_xrootd: Callable[..., XRootDServer]) -> XRootDServer:
    """A server that works checksums out."""
    return start_xrootd("xrootd.chksum chkcgi max 4 adler32 md5")


@pytest.fixture
def proxy(server: XRootDServer) -> Iterator[FaultyProxy]:
    with FaultyProxy(server.port) as door:
        yield door


@pytest.fixture
def site(server: XRootDServer, proxy: FaultyProxy, make_site: Callable[..., FaultySite]) -> FaultySite:
    """A site with one missing file, one orphan, and one file that has changed on the disk."""
    site = make_site([server.store], "/store", [proxy.url])
    site.plant_few()
    _configure(site)
    return site


def _configure(site: FaultySite, **keys: Any) -> None:
    rows = ["lfn,size,mtime,checksum"]
    for name, size in site.known.items():
        checksum = f"{zlib.adler32(b'x' * size):08x}"
        rows.append(f"{site.lfn}/{name.decode()},{size},{OLD},{checksum if name.decode() != _SPOILT else '0badf00d'}")
    (site.home / "inventory.csv").write_text("\n".join(rows) + "\n")
    site.configure(Inventory="inventory.csv", InventoryFormat="auto", Checksums="1/1", Timeout=2, **keys)


class Sums:
    """Does something with the answers that are checksums; all others pass as they are."""

    def __init__(self, change: Callable[[int, bytes], bytes]) -> None:
        self.count = 0
        self._change = change

    def __call__(self, body: bytes) -> bytes:
        """Take the body of an answer, and give another one."""
        match = _SUM.fullmatch(body)
        if match is None:
            return body
        self.count += 1
        changed = self._change(self.count, match[2])
        return changed if match[1] is None else match[1][:12] + struct.pack(">I", len(changed)) + changed


def _assert_listed(site: FaultySite, answer: dict[str, Any]) -> None:
    """What the listing has found is all there, whatever became of the checksums."""
    assert (answer["missing"], answer["orphan"]) == (1, 1)
    site.assert_found(["data/1/lost.root"], ["data/2/left.root"])


@pytest.mark.fault(
    "checksums",
    "the store answers no request for a checksum any more, when it has been listed",
    "the run has its findings, no mismatch, and ends after ChecksumMinutes; what was not compared is first in the next",
)
def test_no_answer(site: FaultySite, proxy: FaultyProxy) -> None:
    _configure(site, ChecksumMinutes=0.05)
    silent = Sums(lambda _count, body: body[:-1])

    def replace(frame: bytes) -> bytes:
        return frame if silent(frame[8:]) == frame[8:] else b""

    proxy.fault = Fault(replace=replace)
    begun = time.monotonic()
    ended = site.check()
    assert ended.code == 0, ended.err
    assert time.monotonic() - begun < 60
    assert silent.count > 0
    _assert_listed(site, ended.json)
    assert ended.json["checksum_mismatch"] == ended.json["checksums"] == 0
    assert ended.json["checksum_details"]["why"] == "stopped after 0.05 minutes"
    assert ended.json["checksum_details"]["left"] + ended.json["checksums_unchecked"] == 40

    proxy.fault = Fault()
    _configure(site)
    again = site.check()
    assert (again.json["checksums"], again.json["checksum_mismatch"]) == (40, 1)


@pytest.mark.fault(
    "checksums",
    "the door resets all connections while it is asked for checksums",
    "no mismatch comes of it; what was not compared is said, and compared by the next run",
)
def test_resets(site: FaultySite, proxy: FaultyProxy) -> None:
    def change(count: int, body: bytes) -> bytes:
        if count % 5 == 0:
            proxy.reset()
        return body

    proxy.fault = Fault(rewrite=Sums(change))
    ended = site.check()
    assert ended.code == 0, ended.err
    _assert_listed(site, ended.json)
    unchecked = ended.json["checksums_unchecked"]
    assert ended.json["checksums"] + unchecked + ended.json["checksum_details"]["left"] == 40
    assert ended.json["checksum_mismatch"] <= 1
    proxy.fault = Fault()
    again = site.check()
    assert again.json["checksum_mismatch"] == 1
    assert site.found("compare_checksum_mismatch") == [_SPOILT.encode()]


@pytest.mark.parametrize(
    "wrong", [b"adler32 00000000\0", b"adler32 zz\0", b"\0", b"md5 d41d8cd98f00b204e9800998ecf8427e\0", b"\xff" * 4000]
)
@pytest.mark.fault(
    "checksums",
    "the door answers requests for checksums with zeros, with another checksum, or with nonsense",
    "the files are unchecked, and none is called different",
)
def test_nonsense(site: FaultySite, proxy: FaultyProxy, wrong: bytes) -> None:
    proxy.fault = Fault(rewrite=Sums(lambda _count, _body: wrong))
    ended = site.check()
    assert ended.code == 0, ended.err
    _assert_listed(site, ended.json)
    assert ended.json["checksum_mismatch"] == ended.json["checksums"] == 0


@pytest.mark.fault(
    "checksums",
    "one answer in three to a request for a checksum is spoilt, each in another way",
    "it is asked for again; only what differs twice in the same way is a mismatch",
)
def test_a_bad_line(site: FaultySite, proxy: FaultyProxy) -> None:
    def change(count: int, body: bytes) -> bytes:
        return body if count % 3 else b"adler32 %08x\0" % (0xBAD00000 + count)

    proxy.fault = Fault(rewrite=Sums(change))
    ended = site.check()
    assert ended.code == 0, ended.err
    _assert_listed(site, ended.json)
    assert site.found("compare_checksum_mismatch") in ([_SPOILT.encode()], [])
    assert ended.json["checksum_mismatch"] == len(site.found("compare_checksum_mismatch"))


@pytest.mark.fault(
    "checksums",
    "the program is killed (kill -9) while it compares checksums",
    "the next run takes the listing as it is, goes on comparing, and finds the same",
)
def test_killed(site: FaultySite, proxy: FaultyProxy) -> None:
    def change(_count: int, body: bytes) -> bytes:
        time.sleep(0.3)
        return body

    slow = Sums(change)
    proxy.fault = Fault(rewrite=slow)
    process = site.start_check()
    eventually("asked for checksums", lambda: slow.count > 4, process)
    process.kill()
    wait_for(process)
    proxy.fault = Fault()
    ended = site.check()
    assert ended.code == 0, ended.err
    assert ended.json["resumed"] > 0
    _assert_listed(site, ended.json)
    assert site.found("compare_checksum_mismatch") == [_SPOILT.encode()]
