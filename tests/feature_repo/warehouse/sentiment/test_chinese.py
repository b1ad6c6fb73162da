"""Chinese sentiment: what ships gives the probabilities of the regression that was fitted."""

import json
import math
import unicodedata
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from feature_repo.warehouse.sentiment import chinese

FIGURES = Path(chinese.__file__).with_name("chinese.json")

TEXTS = [
    "质量很好，物流也快，推荐购买！",
    "太差了，用了两天就坏，客服也不理人。",
    "一般般吧",
    "房间很干净，服务员态度热情，下次还会来",
    "房間很髒，再也不會來了",
    "ＡＢＣ　很　好",
    "好",
    "好好好好好",
]


def reference(text: str) -> float:
    """The model's probability, one n-gram at a time."""
    model = chinese.model()
    weights = dict(zip(model.grams.tolist(), model.weights.tolist(), strict=True))
    padded = f" {unicodedata.normalize('NFKC', text)} "
    found = {
        padded[start : start + length]
        for length in range(1, chinese.LONGEST_GRAM + 1)
        for start in range(len(padded) - length + 1)
    } - {" "}
    codes = []
    for gram in found:
        code = 0
        for character in gram:
            code = code << 21 | int(model.simplified[ord(character)])
        codes.append(code)
    known = [weights[code] for code in set(codes) if code in weights]
    if not known:
        return math.nan
    return 1 / (1 + math.exp(-(sum(known) / math.sqrt(len(known)) + model.bias)))


@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.text(alphabet="好差很不太房间服务热情髒們来，。！a1", min_size=1, max_size=12), min_size=1, max_size=6)
)
def test_vectorised_probabilities_are_those_of_one_n_gram_at_a_time(texts: list[str]) -> None:
    found = chinese.probabilities(pl.Series(texts), chinese.model())
    assert found.tolist() == pytest.approx([reference(text) for text in texts], abs=1e-12, nan_ok=True)


def test_praise_is_good_and_complaints_are_bad() -> None:
    scores = chinese.polarity(pl.Series(TEXTS)).to_list()
    assert scores[0] > 0.5 > -0.5 > scores[1]
    assert scores[3] > 0.5 > -0.5 > scores[4]
    assert all(-1 <= score <= 1 for score in scores)


def test_traditional_characters_count_as_their_simplified_ones() -> None:
    both = pl.Series(["質量很差，服務態度惡劣，還要退貨", "质量很差，服务态度恶劣，还要退货"])
    traditional, simplified = chinese.polarity(both).to_list()
    assert traditional == simplified


def test_full_width_white_space_and_case_change_nothing() -> None:
    one, other = chinese.polarity(pl.Series(["ＯＫ！　很好", " ok! 很好\n"])).to_list()
    assert one == other


def test_a_text_s_score_does_not_depend_on_its_neighbours(monkeypatch: pytest.MonkeyPatch) -> None:
    together = chinese.polarity(pl.Series(TEXTS)).to_list()
    assert together == [chinese.polarity(pl.Series([text])).item() for text in TEXTS]
    monkeypatch.setattr(chinese, "_BATCH", 3)
    assert chinese.polarity(pl.Series(TEXTS)).to_list() == together


def test_what_the_model_does_not_know_is_null_not_neutral() -> None:
    assert chinese.polarity(pl.Series(["𠮷𠮷𠮷", "", None], dtype=pl.String)).to_list() == [None, None, None]
    assert chinese.polarity(pl.Series([], dtype=pl.String)).to_list() == []


def test_the_arrays_are_plain_small_and_finite() -> None:
    path = Path(chinese.__file__).with_name(chinese.MODEL)
    assert path.stat().st_size < 1_500_000
    model = chinese.model()
    assert np.all(np.diff(model.grams) > 0)
    assert np.isfinite(model.weights).all()
    assert np.isfinite(model.bias)


def test_the_figures_were_taken_on_texts_held_out_and_reach_what_was_tried_before() -> None:
    figures = json.loads(FIGURES.read_text())
    assert figures["5 folds"]["accuracy"] > 0.8525
    assert figures["5 folds"]["auc"] > 0.922
    assert figures["held out"]["texts"] < figures["fitted on"]["texts"] * 0.2
    assert [it["licence"] for it in figures["sources"]] == ["MIT", "Apache-2.0"]
