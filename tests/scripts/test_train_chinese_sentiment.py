"""The training script: what it stores is the regression that scikit-learn fitted."""

import numpy as np
import polars as pl
import pytest
from sklearn.linear_model import LogisticRegression

from feature_repo.warehouse.sentiment import chinese
from scripts import train_chinese_sentiment as training

GOOD = ["很好", "非常好，推荐", "满意，很好用", "喜欢，质量好", "好评，物流快", "真的很好"]
BAD = ["很差", "非常差，退货", "失望，很难用", "讨厌，质量差", "差评，物流慢", "真的很差"]
NO_TABLE = chinese.table(np.empty(0, np.uint32), np.empty(0, np.uint32))


def grams(text: str) -> set[str]:
    padded = f" {text} "
    return {padded[at : at + size] for size in (1, 2, 3) for at in range(len(padded) - size + 1)} - {" "}


def test_the_loader_gives_the_fitted_regression_s_probabilities(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(training, "ENOUGH_TEXTS", 1)
    texts, labels = pl.Series(BAD + GOOD), np.array([0] * len(BAD) + [1] * len(GOOD))
    fitted = training.fit(texts, labels, NO_TABLE)

    # The same in the plainest terms: a dense matrix, the ratios by hand, scikit-learn's own probabilities.
    names = sorted(set().union(*(grams(text) for text in texts)))
    present = np.array([[float(name in grams(text)) for name in names] for text in texts])
    praise, complaint = (training.SMOOTHING + present[labels == label].sum(0) for label in (1, 0))
    ratio = np.log((praise / praise.sum()) / (complaint / complaint.sum()))
    matrix = present / np.sqrt(present.sum(1, keepdims=True)) * ratio
    model = LogisticRegression(C=training.INVERSE_PENALTY, solver="liblinear", random_state=training.SEED)
    expected = model.fit(matrix, labels).predict_proba(matrix)[:, 1]

    loaded = chinese.Model(fitted.grams, fitted.weights, fitted.bias, NO_TABLE)
    # liblinear stops within its own tolerance, 1e-4, and the order of the columns differs.
    assert chinese.probabilities(texts, loaded) == pytest.approx(expected, abs=1e-3)
    assert ((expected > 0.5) == (labels == 1)).all()


def test_only_the_n_grams_of_enough_texts_are_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(training, "ENOUGH_TEXTS", 4)
    texts, labels = pl.Series(BAD + GOOD), np.array([0] * len(BAD) + [1] * len(GOOD))
    fitted = training.fit(texts, labels, NO_TABLE)
    everywhere = [ord("好"), ord("差"), ord("很")]
    assert set(everywhere) <= set(fitted.grams.tolist())
    assert ord("讨") not in fitted.grams.tolist()
