"""The report's drawings: segments in the plane, lift, calibration, and small histograms."""

from collections.abc import Sequence
from typing import Final

import numpy as np
import numpy.typing as npt
from markupsafe import Markup

from training.report import svg, words
from training.report.data import Distribution, Plane

Floats = npt.NDArray[np.floating]
Ints = npt.NDArray[np.integer]

SERIES: Final = 10
"""Colours in the style sheet; segments beyond take them again and are told apart by their badges."""

_PLOT: Final = svg.Frame(560, 440)
_PLANE: Final = svg.Frame(600, 580)
_HISTOGRAM: Final = (160.0, 48.0)
_MOST_DOTS: Final = 4_000
_MARGIN: Final = 0.02
"""The share of customers at either end of an axis that the frame need not hold."""
_PAD: Final = 0.25
"""How far the frame reaches beyond them, of their range."""
_LARGEST_DOT: Final = 9.0
_SMALLEST_DOT: Final = 4.0
_Z95: Final = 1.96


def plane(key: str, data: Plane, ids: Sequence[int], names: Sequence[str]) -> tuple[Markup, str]:
    """The customers as dots, coloured by segment, with a badge at each segment's middle.

    Args:
        key: unique on the page.
        data: the customers.
        ids, names: the segments in the order of their colours and badges.

    Returns:
        The drawing, and what it leaves out, in a sentence; empty where it shows everyone.
    """
    limits = [_limits(data.points[:, axis]) for axis in (0, 1)]
    x, y = _PLANE.x(*limits[0]), _PLANE.y(*limits[1])
    low, high = np.array(limits).T
    inside = np.flatnonzero(((data.points >= low) & (data.points <= high)).all(axis=1))
    shown = inside
    if len(inside) > _MOST_DOTS:
        shown = np.sort(np.random.default_rng(0).choice(inside, _MOST_DOTS, replace=False))
    axes = (_component(x, "First", data.explained[0]), _component(y, "Second", data.explained[1]))
    parts = [svg.axes(_PLANE, *axes)]
    badges = []
    for place, segment in enumerate(ids):
        rows = shown[data.labels[shown] == segment]
        parts.append(svg.dots(((x(a), y(b)) for a, b in data.points[rows]), f"dot s{place % SERIES}"))
        members = data.points[data.labels == segment]
        if len(members):
            middle = np.clip(np.median(members, axis=0), low, high)
            badges.append(_badge(x(middle[0]), y(middle[1]), place))
    sizes = "; ".join(
        f"{name}: {words.plural(int((data.labels == segment).sum()), 'customer')}"
        for segment, name in zip(ids, names, strict=True)
    )
    drawing = svg.drawing(
        key, "Customer segments", f"Each dot is a customer. {sizes}.", _PLANE.width, _PLANE.height, parts + badges
    )
    return drawing, _left_out(len(data.points), len(inside), len(shown))


def gains(key: str, title: str, model: tuple[Floats, Floats], baseline: tuple[Floats, Floats], at: float) -> Markup:
    """The share of positives reached against the share of customers contacted, best scores first.

    Args:
        key: unique on the page.
        title: for a screen reader.
        model, baseline: contacted and reached, each rising from 0 to 1.
        at: the share contacted to mark.
    """
    x, y = _PLOT.x(0, 1), _PLOT.y(0, 1)
    axes = (
        svg.Axis(x, "Contacted, best score first", words.percent_tick),
        svg.Axis(y, "Of all positives, reached", words.percent_tick),
    )
    reached = {"baseline": reached_at(*baseline, at), "model": reached_at(*model, at)}
    parts = [
        svg.axes(_PLOT, *axes),
        svg.line([(x(0), y(0)), (x(1), y(1))], "chance"),
        svg.line([(x(at), y(0)), (x(at), y(max(reached.values())))], "mark"),
        svg.line(((x(a), y(b)) for a, b in zip(*_thinned(*baseline), strict=True)), "baseline"),
        svg.line(((x(a), y(b)) for a, b in zip(*_thinned(*model), strict=True)), "model"),
        *(svg.circle(x(at), y(share), 5, f"{name}-dot") for name, share in reached.items()),
    ]
    description = (
        f"Contacting {words.percent(at)} reaches {words.percent(reached['model'])} of the positives by the model, "
        f"{words.percent(reached['baseline'])} by the baseline."
    )
    return svg.drawing(key, title, description, _PLOT.width, _PLOT.height, parts)


