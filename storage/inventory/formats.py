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
