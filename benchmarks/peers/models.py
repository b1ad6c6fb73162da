"""The models of the serving benchmark, fitted once: scaler, PCA and k-means, and two boosted trees of 200 rounds.

Ours are their ONNX in a bundle, the peers' are scikit-learn's and XGBoost's own files. Amounts are taken as
log(1 + x), as everywhere in `training`; none of them lies so far out that the segments' clipping would act.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import joblib  # type: ignore[import-untyped]
import numpy as np
import numpy.typing as npt
import pandas as pd
from sklearn.cluster import KMeans
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import StandardScaler

from motherlode import names
from motherlode.compute import Compute, room
from motherlode.manifest import Input, Model
from training import export, scorer
from training.result import Fitted
from training.scorer import Recipe, Scorer
from training.segmenter import Segmenter, fit_space

SEGMENTS: Final = 6
RECIPE: Final = Recipe(depth=4, rounds=200)
"""As deep as the churn model's trees may be."""
PIPELINE: Final = "segments.joblib"
COLUMNS: Final = "columns.json"
_FITTED_ON: Final = 5_000
_PROBABILITIES: Final = (names.RESPONSE, names.INACTIVE_28D)

Matrix = npt.NDArray[np.float32]


@dataclass(frozen=True)
class Models:
    """Both forms of the same models.

    Attributes:
        segmenter: scaler, PCA and k-means.
        scorers: the boosted trees by name.
        inputs: the columns that each of them reads.
        x: what they were fitted on, shape (N, len(inputs)).
    """

    segmenter: Segmenter
    scorers: dict[str, Scorer]
    inputs: tuple[Input, ...]
    x: Matrix

    @classmethod
    def fit(cls, x: Matrix, inputs: Sequence[Input], compute: Compute) -> "Models":
        """To customers whose labels hang on a few of their features."""
        some = x[:_FITTED_ON]
        scaling, pca = fit_space(some, compute)
        clusters: KMeans = room(compute).kmeans(pca.transform(scaling.transform(some)), SEGMENTS, seed=0)
        random = np.random.default_rng(1)
        standard = scaling.transform(some)
        scorers = {}
        for i, name in enumerate(_PROBABILITIES):
            weights = random.normal(size=standard.shape[1]) / np.sqrt(standard.shape[1])
            chance = 1 / (1 + np.exp(-3 * standard @ weights))
            labels = (random.random(len(some)) < chance).astype(np.int64)
            scorers[name] = scorer.fit(RECIPE, some, labels, inputs, compute, seed=i)
        return cls(Segmenter(scaling, pca, clusters), scorers, tuple(inputs), some)

    def fitted(self) -> list[Fitted]:
        """As a bundle takes them."""
        samples = export.samples(self.x)
        found = [
            Fitted(
                names.SEGMENTS,
                Model("segments.onnx", self.inputs, export.LABEL),
                export.segmenter(self.segmenter),
                samples,
                self.segmenter.label(samples),
                (),
            )
        ]
        for name, each in self.scorers.items():
            model = Model(f"{name}.onnx", self.inputs, export.PROBABILITY)
            found.append(Fitted(name, model, export.scorer(each, self.inputs), samples, each.probability(samples), ()))
        return found

    def save(self, folder: Path) -> None:
        """As the peers take them: a scikit-learn pipeline and XGBoost's own files, by the features' names."""
        columns = [each.name for each in self.inputs]
        named = pd.DataFrame(np.log1p(self.x.astype(np.float64)), columns=columns)
        steps = [("scaler", StandardScaler().fit(named)), ("pca", self.segmenter.pca)]
        joblib.dump(Pipeline([*steps, ("k-means", self.segmenter.clusters)]), folder / PIPELINE)
        for name, each in self.scorers.items():
            assert each.trees is not None
            trees = each.trees.copy()
            trees.feature_names = columns
            trees.save_model(folder / f"{name}.ubj")
        (folder / COLUMNS).write_text(json.dumps(columns))
