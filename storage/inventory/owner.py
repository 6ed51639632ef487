"""Whose rows of an inventory count, where a column says whose each is."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import islice

from engine import paths
from storage.inventory.entries import Rows
from storage.inventory.errors import no_rows_of

_NAMED = 10


@dataclass(frozen=True, slots=True)
class Owner:
    """A site, and its RSE in a Rucio where that has another name; with neither, all rows count."""

    site: bytes = b""
    rse: bytes = b""

    def named(self, rses: bool) -> bytes:
        """Give its name in a column, be that of sites or of ``rses``."""
        return self.rse or self.site if rses else self.site


class SiteRows:
    """Keeps the rows of one site, where there is a column that says whose they are; all of them when it is empty.

    The site goes by the name that it has in the column, which may be one of ``rses``. ``found`` tells whether there
    were any, and ``others`` names sites whose rows were left out.
    """

    def __init__(self, site: bytes, rses: bool = False) -> None:
        self._site = site
        self._rses = rses
        self.found = False
        self.others = set[str]()

    def of(self, rows: Rows) -> Rows | None:
        """Keep what is the site's of some rows; None when nothing is."""
        if self._site and rows.sites is not None:
            mask = [name.strip() == self._site for name in rows.sites]
            if not any(mask):
                self.others.update(paths.escape(name.strip()) for name in islice(dict.fromkeys(rows.sites), _NAMED))
                return None
            rows = rows if all(mask) else rows.select(mask)
        self.found = True
        return rows

    def check(self, source: str) -> None:
        """Refuse an inventory that has other sites only, when it was read to its end."""
        if self.others and not self.found:
            raise no_rows_of(source, self._site, sorted(self.others)[:_NAMED], self._rses)
