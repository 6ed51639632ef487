"""Sites that are asked over WebDAV, of XRootD's HTTP plugin and Apache's mod_dav, and what goes wrong on the way."""

from __future__ import annotations

import itertools
import time
from collections.abc import Callable, Iterator

import pytest

from tests.cli.program import Ended, eventually
from tests.faults.site import FaultySite
from tests.servers.faulty_http import FaultyHTTPProxy, cut_short, from_stranger, parts_of, saying, with_body
from tests.servers.faulty_proxy import FORWARD, Fault
from tests.servers.fixtures import ServedDirectory
from tests.servers.webdav import ApacheServer, XRootDOverHTTP
from tests.servers.xrootd_cluster import XRootDCluster
from tests.servers.xrootd_secured import SecuredServer

_TIMEOUT = 2
_DIRECTORIES = 30
_WIDE = 1500
"""So many that a listing with one request at a time can be caught in the middle."""

Make = Callable[..., FaultySite]


@pytest.fixture(params=["http_directory", "apache_directory"], ids=["XRootD", "Apache"])
def served(request: pytest.FixtureRequest) -> ServedDirectory:
    """An empty directory of one server and of the other."""
    directory: ServedDirectory = request.getfixturevalue(request.param)
    return directory


@pytest.fixture
def proxy(apache_directory: ServedDirectory) -> Iterator[FaultyHTTPProxy]:
    """A door that can go wrong: what it is in front of matters little."""
    with FaultyHTTPProxy(apache_directory.server.port) as door:
        yield door


@pytest.fixture
def alone(apache_directory: ServedDirectory, proxy: FaultyHTTPProxy, make_site: Make) -> FaultySite:
    """A site whose only door is the one that goes wrong."""
    return _filled(make_site([apache_directory.path], apache_directory.lfn.decode(), [proxy.url]))


def _filled(site: FaultySite, directories: int = _DIRECTORIES, **keys: object) -> FaultySite:
    for number in range(directories):
        site.put(f"data/{number}/kept.root")
    site.know("data/1/lost.root")
    site.put("data/2/left.root", known=False)
    site.make("data/empty")
    site.prepare(**{"Timeout": _TIMEOUT, "Retries": 1, **keys})
    return site


def _assert_all_found(site: FaultySite, ended: Ended) -> None:
    assert ended.code == 0, ended.err
    # No server is believed that a directory is empty.
    site.assert_found(["data/1/lost.root"], ["data/2/left.root"])
    assert site.unlisted() == {}


def _assert_refused(site: FaultySite, ended: Ended, reason: str) -> None:
    assert ended.code == 4
    assert f"{reason} at {site.doors[0].partition('://')[2]}: " in ended.message
    assert not list(site.web.glob("*_compare_*"))


@pytest.mark.quick_on("ray")
@pytest.mark.fault("WebDAV", "nothing", "what is missing, orphaned and of another size, and nothing else")
def test_nothing_goes_wrong(served: ServedDirectory, make_site: Make, runtime: str) -> None:
    site = make_site([served.path], served.lfn.decode(), [served.url])
    site.put("data/3/cut.root", 3)
    site.know("data/3/cut.root", 500)
    _filled(site, Timeout=20)
    ended = site.check()
    assert ended.code == 0, ended.err
    site.assert_found(["data/1/lost.root"], ["data/2/left.root"], ["data/3/cut.root"])
    assert site.unlisted() == {}


@pytest.mark.fault(
    "WebDAV", "the only door accepts and never answers, or is closed", "the run fails at the door, in one line"
)
def test_a_dead_door(alone: FaultySite, proxy: FaultyHTTPProxy) -> None:
    proxy.fault = Fault(stall=True)
    _assert_refused(alone, alone.check(), "timeout")
    proxy.shut()
    _assert_refused(alone, alone.check(), "connection failed")


