"""The GPU check's own coverage: a call that was not reached is named, wherever on a line it stands."""

import importlib.util
from pathlib import Path
from types import ModuleType

import pytest

from scripts.gpu_check.coverage import functions, not_reached, reached

SOURCE = """
import math

def plain(x):
    return math.sqrt(x)

def branches(x):
    return math.exp(x) if x > 0 else math.log(-x)

def refuses(x):
    try:
        return math.sqrt(x)
    except ValueError:
        raise RuntimeError(str(x)) from None

def _inner(xs):
    return [math.floor(x) for x in xs if math.isfinite(x)]

def outer(xs):
    return _inner(xs)
"""


@pytest.fixture
def module(tmp_path: Path) -> ModuleType:
    path = tmp_path / "room.py"
    path.write_text(SOURCE)
    spec = importlib.util.spec_from_file_location("room", path)
    assert spec is not None and spec.loader is not None
    loaded = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(loaded)
    return loaded


def test_nothing_is_missing_where_all_was_reached(module: ModuleType) -> None:
    with reached(module) as found:
        module.plain(4.0), module.branches(1.0), module.branches(-1.0), module.outer([1.5]), module.refuses(1.0)
        with pytest.raises(RuntimeError):
            module.refuses(-1.0)
    assert not_reached(module, found) == []


def test_a_branch_on_the_same_line_is_missed_by_its_text(module: ModuleType) -> None:
    with reached(module) as found:
        module.plain(4.0), module.branches(1.0), module.outer([1.5]), module.refuses(1.0)
    assert not_reached(module, found) == [
        "line 8: math.log",
        "line 8: math.log(-x)",
        "line 14: RuntimeError(str(x))",
        "line 14: str(x)",
    ]


def test_a_loop_that_never_turned_is_missed_in_functions_of_functions(module: ModuleType) -> None:
    with reached(module) as found:
        module.outer([])
    assert any("math.floor(x)" in each for each in not_reached(module, found))


def test_what_runs_after_the_block_does_not_count(module: ModuleType) -> None:
    with reached(module) as found:
        pass
    module.plain(4.0)
    assert "line 5: math.sqrt(x)" in not_reached(module, found)


def test_the_public_functions_are_listed_in_order(module: ModuleType) -> None:
    assert functions(module) == ["plain", "branches", "refuses", "outer"]
