"""Proof that the check of the calls can fail: `gpu.py` with one fault put in, each of which must be caught."""

import importlib.util
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Final

from scripts.gpu_check import calls
from scripts.gpu_check.verdict import Verdict


@dataclass(frozen=True, slots=True)
class Mutant:
    """A fault.

    Attributes:
        name: what is wrong with it.
        before: a text of `gpu.py`.
        after: what stands there instead.
        finding: what the check must say of it.
    """

    name: str
    before: str
    after: str
    finding: str


MUTANTS: Final = (
    Mutant("a misspelt class", "cuml.PCA(", "cuml.Pca(", "cuml has no Pca"),
    Mutant("a misspelt keyword", "n_components=", "n_component=", "unexpected keyword argument 'n_component'"),
    Mutant("a keyword that only a base class would take", "n_streams=1", "streams=1", "keyword argument 'streams'"),
    Mutant("a misspelt method", ".as_sklearn()", ".as_scikit()", "has no as_scikit"),
    Mutant("a missing argument", ".fit(settle.matrix(x), y)", ".fit(settle.matrix(x))", "required argument: 'y'"),
    Mutant("an argument of another meaning", "C=c,", "C=1 / c,", "another answer"),
    Mutant("starts that as_sklearn() cannot carry", 'set_params(init="scalable-k-means++")', "__class__", "to_output"),
    Mutant("an unknown option of the engine", 'executor="in-memory"', 'executr="in-memory"', "executr"),
    Mutant("an engine that Polars ignores", 'set_engine_affinity="auto"', "verbose=False", "it ran on the CPU"),
    Mutant("a booster of the CPU", '"device": "cuda"', '"device": "cpu"', "not 'cuda'"),
    Mutant("a member that the check does not know", "fitted.as_sklearn()", "fitted.get_params()", "knows no way"),
    Mutant("a function without an example", "def pca(", "def other() -> None: ...\n\n\ndef pca(", "no example"),
    Mutant(
        "a call on a branch that is never taken",
        "    values = settle.matrix(x)\n",
        "    values = settle.matrix(x) if len(x) else cuml.DBSCAN(eps=0.5).fit(x)\n",
        "never reached",
    ),
)


def examine(gpu: ModuleType, folder: Path) -> list[Verdict]:
    """Whether each mutant of the GPU room is caught, for the right reason.

    Args:
        gpu: the room, sound.
        folder: where the mutants are written.
    """
    source = Path(str(gpu.__file__)).read_text()
    return [Verdict(f"caught: {each.name}", _missed(each, source, folder)) for each in MUTANTS]


def _missed(mutant: Mutant, source: str, folder: Path) -> str | None:
    if mutant.before not in source:
        return f"gpu.py has no {mutant.before!r} any more; say in {Path(__file__).name} what to spoil instead"
    path = folder / f"mutant_{MUTANTS.index(mutant)}.py"
    path.write_text(source.replace(mutant.before, mutant.after))
    found = [verdict.problem for verdict in calls.examine(_module(path), folder) if verdict.problem]
    if any(mutant.finding in problem for problem in found):
        return None
    return f"not caught; found instead: {found or 'nothing'}"


def _module(path: Path) -> ModuleType:
    spec = importlib.util.spec_from_file_location(path.stem, path)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module
