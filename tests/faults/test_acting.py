"""Acting on what was found long before."""

from __future__ import annotations

import pytest

from storage.backends.queue import RequestQueue, queue_path
from tests.cli.loaded import run
from tests.faults.site import FaultySite
from tests.servers.fixtures import ServedDirectory


@pytest.mark.fault(
    "acting",
    "days after the check, at `invalidate`, a missing file is there again, and one may be in a closed directory",
    "both are left alone, and said; what is missing is asked for",
)
def test_invalidate_comes_late(site: FaultySite, xrootd_directory: ServedDirectory) -> None:
    site.put("data/kept.root")
    closed = site.put("data/closed/kept.root").parent
    for name in ("data/back.root", "data/lost.root", "data/closed/lost.root"):
        site.know(name)
    site.prepare()
    assert site.check().code == 0
    site.assert_found(["data/back.root", "data/closed/lost.root", "data/lost.root"])
    site.put("data/back.root")
    closed.chmod(0)
    try:
        assert run("set-status", site.name, "act", cwd=site.home).code == 0
        ended = run("invalidate", "--json", cwd=site.home)
    finally:
        closed.chmod(0o755)
    done = ended.json["sites"][0]
    assert (done["requested"], done["back"], done["uncertain"]) == (1, 1, 1)
    requests = RequestQueue(queue_path(site.home / "var")).requests("transfers")
    assert [request.lfn for request in requests] == [f"{site.lfn}/data/lost.root".encode()]
