"""Puts the report together: the figures in words, the drawings, and the template around them."""

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path
from typing import Final

import jinja2
import numpy as np
from markupsafe import Markup

from motherlode import names
from motherlode.manifest import Quality
from training.evaluate import Evidence
from training.report import charts, words
from training.report.data import Distribution, Profile, ReportData

CONTACTED: Final = 0.2
"""The share of customers at which the lift is put in words."""

_FEATURES_SHOWN: Final = 14
"""Rows of the heat map before the fold."""
_TRAITS: Final = 4
_TRAIT_LEAST: Final = 0.4
"""Standard deviations from which a segment's mean is worth a word."""
_SATURATED: Final = 1.5
"""Standard deviations at which a cell of the heat map has its full colour."""
_DEEPEST: Final = 62
"""Per cent of colour in a full cell: deeper, and its figure could not be read."""

_TITLES: Final = {
    names.SEGMENTS: "Segments",
    names.RESPONSE: "Campaign response",
    names.INACTIVE_28D: "Inactivity in the next 28 days",
    names.USER_TOWER: "Recommendations",
}
_POSITIVES: Final = {
    names.RESPONSE: "households that redeem in the campaign",
    names.INACTIVE_28D: "customers who buy nothing in the next 28 days",
}


@dataclass(frozen=True)
class Figure:
    """A row of the quality table."""

    quality: Quality
    gain: str
    verdict: str
    style: str


@dataclass(frozen=True)
class Cell:
    """A cell of the heat map: its text, the class of its colour and how deep it is, per cent."""

    text: str
    style: str
    depth: int


@dataclass(frozen=True)
class Classifier:
    """A classifier's two charts and what they say; what its scores rest on; its figures under other rules."""

    key: str
    title: str
    positives: str
    baseline: str
    lift: str
    bias: str
    gains: Markup
    calibration: Markup
    recipe: str
    importance: list["Bar"]
    besides: list[Figure]


@dataclass(frozen=True)
class Bar:
    """A bar and its figure; its length is in per cent of the longest."""

    name: str
    text: str
    length: float
    ours: bool


@dataclass(frozen=True)
class Card:
    """A segment beside the plane."""

    place: int
    name: str
    description: str
    share: str
    customers: str
    high: tuple[str, ...]
    low: tuple[str, ...]


def render(data: ReportData) -> str:
    """The report as one HTML page that loads nothing from anywhere.

    Args:
        data: what it shows. Texts are escaped, wherever they come from.
    """
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(Path(__file__).parent),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["breakable"] = words.breakable
    environment.filters["percent"] = words.percent
    environment.filters["number"] = words.number
    environment.filters["short"] = words.short
    drawing, left_out = charts.plane(
        "plane", data.plane, [segment.id for segment in data.segments], [segment.name for segment in data.segments]
    )
    shown, folded = _heat(data.profile)
    return environment.get_template("template.html").render(
        data=data,
        style=Markup((Path(__file__).parent / "style.css").read_text(encoding="utf-8")),
        headline=_headline(data),
        quality=[(_TITLES.get(model, model), figures) for model, figures in _quality(data.quality)],
        plane=drawing,
        left_out=left_out,
        cards=_cards(data),
        heat={"shown": shown, "folded": folded},
        classifiers=[_classifier(model, evidence) for model, evidence in data.evidence.items()],
        recommendation=list(_bars(data.quality)),
        histograms=[(view, list(shapes)) for view, shapes in _histograms(data.distributions)],
    )


def badge(quality: Quality) -> str:
    """The class of a verdict's badge."""
    if quality.wins:
        return "level" if quality.close else "wins"
    return "level" if quality.value == quality.baseline_value else "loses"


def _quality(quality: tuple[Quality, ...]) -> Iterator[tuple[str, list[Figure]]]:
    for model, rows in groupby(quality, key=lambda row: row.model):
        yield model, [_figure(row) for row in rows]


def _figure(quality: Quality) -> Figure:
    difference = words.signed(quality.value - quality.baseline_value)
    return Figure(quality, difference, quality.verdict, badge(quality))


def _headline(data: ReportData) -> tuple[tuple[str, str], ...]:
    """The few figures that come first: what, and how much."""
    wins = sum(badge(quality) == "wins" for quality in data.quality)
    return (
        (f"{len(data.plane.labels):,}", "customers"),
        (f"{len(data.segments)}", "segments"),
        (f"{len(data.distributions)}", "features"),
        (f"{wins} of {len(data.quality)}", "figures beat their baseline"),
    )


