"""Who answers which question."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from storage.backends import BackendError, choose
from storage.backends.files import ConfiguredSites, FileRegistry
from storage.backends.protocols import Transfers
from storage.config import Config


def configure(directory: Path, **keys: Any) -> Config:
    """Write a configuration with one site; the keys are JSON, which is YAML."""
    import json

    path = directory / "config.yaml"
    path.write_text(json.dumps({"Sites": {"T2_A": {}}, **keys}))
    return Config.load(path, {})


def test_the_default_is_files(tmp_path: Path) -> None:
    config = configure(tmp_path)
    backends = choose(config, config.site("T2_A"))
    assert isinstance(backends.registry, FileRegistry)
    assert isinstance(backends.sites, ConfiguredSites)
    assert backends.sites.site_list() == ("T2_A",)
    assert backends.sites.ready_sites() == {"T2_A"}
    assert backends.deletions.deletion_requests("T2_A") == frozenset()
    assert backends.check.check_site("T2_A") == ""
    assert list(tmp_path.iterdir()) == [tmp_path / "config.yaml"]


@pytest.mark.parametrize("keys", [{"Backend": "nonsense"}, {"Backends": {"registry": "nonsense"}}])
def test_an_unknown_name_lists_the_valid_ones(tmp_path: Path, keys: dict[str, Any]) -> None:
    config = configure(tmp_path, **keys)
    with pytest.raises(BackendError, match=r'^no backend "nonsense"; valid: .*files'):
        choose(config, config.site("T2_A"))


def test_without_a_transfer_queue_nothing_is_brought_back(tmp_path: Path) -> None:
    config = configure(tmp_path, UseTransferQueue=False)
    registry = choose(config, config.site("T2_A")).registry
    assert registry.transfer("T2_A", ["/store/mc/a"]) == Transfers()
    assert registry.sources("T2_A", ["/store/mc/a"]) == Transfers(["/store/mc/a"])
    assert registry.delete("T2_A", ["/store/mc/b"]) == 1
    other = configure(tmp_path)
    assert choose(other, other.site("T2_A")).registry.transfer("T2_A", ["/store/mc/a"]) == Transfers(["/store/mc/a"])
