"""The runs that the front end makes, against a real server."""

from __future__ import annotations

import json
import signal
import time
from collections.abc import Callable, Iterator

import pytest

from dynamo_consistency import config, datatypes, filters, history, main, messaging, parser, picker, signaling, summary
from storage.backends.queue import RequestQueue, queue_path
from storage.config.files import ConfigError
from storage.history import HistoryDatabase, RunStatus
from tests.dynamo_consistency.sites import OLD, Site

MISSING = "mc/a/lost.root"
ORPHAN = "data/b/left over.root"


@pytest.fixture(autouse=True)
def options(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr(parser, "OPTS", None)
    return


def given(monkeypatch: pytest.MonkeyPatch, *arguments: str) -> None:
    """Have a command line parsed."""
    options, _ = parser.get_parser(__name__, "dynamo-consistency")[0].parse_args(list(arguments))
    monkeypatch.setattr(parser, "OPTS", options)


def requests(site: Site, table: str) -> list[str]:
    path = queue_path(site.home / "var")
    rows = RequestQueue(path).requests(table, site.name) if path.exists() else []  # type: ignore[arg-type]
    return [row.lfn.decode().removeprefix(f"{site.root}/") for row in rows]


def test_compare_with_inventory(site: Site) -> None:
    before = time.time()
    start, report = main.compare_with_inventory(site.name)
    assert before <= start <= time.time()
    assert report == {
        "numfiles": 5,
        "numnodes": 4,
        "numempty": 0,
        "nummissing": 1,
        "missingsize": 100,
        "numorphan": 1,
        "orphansize": 7,
        "numnosource": 0,
        "numunrecoverable": 0,
        "numunlisted": 1,
        "numbadunlisted": 1,
    }
    assert history.missing_files(site.name) == site.lfns(MISSING)
    assert (site.home / f"www/{site.name}_compare_missing.txt").read_text() == f"{site.root}/{MISSING}\n"


def test_compare_with_inventory_gives_what_update_summary_takes(site: Site) -> None:
    summary.webdir()
    start, report = main.compare_with_inventory(site.name)
    assert summary.update_summary(site=site.name, duration=time.time() - start, **report)


def test_compare_with_inventory_takes_the_place_of_a_run_that_was_started(site: Site) -> None:
    config.SITE = site.name
    for number in (1, 2):
        history.start_run()
        main.compare_with_inventory(site.name)
        history.finish_run()
        with HistoryDatabase(site.home / "var/db/consistency.db") as database:
            assert [run.status for run in database.runs(site.name)] == [RunStatus.INCOMPLETE] * number
    with pytest.raises(history.HistoryError, match="no run has been started"):
        history.finish_run()
    assert history.missing_files(site.name) == site.lfns(MISSING)


@pytest.mark.parametrize("run", [main.compare_with_inventory, main.extras])
def test_what_the_summary_is_not_told_of_is_killed_as_well(site: Site, run: Callable[[str], object]) -> None:
    site.hold("unmerged/Era/old.root")
    (site.home / "protected.json").write_text(json.dumps({"result": [f"{site.root}/unmerged/kept"]}))
    config.LOCATION = site.configure(Unmerged=True, ListDeletable={"PROTECTED_LIST": str(site.home / "protected.json")})
    picker.pick_site()
    summary.set_reporting(site.name, summary.ACT)
    signaling.halt(signal.SIGTERM, None)
    with pytest.raises(messaging.Killed, match="set to halt"):
        run(site.name)
    summary.set_status(site.name, summary.READY)
    run(site.name)


def test_compare_with_inventory_keeps_what_a_run_that_was_started_had_reported(site: Site) -> None:
    config.SITE = site.name
    history.start_run()
    history.report_unmerged([("/store/unmerged/x", {"size": 1, "mtime": OLD})])
    main.compare_with_inventory(site.name)
    history.finish_run()
    assert history.unmerged_files(site.name) == ["/store/unmerged/x"]
    assert history.missing_files(site.name) == site.lfns(MISSING)


def test_ignored_directories_are_unlisted_and_not_bad(site: Site) -> None:
    config.LOCATION = site.configure(IgnoreDirectories=["/mc/a"])
    _, report = main.compare_with_inventory(site.name)
    assert (report["numunlisted"], report["numbadunlisted"], report["nummissing"]) == (2, 1, 0)


def test_main(site: Site) -> None:
    assert picker.pick_site() == config.SITE == site.name
    main.main(site.name)
    summary.unlock_site(site.name)
    assert summary.get_status(site.name) == summary.READY
    connection = summary.LockedConn()
    assert connection.curs.execute("SELECT site, files, missing, orphan, unlisted FROM stats").fetchall() == [
        (site.name, 5, 1, 1, 1)
    ]
    connection.close()
    assert history.missing_files(site.name) == site.lfns(MISSING)
    assert history.orphan_files(site.name) == site.lfns(ORPHAN)
    assert site.name in (site.home / "www/index.html").read_text()


@pytest.mark.parametrize("key", ["ListAge", "InventoryAge"])
def test_main_updates_the_summary_in_normal_runs_only(site: Site, monkeypatch: pytest.MonkeyPatch, key: str) -> None:
    monkeypatch.setenv(key, "5")
    main.main(site.name)
    assert not (site.home / "www/stats.db").exists()
    given(monkeypatch, "--update-summary")
    main.main(site.name)
    assert (site.home / "www/stats.db").exists()


def test_main_acts_at_a_site_that_is_set_to_act(site: Site) -> None:
    main.main(site.name)
    assert requests(site, "deletions") == []
    summary.set_reporting(site.name, summary.ACT)
    main.main(site.name)
    assert requests(site, "deletions") == [ORPHAN]
    assert requests(site, "transfers") == [MISSING]


def test_main_without_orphans(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    given(monkeypatch, "--no-orphan")
    main.main(site.name)
    assert history.orphan_files(site.name) == []
    assert history.missing_files(site.name) == site.lfns(MISSING)


def test_main_is_killed_when_the_site_is_stopped(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    main.main(site.name)
    monkeypatch.setattr("actors.site_run._LOOK_EVERY", 0.0)
    monkeypatch.setattr("storage.sites.watch.SiteWatch._look", lambda _watch: False)
    with pytest.raises(messaging.Killed):
        main.main(site.name)
    assert summary.get_status(site.name) == summary.READY


def test_main_is_killed_when_it_was_told_to_halt_before_it_began(site: Site) -> None:
    picker.pick_site()
    signaling.halt(signal.SIGTERM, None)
    with pytest.raises(messaging.Killed, match="before its run began"):
        main.main(site.name)
    summary.unlock_site(site.name)
    assert summary.get_status(site.name) == summary.HALT
    # That was heard: the next run goes on.
    main.main(site.name)
    assert summary.get_status(site.name) == summary.READY
    assert history.missing_files(site.name) == site.lfns(MISSING)


def test_main_cleans_nothing_without_being_asked(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    config.LOCATION = site.configure(Unmerged=True)
    main.main(site.name)
    assert history.unmerged_files(site.name) == []
    given(monkeypatch, "--unmerged")
    with pytest.raises(ConfigError, match="PROTECTED_LIST"):
        main.main(site.name)


def test_main_takes_the_site_from_nobody(site: Site) -> None:
    main.main(site.name)
    summary.set_status(site.name, summary.DISABLED)
    with pytest.raises(summary.BadAction):
        main.main(site.name)
    assert summary.get_status(site.name) == summary.DISABLED


def test_extras(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("unmerged/Era/old.root", "unmerged/logs/job.tar.gz", "unmerged/kept/new.root"):
        site.hold(name, mtime=OLD)
    protected = site.home / "protected.json"
    protected.write_text(json.dumps({"result": [f"{site.root}/unmerged/kept"]}))
    config.LOCATION = site.configure(Unmerged=True, ListDeletable={"PROTECTED_LIST": str(protected)})
    main.main(site.name)
    assert main.extras(site.name) == {}, "nothing is set to act"
    summary.set_reporting(site.name, summary.ACT)
    assert main.extras(site.name) == {"unmerged": (2, 1)}
    assert history.unmerged_files(site.name) == site.lfns("unmerged/Era/old.root", "unmerged/logs/job.tar.gz")
    assert "unmerged/Era/old.root" in requests(site, "deletions")
    given(monkeypatch)
    assert main.extras(site.name) == {}, "the command line does not ask for it"
    given(monkeypatch, "--unmerged")
    assert main.extras(site.name) == {"unmerged": (2, 1)}


def test_extras_of_a_site_that_is_not_cleaned(site: Site) -> None:
    main.main(site.name)
    summary.set_reporting(site.name, summary.ACT)
    assert main.extras(site.name) == {}


def test_make_filters(site: Site) -> None:
    config.LOCATION = site.configure(IgnoreDirectories=["/SAM"])
    orphan, missing, ignored = main.make_filters(site.name)
    assert isinstance(ignored, filters.PatternFilter)
    for made in (orphan, missing, ignored):
        assert made.protected(f"{site.root}/mc/SAM/x")
        assert not made.protected(f"{site.root}/mc/Era/Sample/AOD/v1/0000/x.root")


def test_make_filters_keeps_all_orphans_where_the_configuration_says_so(site: Site) -> None:
    config.LOCATION = site.configure(DeleteOrphans=False)
    assert isinstance(main.make_filters(site.name)[0], filters.FullFilter)


def test_make_filters_keeps_all_orphans_where_an_option_says_so(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    assert isinstance(main.make_filters(site.name)[0], filters.Filters)
    given(monkeypatch, "--no-orphan")
    assert isinstance(main.make_filters(site.name)[0], filters.FullFilter)


def test_make_filters_takes_names_for_those_of_cms_where_an_option_says_so(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert site.root.count("/") == 2
    kept, other = f"{site.root}/Era/Kept/AOD/v1/x.root", f"{site.root}/Era/Other/AOD/v1/x.root"
    (site.home / "kept.csv").write_text(f"lfn,size,dataset,protected\n{kept},1,/Kept/Era-v1/AOD,1\n")
    config.LOCATION = site.configure(Inventory=str(site.home / "kept.csv"), DirectoryList=[])
    orphan = main.make_filters(site.name)[0]
    assert (orphan.protected(kept), orphan.protected(other)) == (True, True), "nobody can tell which is in the dataset"
    given(monkeypatch, "--cms")
    orphan = main.make_filters(site.name)[0]
    assert (orphan.protected(kept), orphan.protected(other)) == (True, False)


def test_report_files(site: Site) -> None:
    config.SITE = site.name
    inv, remote = datatypes.DirectoryInfo("/store"), datatypes.DirectoryInfo("/store")
    inv.add_file_list([("/store/mc/a", 3, OLD), ("/store/mc/b", 4)])
    remote.add_file_list([("/store/mc/new", 5, OLD)])
    history.start_run()
    main.report_files(inv, remote, ["/store/mc/a", "/store/mc/b"], ["/store/mc/new"])
    assert history.missing_files(site.name) == ["/store/mc/a", "/store/mc/b"]
    assert history.orphan_files(site.name) == ["/store/mc/new"]
    history.finish_run()
    connection = history.LockedConn()
    assert connection.curs.execute("SELECT name, size, mtime FROM invalid ORDER BY name").fetchall() == [
        ("a", 3, OLD),
        ("b", 4, 0),
    ]
    connection.close()


def test_report_files_with_those_of_the_previous_run(site: Site) -> None:
    config.SITE = site.name
    tree = datatypes.DirectoryInfo("/store")
    tree.add_file_list([("/store/mc/a", 3, OLD), ("/store/mc/b", 4, OLD)])
    for previous, reported in (({"/store/mc/b", "/store/mc/c"}, ["/store/mc/b"]), (set[str](), [])):
        history.start_run()
        main.report_files(tree, tree, ["/store/mc/a", "/store/mc/b"], [], previous)
        history.finish_run()
        assert history.missing_files(site.name) == reported