def _cards(data: ReportData) -> list[Card]:
    cards = []
    for place, (segment, means) in enumerate(zip(data.segments, data.profile.means, strict=True)):
        order = np.argsort(-np.abs(means), kind="stable")[:_TRAITS]
        telling = [(words.feature(data.profile.features[row]), means[row]) for row in order]
        cards.append(
            Card(
                place=place,
                name=segment.name,
                description=segment.description,
                share=words.percent(segment.share),
                customers=words.plural(int((data.plane.labels == segment.id).sum()), "customer"),
                high=tuple(name for name, mean in telling if mean >= _TRAIT_LEAST),
                low=tuple(name for name, mean in telling if mean <= -_TRAIT_LEAST),
            )
        )
    return cards


def _heat(profile: Profile) -> tuple[list[tuple[str, list[Cell]]], list[tuple[str, list[Cell]]]]:
    """The heat map's rows, a feature each, those that tell the segments apart best first; cut at the fold."""
    if not len(profile.features):
        return [], []
    order = np.argsort(-np.ptp(profile.means, axis=0), kind="stable")
    rows = [(profile.features[row], [_cell(float(mean)) for mean in profile.means[:, row]]) for row in order]
    return rows[:_FEATURES_SHOWN], rows[_FEATURES_SHOWN:]


def _cell(mean: float) -> Cell:
    depth = round(min(abs(mean) / _SATURATED, 1.0) * _DEEPEST)
    return Cell(words.deviations(mean), "high" if mean > 0 else "low", depth)


def _classifier(model: str, evidence: Evidence) -> Classifier:
    curves, title = evidence.curves, _TITLES.get(model, model)
    positives = _POSITIVES.get(model, "positives")
    ours, baseline = (curves.contacted, curves.reached), (curves.baseline_contacted, curves.baseline_reached)
    found, usual = (charts.reached_at(*curve, CONTACTED) for curve in (ours, baseline))
    predicted, observed, error = (
        float(np.average(means, weights=curves.counts))
        for means in (curves.predicted, curves.observed, np.abs(curves.predicted - curves.observed))
    )
    return Classifier(
        key=model.replace("_", "-"),
        title=title,
        positives=positives,
        baseline=curves.baseline,
        lift=(
            f"The best-scored {words.percent(CONTACTED)} hold {words.percent(found)} of the {positives}; "
            f"by {curves.baseline}, {words.percent(usual)}."
        ),
        bias=(
            f"On average {words.percent(predicted)} was predicted and {words.percent(observed)} observed; "
            f"the groups are off by {words.points(error)} on average."
        ),
        gains=charts.gains(f"{model}-gains", f"Lift: {title}", ours, baseline, CONTACTED),
        calibration=charts.calibration(
            f"{model}-calibration", f"Calibration: {title}", curves.predicted, curves.observed, curves.counts
        ),
        recipe=evidence.recipe,
        importance=_importance(evidence.importance),
        besides=[_figure(row) for row in evidence.besides],
    )


def _importance(losses: tuple[tuple[str, float], ...]) -> list[Bar]:
    """A bar a feature that shuffling shows to matter; the rest is noise around zero."""
    telling = [(name, lost) for name, lost in losses if lost > 0]
    longest = max((lost for _, lost in telling), default=1.0)
    return [Bar(name, words.number(lost), 100 * lost / longest, ours=True) for name, lost in telling]


def _bars(quality: tuple[Quality, ...]) -> Iterator[tuple[str, list[Bar]]]:
    """The recommender's figures, a group a metric: ours first, then each baseline."""
    ours = [row for row in quality if row.model == names.USER_TOWER]
    for metric in dict.fromkeys(row.metric for row in ours):
        rows = [row for row in ours if row.metric == metric]
        longest = max(abs(value) for row in rows for value in (row.value, row.baseline_value)) or 1.0
        first = rows[0]
        spread = "" if first.spread is None else f" ± {words.number(first.spread)}"
        bars = [Bar("Motherlode", words.number(first.value) + spread, 100 * abs(first.value) / longest, ours=True)]
        bars += [
            Bar(row.baseline, words.number(row.baseline_value), 100 * abs(row.baseline_value) / longest, ours=False)
            for row in rows
        ]
        yield metric, bars


def _histograms(distributions: tuple[Distribution, ...]) -> Iterator[tuple[str, list[tuple[Distribution, Markup]]]]:
    keyed = enumerate(distributions)
    for view, shapes in groupby(keyed, key=lambda numbered: numbered[1].view):
        yield (
            view,
            [
                (shape, charts.histogram(f"histogram-{place}", shape) if shape.counts else Markup())
                for place, shape in shapes
            ],
        )
