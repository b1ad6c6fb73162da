"""What speaks against a new bundle, and what does not."""

import numpy as np
import pytest

from motherlode.api import Recommendation, Score
from serving.trial import Bounds, Sample, objections, psi

RANDOM = np.random.default_rng(0)


def sample(
    scores: "list[float | None]", seconds: float = 0.001, *, personal: float = 1.0, status: str = "ok"
) -> Sample:
    made = Sample()
    for i, score in enumerate(scores):
        made.add([Score(i, status, None, {"response": score}, 1.0, [])], seconds)  # type: ignore[arg-type]
        source = "personal" if i < personal * len(scores) else "popular"
        made.add([Recommendation(i, status, source, [], 1.0, [])], seconds)  # type: ignore[arg-type]
    return made


def drawn(mean: float, n: int = 1000) -> "list[float | None]":
    return list(RANDOM.normal(mean, 0.1, n))


def test_the_same_model_trained_again_is_let_through() -> None:
    assert objections(sample(drawn(0.5)), sample(drawn(0.51), 0.0015), Bounds()) == []


@pytest.mark.parametrize(
    ("new", "reason"),
    [
        (sample([*drawn(0.5, 900), *[None] * 100]), "10% of the answers of response are null, 0% were"),
        (sample(drawn(0.7)), "the answers of response are shifted: PSI"),
        (sample([0.5] * 1000), "shifted"),
        (sample(drawn(0.5), 0.02), "a request takes 20.0 ms, 1.0 ms before"),
        (sample(drawn(0.5), personal=0.9), "90% of the lists are personal, 100% were"),
        (Sample(failures=1), "1 requests failed"),
    ],
    ids=["null", "shifted", "one answer for all", "slow", "impersonal", "failing"],
)
def test_what_is_null_shifted_slow_or_impersonal_is_named_with_its_figures(new: Sample, reason: str) -> None:
    found = objections(sample(drawn(0.5)), new, Bounds())
    assert len(found) == 1
    assert reason in found[0]


def test_of_a_few_answers_nothing_is_said() -> None:
    few = Bounds().few - 1
    assert objections(sample(drawn(0.5)), sample([None] * (few // 2), 1.0), Bounds()) == []


def test_what_the_features_lack_is_not_the_bundles_fault() -> None:
    without = sample([None] * 500, status="degraded", personal=0.0)
    assert objections(sample(drawn(0.5)), without, Bounds()) == []


def test_psi_is_nothing_for_one_population_and_a_quarter_is_much() -> None:
    one, other = RANDOM.normal(0, 1, 20_000), RANDOM.normal(0, 1, 20_000)
    assert psi(one, other) < 0.01
    assert psi(one, other + 0.1) < 0.1
    assert psi(one, other + 0.6) > 0.25


def test_what_the_new_bundle_alone_lacks_is_its_fault_where_both_answered_the_same_requests() -> None:
    found = objections(sample(drawn(0.5)), sample([None] * 500, status="degraded"), Bounds(), alike=True)
    assert found == ["0% of the customers have all the features that it reads, 100% had"]
    both = sample([None] * 500, status="degraded")
    assert objections(both, both, Bounds(), alike=True) == [], "Redis is gone for both"
