"""The sites that the browser is shown: one in every state, and names that want to be more than names."""

from __future__ import annotations

from engine.site_states import Reporting, SiteStatus
from engine.states import Reason
from storage.history import RunStatus
from tests.storage.page.planting import DAY, HOUR, Planted

SCRIPT = "<script>alert(1)</script>"
IMAGE = '"><img src=x onerror=alert(1)>'
HOSTILE = (SCRIPT, IMAGE)

GOOD = "T1_DE_Good"
MANY = "T2_US_Many"
NEW = "T2_FR_New"

STATES: dict[str, tuple[SiteStatus, Reporting, bool, float | None]] = {
    GOOD: (SiteStatus.READY, Reporting.ACT, True, None),
    MANY: (SiteStatus.READY, Reporting.ACT, True, None),
    "T1_UK_Running": (SiteStatus.RUNNING, Reporting.ACT, True, HOUR),
    "T2_IT_Long": (SiteStatus.RUNNING, Reporting.ACT, True, 30 * HOUR),
    "T2_CH_Queued": (SiteStatus.LOCKED, Reporting.DRY, True, None),
    "T2_ES_Disabled": (SiteStatus.DISABLED, Reporting.DRY, True, None),
    "T2_PL_Halted": (SiteStatus.HALT, Reporting.DRY, True, None),
    "T3_KR_NotReady": (SiteStatus.READY, Reporting.DRY, False, None),
    "T3_US_Empty": (SiteStatus.READY, Reporting.DRY, True, None),
    "T3_BR_Old": (SiteStatus.READY, Reporting.DRY, True, None),
    NEW: (SiteStatus.READY, Reporting.ACT, True, None),
    SCRIPT: (SiteStatus.READY, Reporting.DRY, True, None),
    IMAGE: (SiteStatus.READY, Reporting.ACT, True, None),
}
"""Status, reporting, whether the backend calls it ready, and how long ago the run began that goes on."""


def plant(planted: Planted, now: float) -> None:
    """Enter the sites, with runs, results and lists."""
    for number, (site, (status, reporting, ready, since)) in enumerate(STATES.items()):
        planted.site(site, status, reporting, ready, None if since is None else now - since)
        if site == NEW:
            continue
        missing = [b"/store/mc/" + name.encode().replace(b"/", b"_") for name in (*HOSTILE, f"file{number}.root")]
        age = 5 * DAY if site == "T3_BR_Old" else HOUR * (1 + number)
        planted.run(site, now - age - 3 * DAY, missing=missing[:1], orphans=missing[:2])
        planted.run(site, now - age - 2 * DAY, RunStatus.FAILED, message=f"connection refused {SCRIPT}")
        unlisted = [(path, Reason.TIMEOUT, IMAGE) for path in missing]
        planted.run(site, now - age, RunStatus.INCOMPLETE, missing[1:], missing, unlisted)
        planted.result(
            site,
            now - age + 601,
            seconds=600.0 * (number + 1),
            files=0 if site == "T3_US_Empty" else 1000 * (number + 7),
            nodes=100 + number,
            empty=number,
            missing=5000 if site == MANY else number,
            missing_bytes=10**12 * number,
            no_source=number,
            orphan=9000 if site == MANY else 100 - number,
            orphan_bytes=10**10 * number,
            unlisted=number,
            unlisted_bad=number % 2,
            unmerged=number + 1,
            unmerged_logs=number,
        )
        planted.lists(site)
    planted.file("consistency_config.json", "{}\n")
