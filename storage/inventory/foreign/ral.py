"""``path size days``, as dumps of RAL are: the time is in days since the epoch.

A day becomes its last second, so that a file is never taken for older than it is. Where the configuration says that a
file is of this format, a line that is written otherwise has its path up to the first blank.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from engine.columns import UNKNOWN_MTIME, Int64s
from storage.inventory.entries import Rows, read_size, read_time, sizes_of, split_lines
from storage.inventory.foreign.entry import Entry, HalfRead, Holds
from storage.inventory.foreign.lines import LineReader
from storage.inventory.formats import Format
from storage.inventory.patterns import TIMED

DAY = 86400
MOST_DAYS = 200_000
"""Days up to the year 2517; as seconds it is the third day of 1970."""

_FEWEST_DAYS = 8_000
"""Days of the year 1991; below, a number is as likely something else."""


def end_of_day(days: Int64s) -> Int64s:
    """Turn days since the epoch into the last second of each; what is too large for a day is in seconds already."""
    return np.where((days >= 0) & (days < MOST_DAYS), (days + 1) * DAY - 1, days)


@dataclass(frozen=True, slots=True)
class RalForm:
    """``to_blank``: the path may end at the first blank, as somebody said who knows the file."""

    to_blank: bool = False
    format = Format.RAL
    apart = True
    header = 0
    holds = Holds(times=True)

    @classmethod
    def of(cls, sample: Sequence[bytes]) -> RalForm | None:
        """Recognise it by most of the first lines: their times are days, and none of them can be seconds."""
        times = [match[3] for match in map(TIMED.fullmatch, sample) if match is not None]
        days = [time for time in times if time.isdigit() and _FEWEST_DAYS <= int(time) < MOST_DAYS]
        return cls() if len(days) * 2 > len(sample) and len(days) == len(times) else None

    def reader(self, root: bytes | None, checksums: bool) -> RalReader:
        """Make a reader."""
        del checksums
        return RalReader(self.holds, root, self.to_blank)


class RalReader(LineReader):
    """Reads such lines."""

    def __init__(self, holds: Holds, root: bytes | None, to_blank: bool) -> None:
        super().__init__(holds, root)
        self._to_blank = to_blank

    def quick(self, data: bytes) -> Rows | None:
        """Read all lines at once, or give None."""
        columns = split_lines(data, 2)
        if columns is None:
            return None
        directories, names, sizes, days = columns
        read, days_read = sizes_of(sizes), sizes_of(days)
        if read is None or days_read is None:
            return None
        return Rows(directories, names, read, end_of_day(days_read))

    def careful(self, line: bytes) -> Entry | None:
        """Read one line."""
        match = TIMED.fullmatch(line)
        if match is None:
            if self._to_blank:
                return self._up_to_blank(line)
            raise ValueError('"path size days"')
        located = self.locate(match[1])
        try:
            return Entry(*located, read_size(match[2]), _seconds(match[3]))
        except ValueError as error:
            raise HalfRead(str(error), Entry(*located)) from error

    def _up_to_blank(self, line: bytes) -> Entry:
        path, *fields = line.split(maxsplit=3)
        located = self.locate(path)
        size = read_size(fields[0]) if fields and fields[0].isdigit() else Entry(*located).size
        is_timed = len(fields) > 1 and fields[1].isdigit()
        return Entry(*located, size, _seconds(fields[1]) if is_timed else UNKNOWN_MTIME)


def _seconds(text: bytes) -> int:
    return int(end_of_day(np.array([read_time(text)], dtype=np.int64))[0])
