"""Every entry of the reference is there, takes what it says, has a test named after it and a row on the page."""

from __future__ import annotations

import ast
import importlib
import inspect
import re
from pathlib import Path
from typing import Any

import pytest

import dynamo_consistency

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs/front-end.md").read_text()

REFERENCE = """
cache.cache_tree(config_age, location_suffix)
config.DIRECTORYLIST = None
config.LOADER
config.LOCATION = 'consistency_config.json'
config.SITE = None
config.config_dict()
config.vardir(directory)
create.ListingThread(number, recv, send, filler)
create.ListingThread.out_queue
create.ListingThread.put_first_dir(location, directory)
create.ListingThread.run(self)
create.create_dirinfo(location, first_dir, filler, object_params=None, callback=None)
datatypes.BadPath !
datatypes.DirectoryInfo(name='', directories=None, files=None)
datatypes.DirectoryInfo.add_file_list(self, file_infos)
datatypes.DirectoryInfo.add_files(self, files)
datatypes.DirectoryInfo.compare(self, other, path='', check=None)
datatypes.DirectoryInfo.count_nodes(self, empty=False)
datatypes.DirectoryInfo.display(self, path='')
datatypes.DirectoryInfo.displays(self, path='')
datatypes.DirectoryInfo.empty_nodes_list(self)
datatypes.DirectoryInfo.empty_nodes_set(self)
datatypes.DirectoryInfo.get_directory_size(self)
datatypes.DirectoryInfo.get_file(self, file_name)
datatypes.DirectoryInfo.get_files(self, min_age=0, path='')
datatypes.DirectoryInfo.get_node(self, path, make_new=True)
datatypes.DirectoryInfo.get_num_files(self, unlisted=False, place_new=False)
datatypes.DirectoryInfo.get_unlisted(self, path='')
datatypes.DirectoryInfo.listdir(self, *args, printing=True)
datatypes.DirectoryInfo.remove_node(self, path_name)
datatypes.DirectoryInfo.save(self, file_name)
datatypes.DirectoryInfo.setup_hash(self)
datatypes.NotEmpty !
datatypes.compare(inventory, listing, output_base=None, orphan_check=None, missing_check=None)
datatypes.get_info(file_name)
emptyremover.EmptyRemover(site, check=None)
emptyremover.EmptyRemover.fullname(self, name)
emptyremover.EmptyRemover.get_removed_count(self)
filters.Filters(*args)
filters.Filters.add(self, func)
filters.Filters.protected(self, file_name)
filters.FullFilter()
filters.FullFilter.protected(self, _)
filters.PatternFilter(patterns)
filters.PatternFilter.protected(self, file_name)
history.LockedConn()
history.LockedConn.close(self)
history.empty_directories(site, acting=False)
history.finish_run()
history.missing_files(site, acting=False)
history.orphan_files(site, acting=False)
history.report_empty(directories)
history.report_missing(missing)
history.report_orphan(orphan)
history.report_unmerged(unmerged)
history.start_run()
history.unmerged_files(site, acting=False)
inventorylister.filter_files(site, pathstrip)
inventorylister.listing(site, callback=None, **kwargs)
logsetup.change_logfile(*filenames)
logsetup.match_logs(source, targets)
main.compare_with_inventory(site)
main.extras(site)
main.main(site)
main.make_filters(site)
main.report_files(inv, remote, missing, orphans, prev_set=None)
messaging.Checker(site=None, timeout=15, locking=True)
messaging.Checker.isrunning(self)
messaging.Killed !
parser.get_parser(modname='__main__', prog='sphinx-build')
parser.pretty_exe(name)
picker.pick_site(pattern=None, lockname=None)
remotelister.listing(site, callback=None, **kwargs)
signaling.halt(signum, _)
summary.BadAction !
summary.LockedConn()
summary.LockedConn.close(self)
summary.NoMatchingSite !
summary.do_update()
summary.get_dst()
summary.get_sites(reporting=False)
summary.get_status(site)
summary.install_webpage()
summary.is_debugged(site)
summary.move_local_files(site)
summary.running(site)
summary.set_reporting(site, status)
summary.set_status(site, status)
summary.unlock_site(site)
summary.update_config()
summary.update_summary(site, duration, numfiles, numnodes, numempty, nummissing, missingsize, numorphan, orphansize, \
numnosource, numunrecoverable, numunlisted, numbadunlisted, numunmerged=0, numlogs=0)
summary.webdir()
"""
"""One entry a line: a function or class with its parameters, a value, or an exception, which is marked ``!``."""

