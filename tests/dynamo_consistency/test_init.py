from __future__ import annotations

import json
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path

import pytest

import dynamo_consistency


def test_version() -> None:
    assert dynamo_consistency.__version__ == version("dynamo-consistency")


def test_there_is_nothing_else() -> None:
    with pytest.raises(AttributeError, match="has no attribute 'no_such_thing'"):
        _ = dynamo_consistency.no_such_thing


@pytest.mark.parametrize("statement", ["import dynamo_consistency", "from dynamo_consistency import config"])
def test_importing_it_loads_nothing_heavy_and_touches_no_file(here: Path, statement: str) -> None:
    code = f"""
import json, sys
opened = []
sys.addaudithook(lambda event, args: opened.append(str(args[0])) if event == "open" else None)
{statement}
loaded = {{name.partition('.')[0] for name in sys.modules}}
print(json.dumps([sorted(loaded), opened]))
"""
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=here, check=True, capture_output=True, text=True, timeout=60
    )
    loaded, opened = json.loads(done.stdout)
    heavy = {"ray", "numpy", "pydantic", "yaml", "msgpack", "sqlite_utils", "XRootD", "pyxrootd"}
    assert heavy.isdisjoint(loaded)
    assert {"storage", "engine", "actors"}.isdisjoint(loaded)
    assert [name for name in opened if not name.endswith((".py", ".pyc")) and "__pycache__" not in name] == []
    assert list(here.iterdir()) == []