@pytest.mark.fault(
    "WebDAV", "the door answers with pages for people, or with nothing", "the run fails, in one line that says so"
)
def test_a_door_that_is_none(alone: FaultySite, proxy: FaultyHTTPProxy) -> None:
    for answer in (
        saying("200 OK", "Content-Type: text/html", body=b"<html>Log in</html>"),
        saying("207 Multi-Status", body=b"<html/>"),
        saying("405 Method Not Allowed"),
        saying("302 Found", "Location: https://elsewhere.invalid:1/login"),
    ):
        proxy.fault = Fault(replace=answer)
        ended = alone.check()
        assert ended.code == 4
        assert not list(alone.web.glob("*_compare_*"))


@pytest.mark.parametrize("politely", [True, False], ids=["closed", "reset"])
@pytest.mark.fault(
    "WebDAV",
    "a door resets, or closes, every connection in the middle of an answer",
    "nothing of half an answer is used; retries succeed: all is listed",
)
def test_a_door_that_cuts_answers(alone: FaultySite, proxy: FaultyHTTPProxy, politely: bool) -> None:
    _filled(alone, Retries=30, Connections=1)
    proxy.fault = Fault(limit=30_000, politely=politely)
    _assert_all_found(alone, alone.check())
    assert proxy.connections > 2


@pytest.mark.fault(
    "WebDAV",
    "every answer about a directory with two files or more lacks its end: by its length, by its form, or by an entry "
    "that could not be looked at",
    "these directories are unlisted; no file that is there is called missing",
)
def test_answers_that_lack_something(alone: FaultySite, proxy: FaultyHTTPProxy) -> None:
    for number in (4, 5):
        alone.put(f"data/{number}/other.root")
    alone.prepare(Timeout=_TIMEOUT, Retries=1)

    def lacking(answer: bytes, how: Callable[[bytes], bytes]) -> bytes:
        return how(answer) if b"other.root" in answer and b"kept.root" in answer else answer

    def shorter(answer: bytes) -> bytes:
        head, body = parts_of(answer)
        return with_body(head, body[: -len(b"</D:multistatus>") - 1])

    def doubtful(answer: bytes) -> bytes:
        head, body = parts_of(answer)
        before, _, after = body.rpartition(b"200 OK")
        return with_body(head, before + b"403 Forbidden" + after)

    for how in (cut_short, shorter, doubtful):
        proxy.fault = Fault(replace=lambda answer, how=how: lacking(answer, how))  # type: ignore[misc]
        ended = alone.check("--fresh")
        assert ended.code == 0, ended.err
        alone.assert_found(["data/1/lost.root"], ["data/2/left.root"])
        assert set(alone.unlisted()) == {b"data/4", b"data/5"}
        assert set(alone.unlisted().values()) <= {"partial answer", "timeout", "connection failed"}


@pytest.mark.fault(
    "WebDAV",
    "the server says 500 to some questions, and 503 with Retry-After to every third one",
    "it is asked again, later where it says so; what it never answers is unlisted",
)
def test_a_server_that_is_not_well(alone: FaultySite, proxy: FaultyHTTPProxy) -> None:
    count = itertools.count()
    alone.put("data/broken/special.root")
    alone.prepare(Timeout=5, Retries=3)

    def unwell(answer: bytes) -> bytes:
        if b"special.root" in answer:
            return saying("500 Internal Server Error", body=b"out of luck")(answer)
        return saying("503 Busy", "Retry-After: 1")(answer) if next(count) % 3 == 2 else answer

    proxy.fault = Fault(replace=unwell)
    ended = alone.check()
    assert ended.code == 0, ended.err
    alone.assert_found(["data/1/lost.root"], ["data/2/left.root"])
    assert alone.unlisted() == {b"data/broken": "server error"}


@pytest.mark.parametrize("how", ["404", "302"])
@pytest.mark.fault(
    "WebDAV",
    "from the middle on what stands before the store says 404 to everything, or sends everybody on to the top",
    "nothing is called missing for that, and nothing is an orphan that only the top has; what was not seen is unlisted",
)
def test_what_stands_before_the_store(alone: FaultySite, proxy: FaultyHTTPProxy, how: str) -> None:
    _filled(alone, _WIDE, Retries=1, Connections=1)
    elsewhere = saying("404 Not Found") if how == "404" else saying("302 Found", "Location: /")

    def before(answer: bytes) -> bytes:
        return answer if b"<D:href>/</D:href>" in answer and how == "302" else elsewhere(answer)

    def away() -> None:
        proxy.fault = Fault(replace=before)

    ended = alone.check_while(away)
    assert ended.code == 0, ended.err
    alone.assert_true()
    assert set(alone.found("compare_missing")) <= {b"data/1/lost.root"}
    assert len(alone.unlisted()) > 10


