"""Small parts of an SVG drawing: scales, ticks, axes and the drawing around them.

Every function answers text that is safe to place in HTML: what comes from outside is escaped. Colours are
CSS classes, so that one style sheet serves the light and the dark scheme. Lengths are in user units; the
drawing scales to the width of its place.
"""

import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Final

from markupsafe import Markup, escape

TICKS: Final = 5
"""About how many ticks an axis has."""

_NICE: Final = (1.0, 2.0, 2.5, 5.0, 10.0)


@dataclass(frozen=True)
class Scale:
    """A linear scale from values to user units.

    Attributes:
        low, high: the values at the axis' ends; equal ends put every value in the middle.
        start, end: where they lie; start above end for the vertical axis, which grows downwards.
    """

    low: float
    high: float
    start: float
    end: float

    def __call__(self, value: float) -> float:
        """Where a value lies, to a tenth of a unit: finer cannot be seen and costs bytes."""
        span = self.high - self.low
        share = 0.5 if span == 0 else (value - self.low) / span
        return round(self.start + share * (self.end - self.start), 1)


@dataclass(frozen=True)
class Frame:
    """A plot's size and its margins, in user units."""

    width: float
    height: float
    left: float = 76.0
    right: float = 34.0
    top: float = 42.0
    bottom: float = 68.0

    def x(self, low: float, high: float) -> Scale:
        """The horizontal scale."""
        return Scale(low, high, self.left, self.width - self.right)

    def y(self, low: float, high: float) -> Scale:
        """The vertical scale; values grow upwards."""
        return Scale(low, high, self.height - self.bottom, self.top)


@dataclass(frozen=True)
class Axis:
    """An axis: its scale, what it shows, and how a tick is written."""

    scale: Scale
    label: str
    text: Callable[[float], str]


def ticks(low: float, high: float, count: int = TICKS) -> list[float]:
    """Round values from `low` to `high`, both included where they are round, about `count` of them."""
    if not high > low:
        return [low]
    rough = (high - low) / count
    power = 10.0 ** math.floor(math.log10(rough))
    step = next(nice * power for nice in _NICE if nice * power >= rough * (1 - 1e-9))
    first = math.ceil(low / step - 1e-9)
    last = math.floor(high / step + 1e-9)
    # Whole multiples: adding the step up would drift to 0.30000000000000004.
    return [round(index * step, 12) + 0.0 for index in range(first, last + 1)]


def axes(frame: Frame, horizontal: Axis, vertical: Axis) -> Markup:
    """Grid lines, tick labels and axis labels; the vertical one lies flat above its axis, where it can be read."""
    bottom, right = frame.height - frame.bottom, frame.width - frame.right
    parts = []
    for value in ticks(horizontal.scale.low, horizontal.scale.high):
        x = horizontal.scale(value)
        parts.append(Markup('<path class="grid" d="M{0} {1}V{2}"/>').format(x, frame.top, bottom))
        parts.append(_text(x, bottom + 25, horizontal.text(value), "tick middle"))
    for value in ticks(vertical.scale.low, vertical.scale.high):
        y = vertical.scale(value)
        parts.append(Markup('<path class="grid" d="M{0} {1}H{2}"/>').format(frame.left, y, right))
        parts.append(_text(frame.left - 8, y + 5, vertical.text(value), "tick end"))
    parts.append(_text((frame.left + right) / 2, frame.height - 10, horizontal.label, "axis middle"))
    parts.append(_text(0, 18, vertical.label, "axis"))
    return Markup("").join(parts)


def line(points: Iterable[tuple[float, float]], style: str) -> Markup:
    """A line through points, in user units; `style` is its CSS class."""
    path = "L".join(f"{x:g} {y:g}" for x, y in points)
    return Markup('<path class="{0}" d="M{1}"/>').format(style, path)


def dots(points: Iterable[tuple[float, float]], style: str) -> Markup:
    """Equal dots as one path of lines without length: a dozen bytes a dot. CSS rounds and sizes them."""
    path = "".join(f"M{x:g} {y:g}h0" for x, y in points)
    return Markup('<path class="{0}" d="{1}"/>').format(style, path)


def circle(x: float, y: float, radius: float, style: str) -> Markup:
    """A dot with a size of its own."""
    return Markup('<circle class="{0}" cx="{1:g}" cy="{2:g}" r="{3:g}"/>').format(style, x, y, round(radius, 1))


def label(x: float, y: float, text: str, style: str) -> Markup:
    """A text at a point."""
    return _text(x, y, text, style)


def drawing(key: str, title: str, description: str, width: float, height: float, parts: Iterable[Markup]) -> Markup:
    """The whole drawing, with what a screen reader says of it.

    Args:
        key: unique on the page; letters, digits and hyphens.
        title: what is drawn.
        description: what it shows, in figures, for who cannot see it.
        width, height: user units.
        parts: what it is made of, in painting order.
    """
    return Markup(
        '<svg viewBox="0 0 {width:g} {height:g}" role="img" aria-labelledby="{key}-title {key}-desc">'
        '<title id="{key}-title">{title}</title><desc id="{key}-desc">{description}</desc>{body}</svg>'
    ).format(width=width, height=height, key=key, title=title, description=description, body=Markup("").join(parts))


def _text(x: float, y: float, text: str, style: str) -> Markup:
    return Markup('<text class="{0}" x="{1:g}" y="{2:g}">{3}</text>').format(style, x, y, escape(text))
