"""Checksums, as the servers of each protocol give them."""

from __future__ import annotations

import hashlib
import os
import zlib
from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path
from urllib.parse import quote

import httpcore
import pytest

from engine.checksums.digest import ADLER32, MD5, Checksum
from engine.listing import Absent, Failed, NoChecksum
from engine.states import Reason
from storage.file_sums import sum_of_file
from storage.listers.factory import open_lister
from storage.listers.memory import MemoryStore, publish
from storage.listers.protocol import BINDINGS, DIRECTX, GFAL, WIRE, StoreSpec
from tests.servers.s3 import ENVIRONMENT, S3Server
from tests.servers.webdav import ApacheServer, XRootDOverHTTP
from tests.servers.xrootd_cluster import XRootDCluster
from tests.storage.listers.asking import Asker, asking

CONTENT = b"hello world"
SUMS = {ADLER32: f"{zlib.adler32(CONTENT):08x}", MD5: hashlib.md5(CONTENT).hexdigest()}
NAMES = (b"plain", b"two blanks  here", "größe-名前".encode(), b"100%25", b"a+b&c;d#e=f", b"quote'\"", b"n" * 200)


@pytest.fixture(scope="module")
def server() -> Iterator[XRootDOverHTTP]:
    with XRootDOverHTTP(("xrootd.chksum chkcgi max 16 adler32 md5",)) as server:
        yield server


@pytest.fixture(params=[WIRE, BINDINGS, DIRECTX, "http", "file"])
def asker(request: pytest.FixtureRequest, server: XRootDOverHTTP) -> Iterator[Asker]:
    """Asks a store with some files, each with the same content."""
    for name in NAMES:
        (Path(os.fsdecode(os.fsencode(server.store) + b"/" + name))).write_bytes(CONTENT)
    if request.param == "http":
        spec = StoreSpec((server.url,), timeout=5)
    elif request.param == "file":
        spec = StoreSpec((f"file://{server.root}",), timeout=5)
    else:
        spec = StoreSpec((f"root://localhost:{server.port}",), timeout=5, method=request.param)
    assert spec.no_checksums == ""
    assert spec.is_read_for_checksums == (request.param == "file")
    with asking(partial(open_lister, spec)) as asker:
        yield asker


@pytest.mark.parametrize("algorithm", [ADLER32, MD5])
def test_the_checksum_that_was_asked_for_is_given(asker: Asker, algorithm: str) -> None:
    expected = Checksum(algorithm, SUMS[algorithm])
    # One after the other: XRootD says of some that its program failed where many are asked for at a time.
    assert [asker.checksum(b"/store/" + name, algorithm) for name in NAMES] == [expected] * len(NAMES)


def test_what_is_not_there_has_none(asker: Asker) -> None:
    outcome = asker.checksum(b"/store/none")
    assert outcome == Absent() or (isinstance(outcome, Failed) and outcome.reason == Reason.NOT_FOUND)


def test_an_algorithm_that_nobody_knows(asker: Asker) -> None:
    assert isinstance(asker.checksum(b"/store/plain", "crc64"), NoChecksum)


def test_a_cluster_is_asked_at_its_redirector_or_at_all_its_servers() -> None:
    with XRootDCluster(extra=("xrootd.chksum chkcgi max 16 adler32 md5",)) as cluster:
        (cluster.store(0) / "here").write_bytes(CONTENT)
        (cluster.store(1) / "there").write_bytes(CONTENT)
        (cluster.store(0) / "both").write_bytes(CONTENT)
        (cluster.store(1) / "both").write_bytes(b"hello earth")
        redirector = StoreSpec((f"root://{cluster.redirector}",), timeout=20)
        servers = StoreSpec(tuple(f"root://{cluster.server(at)}" for at in (0, 1)), timeout=20, clustered=True)
        expected = Checksum(MD5, SUMS[MD5])
        for spec in (redirector, replace(redirector, method=BINDINGS), servers, replace(servers, open_ended=True)):
            with asking(partial(open_lister, spec)) as asker:
                assert [asker.checksum(path, MD5) for path in (b"/store/here", b"/store/there")] == [expected] * 2
                if spec.clustered:
                    differing = asker.checksum(b"/store/both", MD5)
                    assert isinstance(differing, Failed)
                    assert (differing.reason, differing.detail[:32]) == (
                        Reason.PARTIAL,
                        "copies with different checksums:",
                    )