@pytest.mark.fault(
    "WebDAV",
    "the server shows directories that it cannot list as empty ones, and denies a name that nobody gave",
    "none is called empty, and of their files only those are missing that are denied one by one",
)
def test_directories_that_seem_to_be_empty(alone: FaultySite, proxy: FaultyHTTPProxy) -> None:
    def emptied(answer: bytes) -> bytes:
        head, body = parts_of(from_stranger(answer))
        if b"special.root" not in body:
            return with_body(head, body)
        end = b"</D:response>"
        return with_body(head, body[: body.index(end) + len(end)] + b"</D:multistatus>")

    for number in (1, 4, 5):
        alone.put(f"data/{number}/special.root")
    alone.prepare(Timeout=_TIMEOUT, Retries=1)
    proxy.fault = Fault(replace=emptied)
    ended = alone.check()
    assert ended.code == 0, ended.err
    alone.assert_found(["data/1/lost.root"], ["data/2/left.root"])


@pytest.mark.parametrize("mode", [0o311, 0o644, 0o000])
@pytest.mark.fault(
    "WebDAV",
    "a directory may not be read, may not be searched, or neither",
    "it is unlisted, with a reason; what the inventory has below is not judged, and the rest is",
)
def test_closed_directories(served: ServedDirectory, make_site: Make, mode: int) -> None:
    site = make_site([served.path], served.lfn.decode(), [served.url])
    site.put("data/closed/kept.root")
    site.know("data/closed/perhaps.root")
    _filled(site, Timeout=20)
    closed = site.path("data/closed")
    closed.chmod(mode)
    try:
        ended = site.check()
    finally:
        closed.chmod(0o755)
    _assert_closed(site, ended)


def _assert_closed(site: FaultySite, ended: Ended) -> None:
    assert ended.code == 0, ended.err
    site.assert_found(["data/1/lost.root"], ["data/2/left.root"])
    assert site.unlisted() in [{b"data/closed": reason} for reason in ("permission denied", "partial answer")]
    assert ended.json["protected"] == 2


@pytest.mark.fault(
    "WebDAV",
    "a link that leads to itself, or nowhere, beside files that are known",
    "no file is called missing, though XRootD lists nothing behind such a link; no directory is called empty",
)
def test_listings_that_end_early(served: ServedDirectory, make_site: Make) -> None:
    site = make_site([served.path], served.lfn.decode(), [served.url])
    for number in range(8):
        for file in range(4):
            site.put(f"data/linked/{number}/{file}.root")
        site.path(f"data/linked/{number}/self").symlink_to("self")
    (site.make("data/only") / "self").symlink_to("self")
    (site.make("data/lost") / "link").symlink_to("nowhere")
    _filled(site, Timeout=20)
    ended = site.check()
    assert ended.code == 0, ended.err
    site.assert_true()
    assert set(site.found("compare_missing")) <= {b"data/1/lost.root"}
    assert site.found("empty") == []


@pytest.mark.fault(
    "WebDAV",
    "the only door goes away in the middle for 5 seconds, as by a restart",
    "it is asked again, and all is listed",
)
def test_a_door_that_comes_back(alone: FaultySite, proxy: FaultyHTTPProxy) -> None:
    _filled(alone, _WIDE, Retries=3, Connections=1)

    def away() -> None:
        proxy.shut()
        time.sleep(5)
        proxy.open()

    _assert_all_found(alone, alone.check_while(away))


