"""Series as Prometheus reads them: the text exposition format 0.0.4."""

from collections.abc import Iterator, Mapping, Sequence
from itertools import accumulate
from typing import Final

from serving.sight.counts import Series
from serving.sight.metrics import METRICS, Metric

CONTENT_TYPE: Final = "text/plain; version=0.0.4; charset=utf-8"


def exposition(found: Mapping[str, Sequence[Series]]) -> str:
    """The metrics as text, each with its HELP and TYPE.

    Args:
        found: series by the metric's name; a metric without any is left out.
    """
    return "".join(
        f"{line}\n" for metric in METRICS if found.get(metric.name) for line in _family(metric, found[metric.name])
    )


def _family(metric: Metric, series: Sequence[Series]) -> Iterator[str]:
    yield f"# HELP {metric.name} {metric.help}"
    yield f"# TYPE {metric.name} {metric.kind}"
    for each in sorted(series, key=lambda it: it.labels):
        labels = dict(zip(metric.labels, each.labels, strict=True))
        if metric.kind != "histogram":
            yield f"{metric.name}{_labels(labels)} {_number(each.value)}"
            continue
        bounds = (*map(_number, metric.buckets), "+Inf")
        for bound, count in zip(bounds, accumulate(each.counts), strict=True):
            yield f"{metric.name}_bucket{_labels({**labels, 'le': bound})} {count}"
        yield f"{metric.name}_sum{_labels(labels)} {_number(each.value)}"
        yield f"{metric.name}_count{_labels(labels)} {sum(each.counts)}"


def _number(value: float) -> str:
    return repr(float(value))


def _labels(labels: Mapping[str, str]) -> str:
    told = ",".join(f'{name}="{_escaped(value)}"' for name, value in labels.items())
    return f"{{{told}}}" if told else ""


def _escaped(text: str) -> str:
    return text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
