"""The company of the serving benchmark: as many features as are asked for, shared out over the views."""

import pytest

from benchmarks.full_answer import asked_features
from benchmarks.peers.company import VIEWS, widths


@pytest.mark.parametrize(("features", "found"), [(30, [8, 8, 7, 7]), (120, [30, 30, 30, 30]), (4, [1, 1, 1, 1])])
def test_features_are_shared_out_over_the_views(features: int, found: list[int]) -> None:
    assert widths(features) == found


def test_a_view_without_a_feature_is_refused() -> None:
    with pytest.raises(ValueError, match="3 features"):
        widths(VIEWS - 1)


def test_thirty_features_are_asked_for_unless_another_number_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("MOTHERLODE_BENCH_FEATURES", raising=False)
    assert asked_features() == 30
    monkeypatch.setenv("MOTHERLODE_BENCH_FEATURES", "120")
    assert asked_features() == 120
