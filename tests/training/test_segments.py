import numpy as np
import onnxruntime as ort
import polars as pl
import pytest

from motherlode.compute import Compute
from motherlode.errors import DataError
from training import segments
from training.segments import COLUMNS, Segmentation, Trial

KINDS = {
    # recency, baskets 28 d and 84 d, money 28 d and 84 d, discount share and depth, coupons by line and basket,
    # own brand, basket value and lines, days between baskets
    "loyal, own brand": (2, 9, 27, 200, 600, 0.5, 0.15, 0.01, 0.02, 0.6, 42, 14, 3),
    "coupons": (5, 4, 12, 160, 480, 0.5, 0.15, 0.3, 0.5, 0.25, 40, 14, 7),
    "lapsed, full price": (60, 0, 1, 0, 30, 0.1, 0.02, 0.01, 0.02, 0.25, 30, 10, 25),
    "occasional, big baskets": (12, 2, 5, 220, 560, 0.5, 0.15, 0.01, 0.02, 0.25, 110, 35, 16),
}


def snapshot(customers: int = 100, seed: int = 0) -> tuple[pl.DataFrame, list[str]]:
    """`customers` of each kind, alike but for a tenth; and what kind each is."""
    random = np.random.default_rng(seed)
    kinds = [kind for kind in KINDS for _ in range(customers)]
    centres = np.array([KINDS[kind] for kind in kinds], dtype=np.float64)
    values = np.maximum(centres * random.normal(1.0, 0.1, centres.shape), 0.0).astype(np.float32)
    frame = pl.DataFrame({name: values[:, place] for place, name in enumerate(COLUMNS)}).with_columns(
        pl.Series("customer_id", [str(each) for each in range(len(kinds))]),
        (pl.col("price_sensitivity__coupon_basket_share") * 100).alias("price_sensitivity__coupon_amount_84d"),
        *(pl.lit(3, pl.Int32).alias(f"rfm__{score}_score") for score in ("recency", "frequency", "monetary")),
    )
    return frame, kinds


@pytest.fixture(scope="module")
def found(cpu: Compute) -> Segmentation:
    return segments.fit(snapshot()[0], snapshot(seed=1)[0], cpu)


def test_the_kinds_of_customers_there_are_are_found(found: Segmentation) -> None:
    _, kinds = snapshot()
    pairs = set(zip(kinds, found.labels.tolist(), strict=True))
    assert len(found.segments) == len(KINDS)
    assert len(pairs) == len(KINDS)


def test_segments_are_called_what_their_customers_are(found: Segmentation) -> None:
    _, kinds = snapshot()
    name_of = {kind: found.segments[label].name for kind, label in zip(kinds, found.labels, strict=True)}
    assert name_of == {
        "loyal, own brand": "Loyal own-brand buyers",
        "coupons": "Regular coupon users",
        "lapsed, full price": "Lapsed full-price buyers",
        "occasional, big baskets": "Occasional big baskets",
    }


def test_shares_are_of_all_customers_and_ids_are_the_models_labels(found: Segmentation) -> None:
    assert [segment.id for segment in found.segments] == [0, 1, 2, 3]
    assert sum(segment.share for segment in found.segments) == pytest.approx(1.0)
    assert [segment.share for segment in found.segments] == sorted((s.share for s in found.segments), reverse=True)
    (answer,) = ort.InferenceSession(found.fitted.onnx).run(["label"], {"features": found.fitted.features})
    assert np.array_equal(answer, found.fitted.answer)


def test_what_a_segment_does_next_is_compared_with_rfm_groups(found: Segmentation) -> None:
    """In the frame all have the same RFM scores, which therefore explain nothing; the kinds explain nearly all."""
    quality = {row.metric: row for row in found.fitted.quality}
    for metric in segments.OUTCOMES:
        assert quality[metric].value > 0.8
        assert quality[metric].baseline_value == 0.0
        assert quality[metric].baseline == "as many RFM groups"
    assert quality[segments.STABILITY].value > 0.95


def test_the_plane_and_the_profile_fit_the_report(found: Segmentation) -> None:
    assert found.plane.shape == (400, 2)
    assert found.labels.dtype == np.int64
    assert found.profile.shape == (4, len(COLUMNS))
    assert found.profile_features[0] == "rfm.recency_days"
    assert found.explained[0] > found.explained[1] > 0
    spread = found.profile.T @ np.bincount(found.labels) / 400
    assert spread == pytest.approx(np.zeros(len(COLUMNS)), abs=0.05)  # clipped values alone keep it from 0


def test_the_same_customers_give_the_same_segments(cpu: Compute, found: Segmentation) -> None:
    again = segments.fit(snapshot()[0], snapshot(seed=1)[0], cpu)
    assert again.fitted.onnx == found.fitted.onnx
    assert again.segments == found.segments


def test_the_most_segments_that_are_stable_are_chosen_whatever_the_silhouette_says() -> None:
    assert segments.choose([Trial(3, 0.9, 0.9), Trial(4, 0.7, 0.1), Trial(5, 0.82, 0.1), Trial(6, 0.78, 0.8)]) == 5
    assert segments.choose([Trial(3, 0.5, 0.1), Trial(4, 0.6, 0.1), Trial(5, 0.59, 0.9)]) == 4
    assert segments.choose([Trial(4, 1.0, 0.1), Trial(5, 0.87, 0.9)]) == 4


def test_groups_explain_all_of_what_they_decide_and_nothing_of_what_they_do_not() -> None:
    labels = np.array([0, 0, 1, 1, 2, 2])
    assert segments.explained(np.array([5.0, 5, 1, 1, 9, 9]), labels) == pytest.approx(1.0)
    assert segments.explained(np.array([1.0, 2, 1, 2, 1, 2]), labels) == pytest.approx(0.0)
    assert segments.explained(np.array([0.0, 2, 2, 4, 4, 6]), labels) == pytest.approx(16 / 22)
    assert segments.explained(np.full(6, 3.0), labels) == 0.0


def test_rfm_groups_are_of_like_size_and_equal_scores_share_one() -> None:
    random = np.random.default_rng(0)
    frame = pl.DataFrame(
        {f"rfm__{score}_score": random.integers(1, 6, 3000) for score in ("recency", "frequency", "monetary")}
    )
    groups = segments.rfm_groups(frame, 5)
    total = frame.select(pl.sum_horizontal(pl.all())).to_series().to_numpy()
    assert set(groups) == {0, 1, 2, 3, 4}
    assert np.bincount(groups).min() > 300
    assert all(len(set(groups[total == value])) == 1 for value in set(total))


def test_a_customer_with_nulls_is_put_where_the_usual_customer_is(cpu: Compute, found: Segmentation) -> None:
    frame, _ = snapshot()
    holes = frame.with_columns(
        pl.when(pl.int_range(pl.len()) == 0).then(None).otherwise(pl.col(c)).alias(c) for c in COLUMNS
    )
    answer = segments.fit(holes, snapshot(seed=1)[0], cpu)
    assert len(answer.labels) == len(frame)
    assert np.isfinite(answer.plane).all()


def test_too_few_customers_are_an_error_that_counts_them(cpu: Compute) -> None:
    few = snapshot(customers=7)[0]
    with pytest.raises(DataError, match="28 customers are too few for 3 segments"):
        segments.fit(few, few, cpu)


def test_data_of_less_than_84_days_are_the_same_error(cpu: Compute) -> None:
    frame = snapshot(customers=7)[0]
    with pytest.raises(DataError, match=r"0 customers are too few .* 84 days before the last"):
        segments.fit(frame, frame.clear(), cpu)
