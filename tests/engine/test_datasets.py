from __future__ import annotations

import pickle

import pytest

from engine.datasets import CMSFilter, dataset_of, filter_for, is_cms_root

DATASET = "/Primary/Era-v1/TIER"


@pytest.mark.parametrize(
    ("lfn", "dataset"),
    [
        ("/store/mc/Era/Primary/TIER/v1/00000/file.root", DATASET),
        ("/store/mc/Era/Primary/TIER/v1/file.root", DATASET),
        ("/store/mc/Era/Primary/TIER/file.root", ""),
        ("/store/mc", ""),
        ("", ""),
    ],
)
def test_a_cms_name_spells_its_dataset_out(lfn: str, dataset: str) -> None:
    assert dataset_of(lfn) == dataset


def test_the_files_of_datasets_are_protected_and_names_that_do_not_say() -> None:
    found = filter_for(b"/store", [DATASET])
    assert found.protected("/store/mc/Era/Primary/TIER/v1/00000/file.root")
    assert not found.protected("/store/mc/Era/Primary/TIER/v2/00000/file.root")
    assert found.protected("/store/mc/too/short.root")
    assert found("/store/data/x")
    assert pickle.loads(pickle.dumps(found)) == found


def test_a_root_called_store_may_lie_deeper() -> None:
    found = filter_for(b"/eos/cms/store", [DATASET])
    assert isinstance(found, CMSFilter)
    assert found.protected("/eos/cms/store/mc/Era/Primary/TIER/v1/00000/file.root")
    assert not found.protected("/eos/cms/store/mc/Era/Primary/TIER/v2/00000/file.root")
    assert (is_cms_root(b"/store"), is_cms_root(b"/restore"), is_cms_root(b"/store/mc")) == (True, False, False)


@pytest.mark.parametrize("root", [b"/store", b"/data"])
def test_without_datasets_nothing_is_protected(root: bytes) -> None:
    found = filter_for(root, [])
    assert not found.protected("/store/x")
    assert pickle.loads(pickle.dumps(found)) == found


def test_elsewhere_a_dataset_is_a_directory() -> None:
    found = filter_for(b"/data", ["/data/mc/a", "/data//mc/b/"])
    assert found.protected("/data/mc/a/x/y")
    assert found.protected("/data/mc/b/x")
    assert not found.protected("/data/mc/ab/x")
    assert pickle.loads(pickle.dumps(found)) == found


@pytest.mark.parametrize("dataset", ["user.me.dataset", "/elsewhere/mc", "/data/../x", ""])
def test_where_nobody_can_tell_everything_is_protected(dataset: str) -> None:
    found = filter_for(b"/data", ["/data/mc/a", dataset])
    assert found.protected("/data/mc/b/x")
    assert pickle.loads(pickle.dumps(found)) == found
