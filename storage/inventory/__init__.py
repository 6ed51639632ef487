"""Readers of file inventories: lists of what should be at a site.

Four formats are read, plain or compressed with gzip, bz2, xz or zstd: paths alone, ``path size [mtime]``, and CSV and
TSV with a header; and tables of SQLite databases. All are recognised by content, never by name.

Errors::

    InventoryError           an inventory that cannot be used; one line that names the file
    ├── InventoryUnreadable  the file cannot be opened, unpacked or read to its end
    └── InventoryMalformed   a line is not what it should be; the message has its number
"""

from __future__ import annotations

from storage.inventory.errors import InventoryError, InventoryMalformed, InventoryUnreadable
from storage.inventory.reader import InventoryCounts, Reading, open_inventory, read_inventory

__all__ = [
    "InventoryCounts",
    "InventoryError",
    "InventoryMalformed",
    "InventoryUnreadable",
    "Reading",
    "open_inventory",
    "read_inventory",
]
