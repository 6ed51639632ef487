"""Sites that are buckets of an S3 store, whose truth is on the local disk, and what goes wrong on the way to them."""

from __future__ import annotations

import itertools
import os
import secrets
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.cli.loaded import run
from tests.cli.program import Ended, eventually
from tests.faults.site import FaultySite
from tests.faults.test_names import NAMES
from tests.servers.faulty_http import FaultyHTTPProxy, parts_of, saying, with_body
from tests.servers.faulty_proxy import Fault
from tests.servers.s3 import ENVIRONMENT, S3Server

_TIMEOUT = 2
_WIDE = 600
"""So many directories that a listing with one request at a time can be caught in the middle."""

_buckets = itertools.count()

Make = Callable[..., FaultySite]


@pytest.fixture
def bucket(s3_server: S3Server) -> str:
    name = f"faulty{next(_buckets)}"
    s3_server.make_bucket(name)
    return name


@pytest.fixture
def proxy(s3_server: S3Server) -> Iterator[FaultyHTTPProxy]:
    with FaultyHTTPProxy(s3_server.port, scheme="s3+http") as door:
        yield door


@pytest.fixture
def kept(proxy: FaultyHTTPProxy, bucket: str, make_site: Make, tmp_path: Path) -> FaultySite:
    """A site behind a door that can go wrong, with a missing file and an orphan; on the disk only, so far."""
    site = make_site([tmp_path / "store"], "/store", [f"{proxy.url}/{bucket}"])
    site.env |= ENVIRONMENT
    for number in range(20):
        site.put(f"data/{number}/kept.root")
    site.know("data/1/lost.root")
    site.put("data/2/left.root", known=False)
    return site


def _fill(site: FaultySite, server: S3Server, bucket: str, **keys: object) -> None:
    """Bring what is on the disk into the bucket."""
    server.mirror(site.stores[0].parent, bucket)
    site.prepare(**{"Timeout": _TIMEOUT, "Retries": 1, **keys})


def _assert_all_found(site: FaultySite, ended: Ended) -> None:
    assert ended.code == 0, ended.err
    site.assert_found(["data/1/lost.root"], ["data/2/left.root"])
    assert site.unlisted() == {}


@pytest.mark.quick_on("ray")
@pytest.mark.fault("buckets", "nothing", "what is missing, orphaned and of another size, and nothing else")
def test_nothing_goes_wrong(kept: FaultySite, s3_server: S3Server, bucket: str, runtime: str) -> None:
    kept.put("data/3/cut.root", 3)
    kept.know("data/3/cut.root", 500)
    # A directory that somebody made a key for, and nothing is in it.
    s3_server.put(bucket, b"store/data/empty/", 0, 0)
    _fill(kept, s3_server, bucket, Timeout=20)
    ended = kept.check()
    assert ended.code == 0, ended.err
    kept.assert_found(["data/1/lost.root"], ["data/2/left.root"], ["data/3/cut.root"])
    assert kept.unlisted() == {}


@pytest.mark.fault(
    "buckets",
    "the only door accepts and never answers, or is closed; there is no such bucket; the credentials are refused",
    "the run fails with one line that says so, and nothing of the credentials",
)
def test_a_dead_door(kept: FaultySite, s3_server: S3Server, bucket: str, proxy: FaultyHTTPProxy) -> None:
    _fill(kept, s3_server, bucket)
    proxy.fault = Fault(
        replace=saying("403 Forbidden", body=b"<Error><Code>InvalidAccessKeyId</Code><Message>no</Message></Error>")
    )
    ended = kept.check()
    assert ended.code == 4
    assert "authentication failed at localhost" in ended.message
    assert ENVIRONMENT["AWS_SECRET_ACCESS_KEY"] not in ended.err
    proxy.fault = Fault(delay=_TIMEOUT + 2)
    ended = kept.check()
    assert ended.code == 4
    assert "timeout at localhost" in ended.message
    proxy.shut()
    ended = kept.check()
    assert ended.code == 4
    assert "connection failed at localhost" in ended.message
    kept.doors = [f"{s3_server.url}/nobody-made-this"]
    kept.prepare(Timeout=_TIMEOUT, Retries=0)
    ended = kept.check()
    assert ended.code == 4
    assert "NoSuchBucket" in ended.message
    assert not list(kept.web.glob("*_compare_*"))


