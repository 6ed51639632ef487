"""The last complete listing of a site, kept for an incremental one to take directories over from.

It stands in the directory of the site's runs under a second name, by a hard link: it takes no room until the next
listing replaces the first name. It counts while it is the very file that was kept, of the same store, listed the same
way.
"""

from __future__ import annotations

import json
import logging
import os
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from storage.atomic import ReportError, write_json
from storage.runs.directory import RunDirError, file_identity

_log = logging.getLogger(__name__)

SNAPSHOT = "earlier.snapshot"


@dataclass(frozen=True, slots=True)
class _Kept:
    """What is noted of it: how it was listed, which file it is, how many runs ago the last full listing was, and why
    the store's times are not believed any more, empty while they are.
    """

    mark: Any = None
    file: list[int] | None = None
    taking_over: int = 0
    distrust: str = ""


@dataclass(slots=True)
class EarlierListingFile:
    """The listing that is kept in the ``directory`` of a site's runs. Whoever uses it holds the lock of that."""

    directory: Path
    _kept: _Kept = field(init=False)

    def __post_init__(self) -> None:
        self._kept = self._read()

    @property
    def snapshot(self) -> Path:
        """Where it is."""
        return self.directory / SNAPSHOT

    @property
    def _note(self) -> Path:
        return self.directory / "earlier.json"

    @property
    def distrust(self) -> str:
        """Why nothing is taken over any more; empty while there is no reason."""
        return self._kept.distrust

    def why_not(self, mark: Any, every: int) -> str:
        """Say why nothing can be taken over from it for a listing of this ``mark``, in JSON's terms; empty if it can.

        Every so many runs a listing is a full one.
        """
        kept = self._kept
        if kept.distrust:
            return kept.distrust
        try:
            is_kept = kept.file is not None and file_identity(self.snapshot) == kept.file
        except OSError as error:
            return f"the last complete listing cannot be read: {self.snapshot}: {error.strerror}"
        if not is_kept:
            return "no complete listing is kept"
        if kept.mark != json.loads(json.dumps(mark)):
            return "the last complete listing is of another store, or was made another way"
        if kept.taking_over + 1 >= every:
            return f"every {every} runs a listing is a full one"
        return ""

    def keep(self, listing: Path, mark: Any, took_over: bool) -> None:
        """Keep a finished listing, in the place of the one that is kept; what goes wrong is said in the log.

        ``took_over``: it is not a full one.
        """
        spare = self.snapshot.with_name(f"{SNAPSHOT}.new")
        try:
            spare.unlink(missing_ok=True)
            os.link(listing, spare)
            os.replace(spare, self.snapshot)
            # Where both are names of the same file, nothing was replaced.
            spare.unlink(missing_ok=True)
            file = file_identity(self.snapshot)
        except OSError as error:
            _log.warning("the listing is not kept for an incremental one: %s: %s", self.snapshot, error.strerror)
            self.drop()
            return
        taking_over = self._kept.taking_over + 1 if took_over else 0
        self._write(_Kept(mark, file, taking_over, self._kept.distrust))

    def drop(self) -> None:
        """Keep no listing: the next one is a full one. Whether the store is believed stays as it is."""
        self._write(_Kept(distrust=self._kept.distrust))
        with suppress(OSError):
            self.snapshot.unlink(missing_ok=True)

    def distrust_for(self, why: str) -> None:
        """Take nothing over any more, until `forget`.

        Raises:
            RunDirError: it cannot be noted.
        """
        try:
            write_json(self._note, asdict(_Kept(distrust=why)))
        except ReportError as error:
            raise RunDirError(str(error)) from error
        self._kept = _Kept(distrust=why)

    def forget(self) -> None:
        """Forget all of it, also that the store was not believed."""
        self._kept = _Kept()
        for path in (self._note, self.snapshot):
            with suppress(OSError):
                if path.exists():
                    path.unlink()

    def _read(self) -> _Kept:
        try:
            return _kept(json.loads(self._note.read_text()))
        except FileNotFoundError:
            return _Kept()
        except (OSError, ValueError, TypeError, KeyError) as error:
            # Nobody knows whether the store is believed.
            return _Kept(distrust=f"what is noted of the last listing cannot be read: {self._note}: {error}")

    def _write(self, kept: _Kept) -> None:
        try:
            write_json(self._note, asdict(kept))
        except ReportError as error:
            _log.warning("%s", error)
        else:
            self._kept = kept


def _kept(found: Any) -> _Kept:
    file, taking_over, distrust = found["file"], found["taking_over"], found["distrust"]
    if (
        not (file is None or isinstance(file, list))
        or not isinstance(taking_over, int)
        or not isinstance(distrust, str)
    ):
        raise ValueError("a value of another type")
    return _Kept(found["mark"], file, taking_over, distrust)