def calibration(key: str, title: str, predicted: Floats, observed: Floats, counts: Ints) -> Markup:
    """Observed against predicted shares, one dot a bin, with the 95 % interval that its count allows.

    Args:
        key: unique on the page.
        title: for a screen reader.
        predicted, observed: shape (bins,): the mean prediction and the share of positives.
        counts: shape (bins,), above 0.
    """
    lower, upper = wilson(observed, counts)
    top = min(1.0, 1.05 * float(max(predicted.max(), upper.max())))
    x, y = _PLOT.x(0, top), _PLOT.y(0, top)
    axes = (svg.Axis(x, "Predicted", words.percent_tick), svg.Axis(y, "Observed", words.percent_tick))
    radii = np.maximum(_SMALLEST_DOT, _LARGEST_DOT * np.sqrt(counts / counts.max()))
    parts = [svg.axes(_PLOT, *axes), svg.line([(x(0), y(0)), (x(top), y(top))], "chance")]
    for a, b, below, above, radius in zip(predicted, observed, lower, upper, radii, strict=True):
        parts.append(svg.line([(x(a), y(below)), (x(a), y(min(above, top)))], "whisker"))
        parts.append(svg.circle(x(a), y(b), radius, "bin"))
    bins = "; ".join(
        f"{words.percent(a)} predicted, {words.percent(b)} observed of {count:,}"
        for a, b, count in zip(predicted, observed, counts, strict=True)
    )
    return svg.drawing(key, title, f"{bins}.", _PLOT.width, _PLOT.height, parts)


def histogram(key: str, data: Distribution) -> Markup:
    """A feature's distribution as one small shape."""
    width, height = _HISTOGRAM
    x, y = svg.Scale(0, len(data.counts), 0, width), svg.Scale(0, max(data.counts), height, 1)
    path = "".join(f"V{y(count):g}H{x(place + 1):g}" for place, count in enumerate(data.counts))
    shape = Markup('<path class="bars" d="M0 {0:g}{1}V{0:g}Z"/>').format(height, path)
    description = (
        f"{sum(data.counts):,} customers between {words.short(data.edges[0])} and {words.short(data.edges[-1])}, "
        f"{words.percent(data.null_share)} without a value."
    )
    return svg.drawing(key, f"Distribution of {data.feature}", description, width, height, [shape])


def reached_at(contacted: Floats, reached: Floats, share: float) -> float:
    """The share of positives reached when `share` of the customers is contacted."""
    return float(np.interp(share, contacted, reached))


def wilson(observed: Floats, counts: Ints) -> tuple[Floats, Floats]:
    """The 95 % interval of a share seen in `counts` trials (Wilson, 1927); both of the inputs' shape."""
    square = _Z95**2 / counts
    middle = (observed + square / 2) / (1 + square)
    half = _Z95 / (1 + square) * np.sqrt(observed * (1 - observed) / counts + square / (4 * counts))
    return np.maximum(middle - half, 0.0), np.minimum(middle + half, 1.0)


def _component(scale: svg.Scale, ordinal: str, explained: float) -> svg.Axis:
    return svg.Axis(scale, f"{ordinal} component ({words.percent(explained)} of the variance)", words.tick)


def _limits(values: Floats) -> tuple[float, float]:
    """The range of an axis: the outliers of a heavy tail may fall outside, the bulk fills the frame."""
    if not len(values):
        return 0.0, 1.0
    low, high = np.quantile(values, (_MARGIN, 1.0 - _MARGIN))
    pad = _PAD * (high - low) or 1.0
    return float(max(low - pad, values.min() - pad / 5)), float(min(high + pad, values.max() + pad / 5))


def _badge(x: float, y: float, place: int) -> Markup:
    """A segment's number on its colour, so that the colours need not be told apart."""
    return svg.circle(x, y, 14, f"badge s{place % SERIES}") + svg.label(x, y + 5, str(place + 1), "badge-text middle")


def _left_out(customers: int, inside: int, shown: int) -> str:
    parts = []
    if shown < inside:
        parts.append(f"{shown:,} of {inside:,} customers are drawn, chosen by chance.")
    if inside < customers:
        verb = "lies" if customers - inside == 1 else "lie"
        parts.append(f"{words.plural(customers - inside, 'customer')} {verb} beyond the frame.")
    return " ".join(parts)


def _thinned(x: Floats, y: Floats, most: int = 200) -> tuple[Floats, Floats]:
    """At most `most` points of a curve, evenly chosen, both ends among them."""
    if len(x) <= most:
        return x, y
    rows = np.linspace(0, len(x) - 1, most).round().astype(np.int64)
    return x[rows], y[rows]