@pytest.mark.fault(
    "buckets",
    "names of any bytes that a key may have, of files and directories, known, missing and orphaned",
    "the same bytes come out",
)
def test_names(kept: FaultySite, s3_server: S3Server, bucket: str) -> None:
    names = {words: name for words, name in NAMES.items() if words not in ("no UTF-8", "a newline")}
    missing, orphans = [b"data/1/lost.root"], [b"data/2/left.root"]
    for number, name in enumerate(names.values()):
        here = b"data/named/%02d" % number
        kept.put(here + b"/known/" + name)
        kept.put(here + b"/below/" + name + b"/file")
        for path, paths in ((b"/missing/" + name, missing), (b"/below/" + name + b"/lost", missing)):
            kept.put(here + b"/missing/kept")
            kept.know(here + path)
            paths.append(here + path)
        kept.put(here + b"/orphan/" + name, known=False)
        orphans.append(here + b"/orphan/" + name)
    _fill(kept, s3_server, bucket, Timeout=20)
    ended = kept.check()
    assert ended.code == 0, ended.err
    kept.assert_found(missing, orphans)
    assert kept.unlisted() == {}


@pytest.mark.fault(
    "buckets",
    "keys with two slashes in a row, with . or .., and one that others go on from",
    "their directories are unlisted, since no path stands for them; the rest is judged",
)
def test_keys_that_are_no_paths(kept: FaultySite, s3_server: S3Server, bucket: str) -> None:
    for number in (4, 5, 6):
        kept.know(f"data/{number}/perhaps.root")
    _fill(kept, s3_server, bucket, Timeout=20)
    for key in (b"store/data/4//x", b"store/data/5/../x", b"store/data/6/kept.root/x"):
        s3_server.put(bucket, key, 1, 0)
    ended = kept.check()
    assert ended.code == 0, ended.err
    kept.assert_found(["data/1/lost.root"], ["data/2/left.root"])
    assert kept.unlisted() == {f"data/{number}".encode(): "a name that cannot be carried" for number in (4, 5, 6)}


@pytest.mark.fault(
    "buckets",
    "a directory may not be listed; the server says 500 or 503 of others; an answer is cut off, or not the last one",
    "these are unlisted, each with a reason; no file in them is called missing; the rest is judged",
)
def test_answers_that_are_none(kept: FaultySite, s3_server: S3Server, bucket: str, proxy: FaultyHTTPProxy) -> None:
    for number in range(4, 9):
        kept.put(f"data/{number}/special{number}.root")
        kept.know(f"data/{number}/perhaps.root")
    _fill(kept, s3_server, bucket, Retries=2)

    def error(status: str, code: str) -> Callable[[bytes], bytes]:
        return saying(status, body=f"<Error><Code>{code}</Code><Message>no</Message></Error>".encode())

    def shorter(answer: bytes) -> bytes:
        head, body = parts_of(answer)
        return with_body(head, body[: len(body) - 10])

    def more(answer: bytes) -> bytes:
        head, body = parts_of(answer)
        return with_body(head, body.replace(b"<IsTruncated>false", b"<IsTruncated>true"))

    ways = {
        b"special4": error("403 Forbidden", "AccessDenied"),
        b"special5": error("500 Internal Server Error", "InternalError"),
        b"special6": error("503 Slow Down", "SlowDown"),
        b"special7": shorter,
        b"special8": more,
    }

    def spoil(answer: bytes) -> bytes:
        return next((way(answer) for mark, way in ways.items() if mark in answer), answer)

    proxy.fault = Fault(replace=spoil)
    ended = kept.check()
    assert ended.code == 0, ended.err
    kept.assert_found(["data/1/lost.root"], ["data/2/left.root"])
    unlisted = kept.unlisted()
    assert set(unlisted) == {f"data/{number}".encode() for number in range(4, 9)}
    assert unlisted[b"data/4"] == "permission denied"