ENTRIES = REFERENCE.strip().splitlines()
NAMES = [re.split(r"[(=! ]", entry)[0] for entry in ENTRIES]
MODULES = sorted({name.split(".")[0] for name in NAMES})


def find(name: str) -> Any:
    module, *steps = name.split(".")
    found: Any = importlib.import_module(f"dynamo_consistency.{module}")
    for step in steps:
        found = getattr(found, step)
    return found


def shown(thing: Any) -> str:
    """Give the parameters of something and their defaults, without annotations."""
    signature = inspect.signature(thing)
    parameters = [each.replace(annotation=inspect.Parameter.empty) for each in signature.parameters.values()]
    return str(signature.replace(parameters=parameters, return_annotation=inspect.Signature.empty))


@pytest.mark.parametrize("entry", ENTRIES, ids=NAMES)
def test_it_is_there_and_takes_what_the_reference_says(entry: str) -> None:
    name, mark, rest = re.fullmatch(r"([\w.]+)( !|\(| = |)(.*)", entry).groups()  # type: ignore[union-attr]
    found = find(name)
    if mark == "(":
        assert shown(found) == f"({rest}"
        assert (found.__doc__ or "").strip()
    elif mark == " !":
        assert issubclass(found, Exception)
    elif mark == " = ":
        assert repr(found) == rest


def defined(path: Path) -> set[str]:
    """Give the names of the tests and classes of tests in a file, in lower case and without underscores."""
    tree = ast.parse(path.read_text())
    named = [n.name for n in ast.walk(tree) if isinstance(n, ast.FunctionDef | ast.ClassDef)]
    return {name.lower().replace("_", "")[4:] for name in named if name.lower().startswith("test")}


def of_trees() -> set[str]:
    """Give those of the tests of trees, which stand beside the engine's own."""
    return set().union(*map(defined, (ROOT / "tests/engine/tree").glob("test_directory_info*.py")))


TESTS = {
    module: defined(ROOT / f"tests/dynamo_consistency/test_{module}.py")
    | (of_trees() if module == "datatypes" else set())
    for module in MODULES
}


@pytest.mark.parametrize("name", NAMES)
def test_a_test_is_named_after_it(name: str) -> None:
    module, *owner, own = name.split(".")
    wanted = own.lower().replace("_", "")
    # That of a method may have the name of the class before it.
    starts = (wanted, "".join(owner).lower() + wanted)
    assert any(test.startswith(starts) for test in TESTS[module]), f"no test of {name}"


def rows() -> dict[str, tuple[str, str]]:
    """Give the entries on the page, with the entry's name and the file that it is said to live in."""
    found = {}
    module = ""
    for line in PAGE.splitlines():
        if heading := re.fullmatch(r"## (\w+)", line):
            module = heading[1]
        if row := re.match(r"\| `([\w.]+)[^`]*` \| `([\w./]+)`", line):
            found[f"{module}.{row[1]}"] = (row[1].split(".")[-1], row[2])
    return found


def test_every_entry_has_its_row_on_the_page_and_no_other_has() -> None:
    assert list(rows()) == NAMES


@pytest.mark.parametrize("name", NAMES)
def test_it_lives_where_the_page_says(name: str) -> None:
    own, path = rows()[name]
    assert re.search(rf"\b(def|class) {own}\b|^\s*{own}\b.* = ", (ROOT / path).read_text(), re.MULTILINE), path


def test_the_package_has_the_modules_of_the_reference_and_no_others() -> None:
    package = Path(dynamo_consistency.__file__).parent
    assert sorted(path.stem for path in package.glob("[a-z]*.py")) == MODULES
