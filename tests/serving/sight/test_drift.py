"""Drift: nothing where nothing moved, much where it did, and never for what a profile leaves open."""

from collections.abc import Callable

import msgspec
import numpy as np
import numpy.typing as npt
import pytest

from motherlode import bundle
from motherlode.bundle import Bundle
from motherlode.manifest import Input
from motherlode.stability import seen
from serving.sight.drift import FEWEST, SCORE, WINDOW, Profile, Window, profiles
from tests.serving.conftest import Company, bundle_files, make_manifest

DRAW = np.random.default_rng(11)
Drawn = Callable[[int], npt.NDArray[np.float64]]
TENTHS = np.arange(1, 10) / 10


def profile_of(values: npt.NDArray[np.float64]) -> Profile:
    return Profile.of(np.quantile(values, TENTHS).tolist())


def test_the_index_is_the_sum_over_bins_of_the_difference_times_the_logarithm_of_the_ratio() -> None:
    profile = Profile(np.array([1.0, 2.0]), np.array([0.2, 0.5]), np.array([0.2, 0.5]))
    counts = profile.counts(np.array([0.5] * 40 + [1.0] * 10 + [2.0] * 10 + [9.0] * 40))
    assert counts.tolist() == [50, 10, 40, 0]
    expected, actual = np.array([0.2, 0.3, 0.5]), np.array([0.5, 0.1, 0.4])
    assert profile.psi(counts) == pytest.approx(((actual - expected) * np.log(actual / expected)).sum())


@pytest.mark.parametrize(
    "drawn",
    [
        lambda n: DRAW.normal(size=n),
        lambda n: DRAW.exponential(size=n),
        lambda n: 1.0 * DRAW.poisson(1.3, n),
        lambda n: np.where(DRAW.random(n) < 0.03, 1.0, 0.0),
        lambda n: np.where(DRAW.random(n) < 0.6, 0.0, DRAW.random(n)),
        lambda n: np.zeros(n),
        lambda n: np.arange(n) % 5 + 1.0,
    ],
    ids=["normal", "exponential", "counts", "rare", "half zero", "constant", "fifths"],
)
def test_the_same_distribution_is_no_drift_whatever_its_ties(drawn: Drawn) -> None:
    profile = profile_of(drawn(20_000))
    assert profile.psi(profile.counts(drawn(2_000))) < 0.05


@pytest.mark.parametrize(
    ("before", "now"),
    [
        (lambda n: DRAW.normal(size=n), lambda n: DRAW.normal(0.7, size=n)),
        (lambda n: 1.0 * DRAW.poisson(1.3, n), lambda n: 1.0 * DRAW.poisson(4, n)),
        (lambda n: np.zeros(n), lambda n: np.ones(n)),
        (lambda n: np.ones(n), lambda n: np.zeros(n)),
        (lambda n: DRAW.random(n), lambda n: np.full(n, 0.5)),
    ],
    ids=["shifted", "counts", "another constant", "a constant that fell", "constant"],
)
def test_another_distribution_is_above_a_quarter(before: Drawn, now: Drawn) -> None:
    profile = profile_of(before(20_000))
    assert profile.psi(profile.counts(now(2_000))) > 0.25


@pytest.mark.parametrize("values", [DRAW.normal(size=4000), 1.0 * DRAW.poisson(1.3, 4000), np.full(4000, np.nan)])
def test_what_a_bundle_tells_of_its_training_is_the_index_of_one_place(values: npt.NDArray[np.float64]) -> None:
    told = Input("rfm", "recency_days", 0.0, *seen(values), moved=0.5)
    profile = Profile.told(told)
    now = np.where(DRAW.random(1000) < 0.3, np.nan, values[:1000] + 0.5)
    assert profile.psi(profile.counts(now)) == pytest.approx(seen(values).psi(now))
    assert profile.psi(profile.counts(values)) == pytest.approx(0)
    assert (profile.known(profile.counts(now)), profile.moved) == (1000, 0.5)


def test_nulls_are_told_only_where_training_says_how_many_there_were() -> None:
    values = DRAW.normal(size=4000)
    holes = np.where(np.arange(4000) % 4 == 0, np.nan, values)
    of_before = profile_of(values)
    assert of_before.psi(of_before.counts(holes)) < 0.01
    assert of_before.known(of_before.counts(holes)) == 3000
    profile = Profile.told(Input("rfm", "recency_days", 0.0, *seen(values)))
    assert profile.psi(profile.counts(holes)) > 0.25


def with_edges(company: Company, samples: int = 200) -> Bundle:
    """A bundle whose features and answers have profiles: recency of 0 to 10 days, answers of 0 to 1."""
    manifest = make_manifest("v9", company.settings.project)
    edges = tuple(float(each) for each in range(1, 10))
    models = {
        name: msgspec.structs.replace(
            model,
            inputs=tuple(
                Input(each.view, each.name, each.default, edges if each.name == "recency_days" else ())
                for each in model.inputs
            ),
        )
        for name, model in manifest.models.items()
    }
    other = Input("rfm", "recency_days", 1.0, (100.0,) * 9)
    models["response"] = msgspec.structs.replace(models["response"], inputs=(other, *models["response"].inputs[1:]))
    files = bundle_files(
        inactive_28d__answer=np.linspace(0, 1, samples).astype(np.float32),
        inactive_28d__features=np.zeros((samples, 2), np.float32),
    )
    manifest = msgspec.structs.replace(manifest, models=models)
    return bundle.load(bundle.write(company.settings.models, manifest, files, lambda _: None))


def test_profiles_are_those_of_the_models_of_all_customers_and_of_answers_with_enough_samples(company: Company) -> None:
    found = profiles(with_edges(company))
    assert set(found) == {("rfm", "recency_days"), (SCORE, "segments"), (SCORE, "inactive_28d")}
    assert found["rfm", "recency_days"].edges.tolist() == list(range(1, 10))
    assert found[SCORE, "segments"].low.tolist() == [0.6]


def test_a_window_says_nothing_of_a_few_and_forgets_what_was_long_ago(company: Company) -> None:
    window = Window(with_edges(company))
    name = ("rfm", "recency_days")
    window.add(name, np.full(FEWEST - 1, 50.0))
    assert window.indices(window.counts) == {}
    window.add(name, np.array([50.0, 50.0, np.nan]))
    assert window.indices(window.counts)[name] > 1
    for _ in range(8):
        window.add(name, DRAW.uniform(0, 10, WINDOW))
    assert window.indices(window.counts)[name] < 0.1


def test_what_has_no_profile_is_not_counted(company: Company) -> None:
    window = Window(with_edges(company, samples=99))
    window.add(("spending", "trend_4w_12w"), np.ones(1000))
    window.add((SCORE, "inactive_28d"), np.ones(1000))
    assert window.counts == {}


def test_counts_by_the_bins_of_another_release_are_none_of_these(company: Company) -> None:
    window = Window(with_edges(company))
    name = ("rfm", "recency_days")
    window.add(name, np.ones(10))
    assert window.counts_so(name, len(window.counts[name]))
    assert not window.counts_so(name, len(window.counts[name]) - 1)
    assert not window.counts_so(("rfm", "of another release"), 3)