def test_servers_that_give_none() -> None:
    with XRootDOverHTTP() as plain, ApacheServer() as apache:
        doors = {
            f"root://localhost:{plain.port}": "query chksum is not supported",
            plain.url: "405: the server gives no digests",
            apache.url: "the server gives no digest",
        }
        (plain.store / "f").write_bytes(CONTENT)
        (apache.store / "f").write_bytes(CONTENT)
        for door, words in doors.items():
            with asking(partial(open_lister, StoreSpec((door,), timeout=5))) as asker:
                assert asker.checksum(b"/store/f") == NoChecksum(words)


def test_the_tag_of_a_key_is_its_md5(s3_server: S3Server, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in ENVIRONMENT.items():
        monkeypatch.setenv(name, value)
    s3_server.make_bucket("summed")

    def put(key: str, **headers: str) -> None:
        url = f"http://127.0.0.1:{s3_server.port}/summed/{quote(key)}"
        assert httpcore.request("PUT", url, headers={"Host": "localhost", **headers}, content=CONTENT).status == 200

    put("d/größe +")
    put("secret", **{"x-amz-server-side-encryption": "aws:kms"})
    with asking(partial(open_lister, StoreSpec((f"{s3_server.url}/summed",), timeout=5))) as asker:
        assert asker.checksum("/d/größe +".encode(), MD5) == Checksum(MD5, SUMS[MD5])
        assert asker.checksum(b"/d/none", MD5) == Absent()
        assert asker.checksum("/d/größe +".encode(), ADLER32) == NoChecksum("such stores have no adler32")
        assert isinstance(asker.checksum(b"/secret", MD5), NoChecksum)


def test_stores_that_cannot_be_asked() -> None:
    assert StoreSpec(("dump:///d",)).no_checksums == "a store behind dump:// is not asked for any"
    assert StoreSpec(("swift://host", "root://host")).no_checksums == "a store behind swift:// is not asked for any"
    assert StoreSpec(("root://host",), method=GFAL).no_checksums == "gfal-ls, which lists it, tells none"
    assert StoreSpec(("root://host",), method=DIRECTX).no_checksums == ""


def test_a_store_in_memory() -> None:
    store = MemoryStore()
    store.add_file(b"/s/f", 3)
    store.add_checksum(b"/s/f", Checksum(ADLER32, "00000001"))
    with asking(partial(open_lister, StoreSpec((publish("sums", store),)))) as asker:
        assert asker.checksum(b"/s/f") == Checksum(ADLER32, "00000001")
        assert asker.checksum(b"/s/f", MD5) == NoChecksum("none is known")
        assert asker.checksum(b"/s/none") == Absent()


def test_a_file_that_takes_too_long_or_changes_has_none(tmp_path: Path) -> None:
    path = tmp_path / "f"
    path.write_bytes(bytes(9 << 20))
    assert sum_of_file(os.fsencode(path), ADLER32) == Checksum(ADLER32, f"{zlib.adler32(bytes(9 << 20)):08x}")
    late = sum_of_file(os.fsencode(path), ADLER32, lambda: False)
    assert late == Failed(Reason.TIMEOUT, f"not read to its end in time, {4 << 20} of {9 << 20} bytes")

    def grow() -> bool:
        with path.open("ab") as file:
            file.write(b"x")
        return True

    changed = sum_of_file(os.fsencode(path), MD5, grow)
    assert changed == Failed(Reason.PARTIAL, "changed while it was read")
    fifo = tmp_path / "pipe"
    os.mkfifo(fifo)
    assert sum_of_file(os.fsencode(fifo), ADLER32) == NoChecksum("no plain file")
