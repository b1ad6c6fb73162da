"""A feature that has seen the answer is found, whatever it looks like; chance on few rows is not."""

import random
from collections.abc import Sequence
from typing import Any

import numpy as np
import polars as pl
import pytest

from motherlode.errors import DataError
from training.leakage import Audit, audit

ROWS = 400


def frame(label: Any, customers: Sequence[str] | None = None, **features: Any) -> pl.DataFrame:
    ids = customers if customers is not None else [f"c{number}" for number in range(len(label))]
    named = {f"view__{name}": values for name, values in features.items()}
    return pl.DataFrame({"customer_id": ids, "label": label, **named})


def coin(rows: int = ROWS, seed: int = 0) -> np.ndarray[Any, Any]:
    return np.random.default_rng(seed).integers(0, 2, rows)


def power(found: Audit, feature: str) -> float:
    return next(it.value for it in found.powers if it.feature == f"view.{feature}")


def area(values: Sequence[float | None], label: Sequence[int], gone: float) -> float:
    """Of all pairs of a one and a zero, the share in which the one has more; slowly, a tie counted half."""
    known = [gone if value is None else value for value in values]
    pairs = [
        (a, b)
        for a, one in zip(known, label, strict=True)
        if one
        for b, other in zip(known, label, strict=True)
        if not other
    ]
    share = sum((a > b) + (a == b) / 2 for a, b in pairs) / len(pairs)
    return max(share, 1 - share)


@pytest.mark.parametrize("seed", range(8))
def test_the_area_is_the_share_of_pairs_that_stand_right_with_missing_values_on_either_side(seed: int) -> None:
    rng = random.Random(seed)
    label = [0, 1, *(rng.randrange(2) for _ in range(58))]
    values = [None if rng.random() < 0.3 else float(rng.randrange(6)) for _ in label]
    values[0], missing = None, [float(value is None) for value in values]
    sides = (area(values, label, -1.0), area(values, label, 9.0), area(missing, label, 0.0))
    known = [(value, one) for value, one in zip(values, label, strict=True) if value is not None]
    present = area([value for value, _ in known], [one for _, one in known], 0.0)
    enough = min(sum(one for _, one in known), sum(1 - one for _, one in known)) >= 25
    assert power(audit(frame(label, x=values), "label"), "x") == pytest.approx(max(*sides, present if enough else 0.0))


def test_a_planted_leak_is_named_in_whatever_form_it_comes_and_honest_features_are_not() -> None:
    y = coin()
    noise = np.random.default_rng(1).normal(size=ROWS)
    found = audit(
        frame(
            y,
            duration=y * 100 + noise,
            upside_down=-y * 100 + noise,
            missing_where_not=[1.0 if one else None for one in y],
            nan_where_not=[1.0 if one else float("nan") for one in y],
            known_for_some=[None if n % 3 else one * 9.0 + x for n, (one, x) in enumerate(zip(y, noise, strict=True))],
            words=["accepted" if one else "refused" for one in y],
            flag=y.astype(bool),
            items=[["a"] * int(one) for one in y],
            honest=noise + y,
            who=[f"customer {number}" for number in range(ROWS)],
            nothing=[None] * ROWS,
            same=["x"] * ROWS,
        ),
        "label",
    )
    leaks = {
        "duration",
        "upside_down",
        "missing_where_not",
        "nan_where_not",
        "known_for_some",
        "words",
        "flag",
        "items",
    }
    assert {it.feature.removeprefix("view.") for it in found.suspects} == leaks
    assert [it.value for it in found.powers] == sorted((it.value for it in found.powers), reverse=True)
    assert 0.75 < power(found, "honest") < 0.85
    assert power(found, "who") == power(found, "same") == power(found, "nothing") == 0.5
    assert (found.measure, found.rows, found.ones) == ("AUC", ROWS, int(y.sum()))
    assert next(it.present for it in found.powers if it.feature == "view.nan_where_not") == y.sum()


@pytest.mark.parametrize("seed", range(5))
def test_few_labels_and_many_features_do_not_cry_wolf(seed: int) -> None:
    rng = np.random.default_rng(seed)
    label = [0, 1] * 4
    found = audit(frame(label, None, **{f"n{number}": rng.normal(size=8) for number in range(80)}), "label", 0.9)
    assert found.powers[0].value >= 0.9, "by chance one of eighty is that good"
    assert found.suspects == ()


def test_many_rows_of_few_customers_are_few_customers() -> None:
    """Six customers, a hundred rows each: a column that tells three from three is chance, with 600 rows too."""
    customers = [f"c{number // 100}" for number in range(600)]
    label = [int(customer in ("c0", "c2", "c5")) for customer in customers]
    tenure = [{"c0": 9.0, "c2": 8.0, "c5": 7.0}.get(customer, 1.0) for customer in customers]
    found = audit(frame(label, customers, tenure=tenure), "label")
    assert power(found, "tenure") == 1.0
    assert found.suspects == ()
    spread = audit(frame(label, None, tenure=tenure), "label")
    assert [it.feature for it in spread.suspects] == ["view.tenure"]


def test_a_number_as_label_is_held_against_ranks() -> None:
    rng = np.random.default_rng(3)
    spend = rng.lognormal(size=ROWS)
    found = audit(frame(spend, seen=np.exp(-spend), noise=rng.normal(size=ROWS)), "label")
    assert (found.measure, found.ones) == ("|Spearman|", None)
    assert power(found, "seen") == pytest.approx(1.0)
    assert [it.feature for it in found.suspects] == ["view.seen"]


def test_two_words_are_a_label_and_rows_without_one_are_left_out() -> None:
    y = coin()
    told = [None if number < 10 else ("yes" if one else "no") for number, one in enumerate(y)]
    found = audit(frame(told, leak=y * 1.0), "label")
    assert (found.rows, found.ones) == (ROWS - 10, int(y[10:].sum()))
    assert power(found, "leak") == 1.0


def test_a_label_that_is_nan_is_none_and_rows_with_any_feature_are_counted() -> None:
    y = coin()
    told = [float("nan") if number < 10 else float(one) for number, one in enumerate(y)]
    known = [None if number < 30 else 1.0 for number in range(ROWS)]
    found = audit(frame(told, x=known, y=[None] * ROWS), "label")
    assert (found.rows, found.ones, found.known) == (ROWS - 10, int(y[10:].sum()), ROWS - 30)


def test_a_label_of_one_kind_and_one_of_many_words_are_refused() -> None:
    with pytest.raises(DataError, match=r"Every one of 3 rows has the label \[1\]"):
        audit(frame([1, 1, 1], x=[1, 2, 3]), "label")
    with pytest.raises(DataError, match="is String and has 3 values"):
        audit(frame(["a", "b", "c"], x=[1, 2, 3]), "label")
    with pytest.raises(DataError, match="no column 'churn'"):
        audit(frame([0, 1], x=[1, 2]), "churn")
    with pytest.raises(DataError, match="holds no feature"):
        audit(frame([0, 1]), "label")


def test_the_same_frame_gives_the_same_answer_and_more_rows_than_chance_looks_at_do() -> None:
    y = coin(30_000, 5)
    rows = frame(y, [f"c{number % 5000}" for number in range(30_000)], x=np.random.default_rng(6).normal(size=30_000))
    first, again = audit(rows, "label"), audit(rows.sample(fraction=1.0, shuffle=True, seed=1), "label")
    assert first.rows == 30_000
    assert first.powers[0].value == pytest.approx(again.powers[0].value)
    assert 0.5 < first.chance < 0.53
    assert audit(rows, "label") == first
