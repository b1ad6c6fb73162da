"""What Prometheus' own parser reads is what was counted."""

import math

from prometheus_client.parser import text_string_to_metric_families

from serving.sight.counts import Family, Series
from serving.sight.metrics import BUNDLE, METRICS, REQUESTS, STAGES
from serving.sight.text import exposition


def test_prometheus_parser_reads_back_what_was_counted() -> None:
    stages = Family(STAGES)
    for seconds in (0.00001, 0.00005, 0.0003, 99.0):
        stages.histogram("redis").observe(seconds)
    strange = 'a "quoted" \\ name\nof two lines'
    text = exposition({STAGES.name: stages.now(), BUNDLE.name: [Series((strange, "cpu"), 2)], REQUESTS.name: []})
    families = {each.name: each for each in text_string_to_metric_families(text)}
    assert set(families) == {STAGES.name, BUNDLE.name}
    assert families[STAGES.name].type == "histogram"
    counts = {
        float(each.labels["le"]): each.value for each in families[STAGES.name].samples if each.name.endswith("_bucket")
    }
    assert list(counts) == [*STAGES.buckets, math.inf]
    assert (counts[0.00005], counts[0.00025], counts[0.0005], counts[1.0], counts[math.inf]) == (2, 2, 3, 3, 4)
    (total,) = [each.value for each in families[STAGES.name].samples if each.name.endswith("_sum")]
    assert total == 0.00001 + 0.00005 + 0.0003 + 99.0
    (sample,) = families[BUNDLE.name].samples
    assert (sample.labels, sample.value) == ({"version": strange, "device": "cpu"}, 2)


def test_buckets_ascend_and_only_histograms_have_them() -> None:
    for metric in METRICS:
        assert list(metric.buckets) == sorted(set(metric.buckets))
        assert bool(metric.buckets) == (metric.kind == "histogram")
        assert metric.kind != "counter" or metric.name.endswith("_total")
    assert len({metric.name for metric in METRICS}) == len(METRICS)
