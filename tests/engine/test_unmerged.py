"""The rules of the cleaning by example, and against a plain model of them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine import paths
from engine.columns import UNKNOWN_MTIME, FileColumns
from engine.record import DirectoryRecord, DirectorySummary
from engine.states import Reason, State
from engine.table import DirectoryTable
from engine.unmerged import (
    Cleaning,
    CleaningRules,
    Kept,
    Mode,
    OutsideUnmerged,
    fraction_gate,
    list_gate,
    root_gate,
)

ROOT = b"/store/unmerged"
OLD, LIMIT, YOUNG = 100, 1000, 5000
RULES = CleaningRules(ROOT, LIMIT, LIMIT, frozenset())
IN_DIRECTORIES = replace(RULES, mode=Mode.DIRECTORIES)


@dataclass
class Area:
    """A listing: the mtime of each file, and of each directory its state and mtime."""

    files: dict[bytes, int] = field(default_factory=dict)
    states: dict[bytes, State] = field(default_factory=dict)
    mtimes: dict[bytes, int] = field(default_factory=dict)
    reasons: dict[bytes, Reason] = field(default_factory=dict)

    @property
    def directories(self) -> list[bytes]:
        found = {ROOT, *self.states, *self.mtimes}
        for path in [*self.files, *self.states, *self.mtimes]:
            parent = paths.parent_of(path)
            while parent is not None and paths.is_under(parent, ROOT):
                found.add(parent)
                parent = paths.parent_of(parent)
            if parent is not None and path in self.files and not paths.is_under(path, ROOT):
                found.add(paths.parent_of(path) or b"/")
        return sorted(found, key=paths.tree_key)

    def table(self) -> DirectoryTable:
        contents = [
            FileColumns.from_rows(
                (paths.name_of(path), 10, mtime) for path, mtime in self.files.items() if paths.parent_of(path) == here
            )
            for here in self.directories
        ]
        summaries = [
            DirectorySummary.of(
                DirectoryRecord(
                    path,
                    self.states.get(path, State.LISTED),
                    self.reasons.get(path, Reason.NONE if path not in self.states else Reason.PERMISSION),
                    files=files,
                ),
                self.mtimes.get(path, UNKNOWN_MTIME),
            )
            for path, files in zip(self.directories, contents, strict=True)
        ]
        return DirectoryTable.from_summaries(summaries, lambda row: contents[row])


def area(*old: str, young: Iterable[str] = ()) -> Area:
    """Make a listing of files below the root."""
    files = {paths.join(ROOT, name.encode()): OLD for name in old}
    return Area(files | {paths.join(ROOT, name.encode()): YOUNG for name in young})


def rules(*protected: str, avoided: Iterable[str] = (), logs: Iterable[str] = (), **more: object) -> CleaningRules:
    """Make rules from names below the root."""

    def below(names: Iterable[str]) -> frozenset[bytes]:
        return frozenset(paths.join(ROOT, name.encode()) for name in names)

    made = replace(RULES, protected=below(protected), avoided=below(avoided), logs=below(logs))
    return replace(made, **more)  # type: ignore[arg-type]


def deletable(listing: Area, chosen: CleaningRules) -> list[str]:
    """Name the files that may go, without the root."""
    return [
        paths.join(judged.directory, name).decode().removeprefix(f"{ROOT.decode()}/")
        for judged in Cleaning(listing.table(), chosen).files()
        for name in judged.deletable().name_list()
    ]


def reasons(listing: Area, chosen: CleaningRules) -> dict[str, Kept]:
    return {
        paths.join(judged.directory, name).decode().removeprefix(f"{ROOT.decode()}/"): reason
        for judged in Cleaning(listing.table(), chosen).files()
        for reason, files in judged.kept()
        for name in files.name_list()
    }


def whole(listing: Area, chosen: CleaningRules) -> list[str]:
    found = Cleaning(listing.table(), replace(chosen, mode=Mode.DIRECTORIES)).whole_directories()
    return [directory.path.decode().removeprefix(f"{ROOT.decode()}/") for directory in found]


def test_only_old_files_go() -> None:
    listing = area("a/old", young=["a/young"])
    listing.files |= {ROOT + b"/a/limit": LIMIT, ROOT + b"/a/unknown": UNKNOWN_MTIME, ROOT + b"/a/zero": 0}
    assert deletable(listing, rules()) == ["a/old"]
    assert reasons(listing, rules()) == {
        "a/young": Kept.YOUNG,
        "a/limit": Kept.YOUNG,
        "a/unknown": Kept.NO_AGE,
        "a/zero": Kept.NO_AGE,
    }


def test_a_prefix_covers_whole_components_only() -> None:
    listing = area("a/x", "a/y/z", "ab", "ab-c/x", "b/a/x", "a-b/x")
    assert deletable(listing, rules("a")) == ["ab", "a-b/x", "ab-c/x", "b/a/x"]


def test_a_prefix_may_be_a_file() -> None:
    listing = area("a/f", "a/f.root", "a/g")
    assert deletable(listing, rules("a/f")) == ["a/f.root", "a/g"]


@pytest.mark.parametrize("prefix", [b"/", b"/store", ROOT])
def test_a_prefix_above_covers_everything(prefix: bytes) -> None:
    assert deletable(area("a/x", "b"), replace(RULES, protected=frozenset((prefix,)))) == []


def test_what_is_avoided_stays() -> None:
    listing = area("SAM/x", "SAMPLE/x", "b/SAM/x")
    assert deletable(listing, rules(avoided=["SAM"])) == ["SAMPLE/x", "b/SAM/x"]
    assert reasons(listing, rules(avoided=["SAM"])) == {"SAM/x": Kept.AVOIDED}
    assert deletable(listing, rules(ignored=(b"PLE",))) == ["SAM/x", "b/SAM/x"]
    assert deletable(area("a/keep.me", "a/b"), rules(ignored=(b"keep",))) == ["a/b"]


def test_what_was_not_listed_stays() -> None:
    listing = area("a/x", "a/b/y", "c/z")
    listing.states[ROOT + b"/a"] = State.FAILED
    assert deletable(listing, rules()) == ["c/z"]
    # A file of a directory that failed is known from an earlier listing only.
    assert reasons(listing, rules())["a/b/y"] == Kept.UNLISTED


def test_what_may_be_reached_through_a_loop_stays() -> None:
    listing = area("a/x", "a/loop/p/x", "a/loop/a/x", "b/x", "p/x", "top")
    listing.states[ROOT + b"/a/loop/a/loop"] = State.FAILED
    listing.reasons[ROOT + b"/a/loop/a/loop"] = Reason.DEPTH
    assert deletable(listing, rules("p")) == ["top", "b/x"]
    assert reasons(listing, rules("p"))["a/loop/p/x"] == Kept.UNLISTED
    assert whole(listing, rules("p")) == ["b"]


def test_a_loop_below_other_logs() -> None:
    listing = area("a/x")
    listing.files = listing.files | {b"/store/logs/x": OLD, b"/store/logs/loop/x": OLD}
    listing.states[b"/store/logs/loop"] = State.FAILED
    listing.reasons[b"/store/logs/loop"] = Reason.DEPTH
    assert deletable(listing, replace(RULES, logs=frozenset((b"/store/logs",)))) == ["a/x"]


def test_logs_have_an_age_of_their_own() -> None:
    listing = area("logs/x.tar.gz", "logs/y", "a/z")
    assert deletable(listing, rules(logs=["logs"], logs_old_before=OLD)) == ["a/z"]
    assert deletable(listing, rules(logs=["logs"], old_before=OLD)) == ["logs/x.tar.gz", "logs/y"]


def test_protected_logs_stay() -> None:
    assert deletable(area("logs/a/x", "logs/b/x"), rules("logs/a", logs=["logs"])) == ["logs/b/x"]


def test_of_avoided_and_log_directories_the_deepest_counts() -> None:
    listing = area("logs/x", "logs/keep/x", "logs/keep/not/x")
    both = rules(avoided=["logs", "logs/keep"], logs=["logs", "logs/keep/not"])
    assert deletable(listing, both) == ["logs/x", "logs/keep/not/x"]


def test_logs_are_counted() -> None:
    listing = area("logs/any", "a/x.tar.gz", "a/tar.gz.root", young=["a/y.tar.gz", "logs/z"])
    assert sum(judged.count_logs() for judged in Cleaning(listing.table(), rules(logs=["logs"])).files()) == 2


@pytest.mark.parametrize("name", ["a/b?c", "a?b/c", "a/" + "n" * 254, "n" * 254 + "/x"])
def test_a_name_that_may_stand_for_another_file_stays(name: str) -> None:
    listing = area("b/plain", name)
    assert deletable(listing, rules(longest_name=254)) == ["b/plain"]
    assert reasons(listing, rules(longest_name=254)) == {name: Kept.BAD_NAME}
    assert whole(listing, rules(longest_name=254)) == ["b"]


@pytest.mark.parametrize("name", ["new\nline", " ", "-rf *", "a\\b", "\x01", "übrig", "...", "<script>"])
def test_other_strange_names_are_names(name: str) -> None:
    assert deletable(area(f"d/{name}"), rules()) == [f"d/{name}"]


def test_a_candidate_outside_aborts() -> None:
    listing = area("a/x")
    listing.files[b"/store/mc/x"] = OLD
    with pytest.raises(OutsideUnmerged, match=r"^/store/mc would be deletable and is not below /store/unmerged$"):
        deletable(listing, rules())
    with pytest.raises(OutsideUnmerged):
        deletable(area("../mc/x"), rules())
    with pytest.raises(OutsideUnmerged, match="leads elsewhere"):
        deletable(area("a/.."), rules())


def test_log_directories_that_somebody_named_may_be_outside() -> None:
    listing = area("a/x")
    listing.files[b"/store/temp/logs/x"] = OLD
    named = replace(RULES, logs=frozenset((b"/store/temp/logs",)))
    assert deletable(listing, named) == ["/store/temp/logs/x", "a/x"]
    assert whole(listing, named) == ["a"]


def test_the_highest_whole_directories() -> None:
    listing = area("a/b/x", "a/b/c/y", "a/d/x", "e/x", "top", young=["a/d/young"])
    assert whole(listing, rules()) == ["a/b", "e"]
    chosen = replace(rules(), mode=Mode.DIRECTORIES)
    assert deletable(listing, chosen) == ["a/b/x", "a/b/c/y", "e/x"]
    assert reasons(listing, chosen) == {
        "top": Kept.DIRECTORY_STAYS,
        "a/d/x": Kept.DIRECTORY_STAYS,
        "a/d/young": Kept.YOUNG,
    }
    found = list(Cleaning(listing.table(), chosen).whole_directories())
    assert [(directory.files, directory.size) for directory in found] == [(2, 20), (1, 10)]
    removed = list(Cleaning(listing.table(), chosen).directories_to_remove())
    assert removed == [ROOT + b"/e", ROOT + b"/a/b/c", ROOT + b"/a/b"]


def test_the_root_itself_never_goes() -> None:
    assert whole(area("a/x", "b/x"), rules()) == ["a", "b"]


def test_a_directory_with_anything_protected_below_stays() -> None:
    # It need not be there yet: somebody may be about to write it.
    assert whole(area("a/b/x", "a/c/x"), rules("a/d/not/there")) == ["a/b", "a/c"]
    assert whole(area("a/b/x", "a/c/x"), rules("a/b/x")) == ["a/c"]
    assert whole(area("a/b/x", "a/c/x"), rules("a")) == []
    assert whole(area("a/x", "ab/x"), rules("a")) == ["ab"]


def test_a_directory_with_something_unlisted_below_stays() -> None:
    listing = area("a/b/x", "a/c/x")
    listing.states[ROOT + b"/a/d"] = State.UNFILLED
    assert whole(listing, rules()) == ["a/b", "a/c"]
    assert whole(area("a/b/x", "c/x"), rules(doubted=frozenset((ROOT + b"/a/b",)))) == ["c"]


def test_an_empty_directory_has_to_be_old() -> None:
    listing = area("a/x")
    listing.mtimes = {ROOT + b"/a/new": YOUNG, ROOT + b"/old": OLD, ROOT + b"/old/er": OLD, ROOT + b"/unknown/x": 0}
    assert whole(listing, rules()) == ["old"]
    listing.mtimes[ROOT + b"/a/new"] = OLD
    assert whole(listing, rules()) == ["a", "old"]


def test_logs_go_one_by_one_in_either_mode() -> None:
    listing = area("logs/a/x", "b/x", "b/logs/y", young=["logs/a/y"])
    chosen = rules(logs=["logs", "b/logs"], mode=Mode.DIRECTORIES)
    assert whole(listing, chosen) == []
    assert deletable(listing, chosen) == ["b/logs/y", "logs/a/x"]


def test_all_entries_of_a_whole_directory_are_named() -> None:
    listing = area("a/x", "a/b/y", "c/z", young=["d/n"])
    entries = dict(Cleaning(listing.table(), IN_DIRECTORIES).listed_entries())
    assert entries == {ROOT + b"/a": [b"x", b"b"], ROOT + b"/a/b": [b"y"], ROOT + b"/c": [b"z"]}


def test_an_empty_listing() -> None:
    for mode in Mode:
        cleaning = Cleaning(Area().table(), replace(RULES, mode=mode))
        assert (list(cleaning.files()), list(cleaning.whole_directories())) == ([], [])


def test_gates() -> None:
    assert list_gate([b"/store/mc", b"/store/unmergedness"], ROOT) is not None
    assert list_gate([b"/store/mc", b"/store/unmerged/gone"], ROOT) is None
    assert list_gate([b"/store"], ROOT) is None
    assert root_gate(area("a").table(), ROOT) is None
    assert root_gate(area("a").table(), b"/store/other") is not None
    failed = Area(states={ROOT: State.FAILED})
    refusal = root_gate(failed.table(), ROOT)
    assert refusal is not None
    assert "/store/unmerged: permission denied" in refusal.message
    assert fraction_gate(5, 10, 0.5) is None
    assert fraction_gate(6, 10, 0.5) is not None
    assert fraction_gate(0, 0, 0.5) is None


# A plain model: every rule by itself, with nothing shared between files.

_NAMES = st.sampled_from(["a", "ab", "b", "c", "logs", "SAM"])
_PATHS = st.lists(_NAMES, min_size=1, max_size=4).map("/".join)


@st.composite
def areas(draw: st.DrawFn) -> Area:
    listing = Area()
    for name in draw(st.lists(_PATHS, max_size=12)):
        path = paths.join(ROOT, name.encode()) + b".f"
        listing.files[path] = draw(st.sampled_from([OLD, OLD, OLD, LIMIT, YOUNG, UNKNOWN_MTIME, 0]))
    for name in draw(st.lists(_PATHS, max_size=3)):
        listing.mtimes[paths.join(ROOT, name.encode())] = draw(st.sampled_from([OLD, YOUNG, UNKNOWN_MTIME]))
    inside = [path for path in listing.directories if path != ROOT]
    if inside:
        for path in draw(st.lists(st.sampled_from(inside), max_size=1)):
            listing.states[path] = draw(st.sampled_from([State.FAILED, State.UNFILLED, State.IGNORED]))
    return listing


@st.composite
def some_rules(draw: st.DrawFn) -> CleaningRules:
    names = st.lists(st.one_of(_PATHS, _PATHS.map(lambda name: name + ".f")), max_size=2)
    return rules(
        *draw(names),
        avoided=draw(names),
        logs=draw(st.sampled_from([(), ("logs",), ("logs", "a/logs")])),
        logs_old_before=draw(st.sampled_from([OLD, LIMIT, YOUNG + 1])),
        doubted=frozenset(paths.join(ROOT, name.encode()) for name in draw(st.lists(_PATHS, max_size=1))),
    )


def covers(prefix: bytes, path: bytes) -> bool:
    one, other = prefix.split(b"/"), path.split(b"/")
    return other[: len(one)] == one


def goes_by_itself(listing: Area, chosen: CleaningRules, path: bytes) -> bool:
    here = paths.parent_of(path)
    assert here is not None
    if any(state != State.LISTED and covers(directory, here) for directory, state in listing.states.items()):
        return False
    if any(covers(prefix, path) for prefix in chosen.protected):
        return False
    logs = max((len(log.split(b"/")) for log in chosen.logs if covers(log, here)), default=0)
    avoided = max((len(prefix.split(b"/")) for prefix in chosen.avoided if covers(prefix, path)), default=0)
    if avoided > logs:
        return False
    return 0 < listing.files[path] < (chosen.logs_old_before if logs else chosen.old_before)


def goes_whole(listing: Area, chosen: CleaningRules, directory: bytes) -> bool:
    if directory == ROOT:
        return False
    special = [*chosen.protected, *chosen.avoided, *chosen.logs]
    if any(covers(path, directory) or covers(directory, path) for path in special):
        return False
    if any(covers(directory, path) for path in chosen.doubted if path in listing.directories):
        return False
    below = [path for path in listing.directories if covers(directory, path)]
    for path in below:
        state = listing.states.get(path, State.LISTED)
        files = any(covers(path, file) for file in listing.files)
        if state != State.LISTED or (not files and not 0 < listing.mtimes.get(path, UNKNOWN_MTIME) < LIMIT):
            return False
    if any(state != State.LISTED and covers(path, directory) for path, state in listing.states.items()):
        return False
    return all(goes_by_itself(listing, chosen, file) for file in listing.files if covers(directory, file))


def modelled(listing: Area, chosen: CleaningRules) -> Iterator[bytes]:
    for path in listing.files:
        directories = [d for d in listing.directories if covers(d, path)]
        if chosen.mode == Mode.DIRECTORIES and not any(covers(log, path) for log in chosen.logs):
            if any(goes_whole(listing, chosen, directory) for directory in directories):
                yield path
        elif goes_by_itself(listing, chosen, path):
            yield path


@given(areas(), some_rules(), st.sampled_from(Mode))
def test_the_model_says_the_same(listing: Area, chosen: CleaningRules, mode: Mode) -> None:
    chosen = replace(chosen, mode=mode)
    cleaning = Cleaning(listing.table(), chosen)
    found = [
        paths.join(judged.directory, name) for judged in cleaning.files() for name in judged.deletable().name_list()
    ]
    assert sorted(found) == sorted(modelled(listing, chosen))
    removed = list(cleaning.directories_to_remove())
    wholes = {d for d in listing.directories if goes_whole(listing, chosen, d)} if mode == Mode.DIRECTORIES else set()
    assert set(removed) == wholes
    assert [directory.path for directory in cleaning.whole_directories()] == [
        d for d in listing.directories if d in wholes and paths.parent_of(d) not in wholes
    ]


@given(areas(), some_rules(), st.sampled_from(Mode))
def test_every_file_goes_or_stays_for_a_reason(listing: Area, chosen: CleaningRules, mode: Mode) -> None:
    judged = list(Cleaning(listing.table(), replace(chosen, mode=mode)).files())
    assert sum(len(j.files) for j in judged) == len(listing.files)
    for files in judged:
        assert len(files.deletable()) + sum(len(kept) for _, kept in files.kept()) == len(files.files)


@given(areas(), some_rules())
def test_directories_can_be_removed_in_their_order(listing: Area, chosen: CleaningRules) -> None:
    cleaning = Cleaning(listing.table(), replace(chosen, mode=Mode.DIRECTORIES))
    there = {
        *listing.directories,
        *(
            set(listing.files)
            - {paths.join(j.directory, n) for j in cleaning.files() for n in j.deletable().name_list()}
        ),
    }
    for path in cleaning.directories_to_remove():
        assert not any(other != path and paths.is_under(other, path) for other in there), path
        there.remove(path)
