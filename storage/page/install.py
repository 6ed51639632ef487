"""Puts the page into a web directory: what its pages load, what explains it, and a table without sites."""

from __future__ import annotations

import os
from pathlib import Path

from storage.atomic import AtomicFile, naming
from storage.page import render
from storage.page.live import LIVE, put_list_right
from storage.page.table import SITES

INDEX, COLUMNS, ASSETS = "index.html", "columns.html", "assets"
"""The page's own files in the web directory, beside the pages of sites."""

OWN = '<meta name="generator" content="dynamo-consistency">'
"""What the head of each page has, so that pages of other programs are told apart."""

_HEAD = 2048

_LISTS = (".txt", ".jsonl")
"""How lists of runs end; none of the page's own files does."""


def install_page(web_dir: Path) -> None:
    """Make the directory if need be and put the page there; a table that is there already, with its sites, stays.

    Raises:
        ReportError: it cannot be made or written.
    """
    install_fixed(web_dir)
    index = web_dir / INDEX
    if not is_own(index):
        write_page(index, render.index_page((), render.Frame(0.0)))


def install_fixed(web_dir: Path) -> None:
    """Put there what does not depend on any site, where it is not there yet or of another version.

    Raises:
        ReportError: the directory cannot be made or written.
    """
    directories = (web_dir, web_dir / ASSETS, web_dir / SITES, web_dir / LIVE)
    with naming(web_dir):
        for directory in directories:
            directory.mkdir(parents=True, exist_ok=True)
    for directory in directories:
        clear_up(directory)
    put_list_right(web_dir / LIVE)
    for name in render.ASSETS:
        write_page(web_dir / ASSETS / name, (render.HERE / name).read_text(encoding="utf-8"))


def write_page(path: Path, text: str) -> bool:
    """Write a file, whole or not at all, unless it is there with this text; gives whether it was written.

    Raises:
        ReportError: it cannot be written.
    """
    data = text.encode("utf-8", "backslashreplace")
    with naming(path):
        if path.is_file() and not path.is_symlink() and path.read_bytes() == data:
            return False
    file = AtomicFile(path)
    try:
        file.write(text)
        file.publish()
    finally:
        file.discard()
    return True


def clear_up(directory: Path) -> None:
    """Remove what builds that were killed have left in a directory; lists of runs stay, for those to go on with.

    Raises:
        ReportError: the directory cannot be read.
    """
    with naming(directory):
        names = [name for name in os.listdir(directory) if name.startswith(".") and name.endswith(".tmp")]
    for name in names:
        written = directory / name[1:].rsplit(".", 2)[0]
        if written.suffix not in _LISTS:
            AtomicFile.clear_up(written)


def head_of(path: Path) -> str:
    """Give the beginning of a page that is there, nothing when it cannot be read."""
    try:
        with path.open("rb") as file:
            return file.read(_HEAD).decode("utf-8", "replace")
    except OSError:
        return ""


def is_own(path: Path) -> bool:
    """Whether a page is of this program."""
    return OWN in head_of(path)
