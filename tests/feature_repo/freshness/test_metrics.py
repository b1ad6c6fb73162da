"""The exposition is what Prometheus' own parser reads, with the values that were measured."""

from datetime import UTC, datetime, timedelta

import msgspec
from prometheus_client.parser import text_string_to_metric_families

from feature_repo.freshness.measure import Freshness, Offline, ViewFreshness
from feature_repo.freshness.metrics import exposition
from feature_repo.freshness.online import Ages, OnlineView, Store, Stream

AT = datetime(2026, 11, 22, 12, tzinfo=UTC)
NAME = 'own "view"\\of\nthe company'
FULL = Freshness(
    at=AT,
    project="shop",
    views=(
        ViewFreshness(
            name="rfm",
            ttl_s=3_024_000.0,
            offline=Offline(snapshots=3, rows=30, built_at=AT, newest=AT - timedelta(days=1), entities=10),
            watermark=AT - timedelta(hours=2),
            lag_s=7200.0,
            behind_s=0.0,
            online=OnlineView(
                rows=9,
                sampled=9,
                ages=Ages(p50=1.5, p95=2.5, longest=1e9, newest=0.25),
                stale=0.125,
                expiring=0.25,
                corrupt=0.0,
                nulls=0.5,
                most_null="recency",
                most_nulls=0.75,
                bytes=4096,
            ),
            coverage=0.9,
            probed=10,
        ),
        ViewFreshness(name=NAME, ttl_s=None, online=OnlineView()),
    ),
    store=Store(keys=100, walked=100, bytes=1_000_000, most_bytes=2_000_000),
    stream=Stream(waiting=3, oldest_s=1.25),
)


def samples(found: Freshness) -> dict[tuple[str, ...], float]:
    """(name, label values …) → value, by the client library's parser; every family documented and a gauge."""
    read: dict[tuple[str, ...], float] = {}
    for family in text_string_to_metric_families(exposition(found)):
        assert family.type == "gauge" and family.documentation and family.samples
        for sample in family.samples:
            key = (sample.name, *sample.labels.values())
            assert key not in read
            read[key] = sample.value
    return read


def test_every_value_arrives_under_its_view() -> None:
    found = samples(FULL)
    feature = "motherlode_feature_"
    wanted = {
        ("motherlode_online_up",): 1,
        ("motherlode_online_memory_bytes",): 1_000_000,
        ("motherlode_online_memory_limit_bytes",): 2_000_000,
        ("motherlode_events_waiting",): 3,
        ("motherlode_events_oldest_seconds",): 1.25,
        (f"{feature}online_rows", "rfm"): 9,
        (f"{feature}online_rows", NAME): 0,
        (f"{feature}coverage_ratio", "rfm"): 0.9,
        (f"{feature}stale_ratio", "rfm"): 0.125,
        (f"{feature}expiring_ratio", "rfm"): 0.25,
        (f"{feature}null_ratio", "rfm"): 0.5,
        (f"{feature}most_null_ratio", "rfm", "recency"): 0.75,
        (f"{feature}memory_bytes", "rfm"): 4096,
        (f"{feature}age_seconds", "rfm", "0.5"): 1.5,
        (f"{feature}age_seconds", "rfm", "0.95"): 2.5,
        (f"{feature}age_seconds", "rfm", "1"): 1e9,
        (f"{feature}watermark_lag_seconds", "rfm"): 7200,
        (f"{feature}watermark_timestamp_seconds", "rfm"): (AT - timedelta(hours=2)).timestamp(),
        (f"{feature}ttl_seconds", "rfm"): 3_024_000,
    }
    assert {key: found[key] for key in wanted} == wanted


def test_rows_of_which_none_can_be_read_are_told() -> None:
    unreadable = OnlineView(rows=4, corrupt=1.0)
    (view,) = (msgspec.structs.replace(each, online=unreadable) for each in FULL.views if each.name == "rfm")
    found = samples(msgspec.structs.replace(FULL, views=(view,)))
    assert found["motherlode_feature_corrupt_ratio", "rfm"] == 1
    assert ("motherlode_feature_stale_ratio", "rfm") not in found
    assert samples(FULL)["motherlode_feature_corrupt_ratio", "rfm"] == 0


def test_what_is_not_known_is_left_out_and_never_zero() -> None:
    names = {key[0] for key in samples(FULL) if NAME in key}
    assert names == {
        f"motherlode_feature_{name}" for name in ("online_rows", "online_rows_estimated", "memory_bytes", "generation")
    }


def test_a_store_that_does_not_answer_is_down_and_has_no_rows() -> None:
    views = tuple(msgspec.structs.replace(each, online=None, coverage=None) for each in FULL.views)
    found = samples(msgspec.structs.replace(FULL, views=views, store=None, stream=None, problem="gone"))
    assert found["motherlode_online_up",] == 0
    assert ("motherlode_feature_online_rows", "rfm") not in found
    assert found["motherlode_feature_offline_rows", "rfm"] == 30