@pytest.mark.fault(
    "buckets",
    "every list of a directory lacks its last keys and says that it is whole",
    "its files are asked for one by one: none that is there is called missing, and the directory is unlisted",
)
def test_lists_that_lack_keys(kept: FaultySite, s3_server: S3Server, bucket: str, proxy: FaultyHTTPProxy) -> None:
    for number in range(30):
        kept.put(f"data/3/many{number:02}.root")
    kept.know("data/3/many99.root")
    _fill(kept, s3_server, bucket, Timeout=20)

    def shorter(answer: bytes) -> bytes:
        head, body = parts_of(answer)
        first, end = body.find(b"many15.root"), body.rfind(b"</Contents>")
        if not 0 <= first < end:
            return answer
        return with_body(head, body[: body.rindex(b"<Contents>", 0, first)] + body[end + len(b"</Contents>") :])

    proxy.fault = Fault(replace=shorter)
    ended = kept.check()
    assert ended.code == 0, ended.err
    kept.assert_found(["data/1/lost.root", "data/3/many99.root"], ["data/2/left.root"])
    assert set(kept.unlisted()) == {b"data/3"}


@pytest.mark.fault(
    "buckets",
    "from the middle on what stands before the store says 404 to everything",
    "nothing is called missing for that; what was not seen is unlisted",
)
def test_what_stands_before_the_store(
    kept: FaultySite, s3_server: S3Server, bucket: str, proxy: FaultyHTTPProxy
) -> None:
    for number in range(20, _WIDE):
        kept.put(f"data/{number}/kept.root")
    _fill(kept, s3_server, bucket, Timeout=20, Connections=1)

    def away() -> None:
        # moto answers once for each connection.
        proxy.fault = Fault(replace=saying("404 Not Found", "Connection: close"))

    ended = kept.check_while(away)
    assert ended.code == 0, ended.err
    kept.assert_true()
    assert set(kept.found("compare_missing")) <= {b"data/1/lost.root"}
    assert len(kept.unlisted()) > 10


@pytest.mark.fault(
    "buckets", "kill -9 in the middle of the listing", "the next run goes on from what was listed, and finds the same"
)
def test_a_run_that_is_killed(kept: FaultySite, s3_server: S3Server, bucket: str) -> None:
    for number in range(20, _WIDE):
        kept.put(f"data/{number}/kept.root")
    _fill(kept, s3_server, bucket, Timeout=20, Connections=1)
    process = kept.start_check()
    eventually("begun to list", lambda: kept.listed > 5, process)
    process.kill()
    process.communicate()
    ended = kept.check()
    assert ended.json["resumed"] > 3
    _assert_all_found(kept, ended)


@pytest.mark.fault(
    "buckets",
    "secrets of the store, in the environment or in a file",
    "none is in output, logs, page, lists or snapshots",
)
def test_secrets(kept: FaultySite, s3_server: S3Server, bucket: str) -> None:
    _fill(kept, s3_server, bucket, Timeout=20)
    planted = {name: f"planted{secrets.token_hex(12)}" for name in ("in the environment", "in a file", "a session")}
    file = kept.home.parent / "credentials"
    file.write_text(f"[default]\naws_access_key_id = me\naws_secret_access_key = {planted['in a file']}\n")
    environments = (
        {"AWS_SECRET_ACCESS_KEY": planted["in the environment"], "AWS_SESSION_TOKEN": planted["a session"]},
        {"AWS_SHARED_CREDENTIALS_FILE": str(file), "AWS_ACCESS_KEY_ID": "", "AWS_SECRET_ACCESS_KEY": ""},
    )
    for number, more in enumerate(environments):
        ended = run("--log-level", "debug", "check", "--fresh", kept.name, cwd=kept.home, env={**kept.env, **more})
        assert ended.code == 0, (number, ended.err)
        kept.assert_found(["data/1/lost.root"], ["data/2/left.root"])
        said = [ended.out.encode(), ended.err.encode()]
        said += [path.read_bytes() for path in kept.home.rglob("*") if path.is_file()]
        assert len(said) > 10
        assert not any(secret.encode() in text for secret in planted.values() for text in said)
    assert os.environ.get("AWS_SECRET_ACCESS_KEY") is None
