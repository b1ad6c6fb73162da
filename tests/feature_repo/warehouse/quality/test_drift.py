"""New rows that are unlike those before are found; the same ones, drawn anew, are not."""

import numpy as np
import polars as pl
import pytest

from feature_repo.warehouse.contract import Privacy
from feature_repo.warehouse.quality import drift, profile
from feature_repo.warehouse.quality.drift import Change

CLASSES: dict[str, Privacy] = {
    "amount": "none",
    "kind": "none",
    "mail": "identifier",
    "flag": "none",
    "at": "none",
}


def rows(seed: int, count: int = 4000, scale: float = 1.0, kinds: str = "aaab", nulls: float = 0.1) -> pl.DataFrame:
    random = np.random.default_rng(seed)
    missing = random.random(count) < nulls
    return pl.DataFrame(
        {
            "amount": pl.Series(np.round(random.lognormal(1, 1, count) * scale, 2)),
            "kind": pl.Series(random.choice(list(kinds), count)),
            "mail": pl.Series([f"{number}@canary" for number in range(count)]),
            "flag": pl.Series(random.random(count) < 0.3),
        }
    ).with_columns(pl.when(pl.Series(~missing)).then(pl.col("amount")).alias("amount"))


def changes(before: pl.DataFrame, now: pl.DataFrame) -> dict[str, Change]:
    table = profile.table("t", before, before.height, CLASSES, {})
    return {it.column: it for it in drift.changes(table, now, now.height)}


@pytest.mark.parametrize("seed", range(5))
def test_the_same_distribution_drawn_anew_has_no_finding(seed: int) -> None:
    found = changes(rows(seed), rows(seed + 100, 1000))
    assert list(drift.find(list(found.values()))) == []
    assert all(it.psi is not None and it.psi < 0.1 for name, it in found.items() if name != "mail")


def test_cents_in_place_of_euros_are_found_with_both_means() -> None:
    found = changes(rows(1), rows(2, scale=100))
    assert found["amount"].psi is not None
    assert found["amount"].psi > 2
    (finding,) = drift.find(list(found.values()))
    assert finding.what == "amount: new rows are distributed otherwise"
    assert "mean" in finding.value


def test_another_mix_of_codes_and_new_codes_are_found() -> None:
    assert [it.what[:4] for it in drift.find(list(changes(rows(1), rows(2, kinds="abbb")).values()))] == ["kind"]
    assert [it.what[:4] for it in drift.find(list(changes(rows(1), rows(2, kinds="AAAB")).values()))] == ["kind"]


def test_a_column_that_is_filled_less_is_found() -> None:
    (finding,) = drift.find(list(changes(rows(1), rows(2, nulls=0.6)).values()))
    assert finding.what == "amount: the share without a value has changed"
    assert finding.value.startswith(("9.", "10", "11"))


def test_few_rows_prove_nothing() -> None:
    found = changes(rows(1), rows(2, count=20, scale=100))
    assert found["amount"].psi is None
    assert found["amount"].mean_new is not None
    assert list(drift.find(list(changes(rows(1), rows(2, count=20, nulls=1.0)).values()))) == []


def test_of_an_identifier_only_the_null_share_is_compared() -> None:
    it = changes(rows(1), rows(2))["mail"]
    assert (it.psi, it.mean_before, it.mean_new, it.null_before) == (None, None, None, 0.0)


def test_a_constant_that_changes_is_found() -> None:
    before, now = pl.DataFrame({"amount": [1.0] * 600}), pl.DataFrame({"amount": [2.0] * 600})
    assert (changes(before, now)["amount"].psi or 0) > 2
    assert (changes(before, before)["amount"].psi or 0) < 0.01
