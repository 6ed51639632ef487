from __future__ import annotations

from pathlib import Path

import pytest

from actors.jobs import inventory_into_snapshot, open_runtime, store_job
from actors.messages import Killed
from actors.runtime import ActorLost, RuntimeUnavailable
from storage.config.loading import Config
from storage.doors.source import site_source
from storage.inventory import InventoryMalformed
from storage.snapshot import Snapshot, is_part


class Echo:
    def say(self, word: str) -> str:
        return word


def config(directory: Path, settings: str) -> Config:
    path = directory / "config.yaml"
    path.write_text(f"Sites: {{T2_A: {{Doors: [root://a, root://b], {settings}}}}}\n")
    return Config.load(path, {})


def test_a_runtime_ends_with_its_block() -> None:
    with open_runtime("threads") as runtime:
        echo = runtime.spawn("echo", Echo)
        assert (runtime.name, echo.ask("say", "yes").result(10)) == ("threads", "yes")
    with pytest.raises(ActorLost):
        echo.ask("say", "no").result(10)


def test_a_cluster_that_does_not_answer() -> None:
    with pytest.raises(RuntimeUnavailable, match="no Ray at nonsense"), open_runtime("ray", "nonsense"):
        pass


def test_a_listing_is_as_its_site_says_unless_asked_otherwise(tmp_path: Path) -> None:
    settings = "NumThreads: 3, InFlight: 7, Retries: 1, MaxDepth: 9, Timeout: 100, IgnoreDirectories: [/x]"
    site = config(tmp_path, settings).site("T2_A")
    job = store_job(site_source(site), site, tmp_path / "s")
    assert (job.label, job.listers, job.settings.in_flight) == ("T2_A", 3, 7)
    assert (job.plan.snapshot, job.plan.ignored, job.plan.header.tops) == (
        tmp_path / "s",
        (b"/x",),
        (b"/store/mc", b"/store/data"),
    )
    limits = job.plan.limits
    assert (limits.max_attempts, limits.max_depth, limits.lease_seconds) == (2, 9, 800.0)
    asked = store_job(site_source(site), site, tmp_path / "s", listers=5, in_flight=11)
    assert (asked.listers, asked.settings.in_flight) == (5, 11)


def test_an_inventory_becomes_a_snapshot(tmp_path: Path) -> None:
    site = config(tmp_path, "InventoryFormat: auto").site("T2_A")
    inventory = tmp_path / "inventory"
    inventory.write_text("/store/mc/a/f 5\n/store/other/f 6\n")
    counts = inventory_into_snapshot(inventory, tmp_path / "s", site, (b"/store/mc",))
    assert (counts.files, counts.skipped) == (1, 1)
    snapshot = Snapshot(tmp_path / "s")
    assert (snapshot.header.kind, snapshot.header.site, snapshot.header.tops) == ("inventory", "T2_A", (b"/store/mc",))
    assert snapshot.table.paths == [b"/", b"/store", b"/store/mc", b"/store/mc/a"]
    snapshot.close()


def test_the_list_of_a_store_with_directories_leaves_nothing_until_it_was_read_again(tmp_path: Path) -> None:
    site = config(tmp_path, "InventoryFormat: auto").site("T2_A")
    listed, snapshot = tmp_path / "listed", tmp_path / "s"
    listed.write_text("/store/mc 4096\n/store/mc/a 7\n/store/mc/empty 4096\n")
    asked = 0

    def heed() -> None:
        nonlocal asked
        asked += 1
        assert not snapshot.exists()

    inventory_into_snapshot(listed, snapshot, site, heed=heed, of_store=True)
    assert asked > 1
    assert snapshot.exists()


def test_one_that_cannot_be_read_or_was_given_up_leaves_nothing(tmp_path: Path) -> None:
    site = config(tmp_path, "InventoryFormat: sizes").site("T2_A")
    inventory = tmp_path / "inventory"
    inventory.write_text("/store/mc/a/f five\n")
    with pytest.raises(InventoryMalformed):
        inventory_into_snapshot(inventory, tmp_path / "s", site)

    def heed() -> None:
        raise Killed("that is enough")

    inventory.write_text("".join(f"/store/mc/{number}/f 5\n" for number in range(1000)))
    with pytest.raises(Killed):
        inventory_into_snapshot(inventory, tmp_path / "s", site, heed=heed)
    assert not (tmp_path / "s").exists()
    assert not any(is_part(path) for path in tmp_path.iterdir())


@pytest.mark.parametrize(
    ("settings", "listers", "in_flight", "connections"),
    [
        # Two doors, each with so many shells, but so many programs in all; and twice as many requests.
        ("AccessMethod: directx, NumThreads: 3, Connections: 4", 3, 16, 4),
        ("AccessMethod: SRM, NumThreads: 3, GFALThreads: 5", 1, 10, 5),
        ("UseLoadBalancer: true, Redirectors: r, NumThreads: 3, Connections: 4", 1, 512, 1),
    ],
)
def test_a_method_has_its_own_measure(
    tmp_path: Path, settings: str, listers: int, in_flight: int, connections: int
) -> None:
    site = config(tmp_path, settings).site("T2_A")
    job = store_job(site_source(site), site, tmp_path / "s")
    assert (job.listers, job.settings.in_flight, job.settings.spec.connections) == (listers, in_flight, connections)
    assert job.settings.batch == min(64, in_flight)