@pytest.mark.fault(
    "WebDAV",
    "kill -9 in the middle of the listing",
    "the next run goes on from what was listed, and finds the same",
)
def test_a_run_that_is_killed(served: ServedDirectory, make_site: Make) -> None:
    site = make_site([served.path], served.lfn.decode(), [served.url])
    _filled(site, _WIDE, Timeout=20, Connections=1)
    process = site.start_check()
    eventually("begun to list", lambda: site.listed > 5, process)
    process.kill()
    process.communicate()
    ended = site.check()
    assert ended.json["resumed"] > 3
    _assert_all_found(site, ended)


@pytest.mark.fault(
    "WebDAV", "one of two doors accepts and never answers", "the other one does the work; nothing is unlisted"
)
def test_a_silent_door_of_two(apache_directory: ServedDirectory, proxy: FaultyHTTPProxy, make_site: Make) -> None:
    site = make_site([apache_directory.path], apache_directory.lfn.decode(), [proxy.url, apache_directory.url])
    _filled(site, Layout="shared")
    proxy.fault = Fault(stall=True)
    _assert_all_found(site, site.check())
    proxy.fault = FORWARD


@pytest.mark.fault(
    "WebDAV",
    "two doors that show different stores; the same with Layout set to clustered",
    "the site is refused with what differs; as a cluster all is found, and what one of them lacks is not missing",
)
def test_doors_with_a_part_each(make_site: Make) -> None:
    with ApacheServer() as one, XRootDOverHTTP() as other:
        site = make_site([one.store, other.store], "/store", [one.url, other.url])
        for number in range(6):
            site.put(f"data/{number}/kept.root", store=number % 2)
        site.know("data/1/lost.root")
        site.put("data/2/left.root", known=False)
        site.prepare(Timeout=20)
        refused = site.check()
        assert refused.code == 4
        assert "its doors do not show the same store" in refused.message
        site.prepare(Timeout=20, Layout="clustered")
        ended = site.check()
        assert ended.code == 0, ended.err
        site.assert_found(["data/1/lost.root"], ["data/2/left.root"])


@pytest.mark.fault(
    "WebDAV",
    "one data server of a cluster, or its redirector, is the only door",
    "no file is called missing, and the log says what to set; through a redirector the run fails, and says what to do",
)
def test_a_part_of_a_cluster(make_site: Make) -> None:
    with XRootDCluster(http=True) as cluster:
        stores = [cluster.store(number) for number in (0, 1)]
        site = make_site(stores, "/store", [f"dav://{cluster.server(0)}"])
        for number in range(6):
            site.put(f"data/{number}/kept.root", store=number % 2)
        site.know("data/1/lost.root")
        site.put("data/2/left.root", known=False)
        site.prepare(Timeout=20)
        ended = site.check()
        assert ended.code == 0, ended.err
        assert "no file is called missing: its only door" in ended.err
        site.assert_found([], ["data/2/left.root"])
        site.doors = [f"dav://{cluster.redirector}"]
        site.prepare(Timeout=5, Retries=0)
        ended = site.check("--fresh")
        assert ended.code == 4
        assert "is a redirector" in ended.message


@pytest.mark.fault(
    "WebDAV",
    "a token that is refused, has ended or is not there, at a door over TLS",
    "the run fails with one line: the door, and what is wrong with the token; with a good one all is found",
)
def test_tokens(make_site: Make) -> None:
    with SecuredServer("http") as secured:
        site = _filled(make_site([secured.server.store], "/store", [secured.url]), Timeout=20)
        site.env |= secured.env
        _assert_all_found(site, site.check(env={"BEARER_TOKEN": secured.issuer.token()}))
        for token, words in (
            (secured.issuer.token(-100), "BEARER_TOKEN: its token ended at"),
            (secured.issuer.token(scope="storage.read:/other"), "permission denied"),
            ("", "no token, key or proxy was found"),
        ):
            ended = site.check("--fresh", env={"BEARER_TOKEN": token})
            assert ended.code == 4
            assert words in ended.message
        ended = site.check("--fresh", env={"BEARER_TOKEN": secured.issuer.token(), "X509_CERT_DIR": str(site.home)})
        assert ended.code == 4
        assert "not trusted" in ended.message
