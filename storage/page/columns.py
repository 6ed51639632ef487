"""The columns of the main table, and what they and their colours mean; the page that explains them is made of this."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Column:
    """A column: ``key`` names it in the page's address, ``meaning`` explains it, ``colours`` says what colours it."""

    key: str
    label: str
    meaning: str
    colours: str = ""
    is_text: bool = False


COLUMNS: tuple[Column, ...] = (
    Column(
        "updated",
        "Last Update",
        "When the last results of the site were entered, in UTC. Leads to the site's own page with its history.",
        "Green: within 24 hours.",
    ),
    Column(
        "site",
        "Site Name",
        "The site, and below it its state and whether results are acted on. Leads to the log of the last run.",
        "Blue: queued. Green: running. Yellow: running for more than 24 hours. Gray: halted, disabled or not ready. "
        "Red: the last listing had no files.",
        is_text=True,
    ),
    Column(
        "runs",
        "Last Ten Runs",
        "The oldest left, the newest right. A bar is as high as the run found missing files and orphans, each step a "
        "factor of ten; filled when all was seen, hollow when something could not be listed. A cross is a run that "
        "failed or died, two strokes one that was halted, a dot one that goes on. Cleanings of the unmerged area are "
        "left out. Leads to the site's own page.",
    ),
    Column("time", "Time [min]", "How long the last run took."),
    Column(
        "files",
        "Number Files",
        "Files that the store was seen to hold. Leads to the storage used by top directory.",
        "Red: none.",
    ),
    Column("nodes", "Number Nodes", "Directories that were listed."),
    Column(
        "unlisted",
        "Unlisted (error)",
        "Directories without a complete listing; in brackets those where an error was the reason and not the "
        "configuration. What is in them is unknown, and neither missing nor orphan.",
        "Red: the number in brackets is not 0.",
    ),
    Column("empty", "Empty Nodes", "Directories with no file in or below them, old enough to be removed."),
    Column(
        "missing",
        "Num Missing",
        "Files that the inventory has and the store has not. With a link to the same by block, and what changed since "
        "the run before.",
        "Red: more than MaxMissing; then nothing is acted on.",
    ),
    Column(
        "nosource",
        "No Disk (no tape)",
        "Missing files without another copy on disk; in brackets those that are not on tape either and are lost.",
    ),
    Column("missing_size", "Size [TB]", "The size of the missing files, as the inventory has it."),
    Column(
        "orphan",
        "Num Orphan",
        "Files that the store has and the inventory has not, and what changed since the run before.",
        "Red: more than MaxOrphan; then nothing is acted on.",
    ),
    Column("orphan_size", "Size [TB]", "The size of the orphans, as the store has it."),
    Column(
        "unmerged",
        "Unmerged Cleaned (logs)",
        "Unmerged files that may be deleted; in brackets how many of them are logs.",
    ),
)
