"""The formats of inventories and dumps, by the names that the configuration and messages use."""

from __future__ import annotations

from enum import StrEnum


class Format(StrEnum):
    """The formats that are read."""

    PATHS = "paths"
    SIZES = "sizes"
    CSV = "csv"
    TSV = "tsv"
    PIPE = "pipe"
    RAL = "ral"
    RUCIO = "rucio"
    DCACHE = "dcache"
    SYNCAT = "syncat"
    EOS = "eos"
    XRDFS = "xrdfs"
    RCLONE = "rclone"
    PARQUET = "parquet"
    AVRO = "avro"


OWN = frozenset((Format.PATHS, Format.SIZES, Format.CSV, Format.TSV))
"""Plain lists, which anybody writes for this program; the others are dumps of other programs."""

SQLITE = "sqlite"
"""What a table of a database is called among the formats."""

LINES_OF_FIND = frozenset((Format.PATHS, Format.SIZES, Format.PIPE, Format.RAL))
"""What programs print that walk through directories, and may print these as well, without saying which they are."""

UNTYPED = frozenset((*LINES_OF_FIND, Format.CSV, Format.TSV, Format.PARQUET, Format.AVRO, SQLITE))
"""All that do not say what is a directory."""
