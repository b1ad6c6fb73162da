"""Figures as people read them: counts with commas, shares in per cent, three digits where it matters."""

import math
import re
from typing import Final

from markupsafe import Markup, escape

_PERCENT: Final = "\N{NO-BREAK SPACE}%"
_JOINT: Final = re.compile(r"(?<=[._])")
_TREND: Final = re.compile(r"_(\d+)w_(\d+)w$")
_WINDOW: Final = re.compile(r"_(\d+)d$")


def number(value: float) -> str:
    """A figure with about three digits: 1,234 · 12.3 · 0.123; a dash where there is none."""
    if not math.isfinite(value):
        return "–"
    size = abs(value)
    if size >= 100:
        text = f"{value:,.0f}"
    elif size >= 10:
        text = f"{value:.1f}"
    elif size >= 1:
        text = f"{value:.2f}"
    else:
        text = f"{value:.3f}"
    return _minus(text)


def tick(value: float) -> str:
    """A figure on an axis: no digits that its roundness does not need."""
    return _minus(f"{value:,.0f}" if abs(value) >= 1000 else f"{value:g}")


def short(value: float) -> str:
    """A figure where there is little room, three digits and no idle zeros: 0 · 0.133 · 84.4 · 2,970."""
    return _minus(f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.3g}")


def percent(share: float) -> str:
    """A share of one in per cent, with a digit below ten: 62 % · 4.1 %."""
    if not math.isfinite(share):
        return "–"
    points = share * 100
    if points in (0, 100) or abs(points) >= 10:
        return _minus(f"{points:.0f}{_PERCENT}")
    return f"below 0.1{_PERCENT}" if 0 < points < 0.05 else _minus(f"{points:.1f}{_PERCENT}")


def percent_tick(share: float) -> str:
    """A share on an axis: 20 %."""
    return _minus(f"{share * 100:g}{_PERCENT}")


def signed(value: float) -> str:
    """A difference with its sign: +0.041 · −0.2."""
    return f"+{number(value)}" if value > 0 else number(value)


def deviations(value: float) -> str:
    """A mean in standard deviations, one digit: +1.2 · −0.4 · 0.0."""
    text = _minus(f"{value:.1f}")
    return f"+{text}" if float(f"{value:.1f}") > 0 else text


def points(share: float) -> str:
    """A difference of shares: 1.2 percentage points."""
    return f"{share * 100:.1f} percentage points"


def plural(count: int, noun: str) -> str:
    """1 customer · 2,469 customers."""
    return f"{count:,} {noun}" if count == 1 else f"{count:,} {noun}s"


def feature(name: str) -> str:
    """A feature's column name as words, without its view: rfm.frequency_84d → frequency, 84 days."""
    words = _TREND.sub(r", \1 against \2 weeks", _WINDOW.sub(r", \1 days", name.rpartition(".")[2]))
    if words.startswith("share_"):
        words = f"share of {words.removeprefix('share_')}"
    return words.replace("_", " ")


def breakable(name: str) -> Markup:
    """A column's name that may go on in the next line after an underscore or its view's dot."""
    return Markup("<wbr>").join(escape(part) for part in _JOINT.split(name))


def _minus(text: str) -> str:
    """A true minus sign, and none before a zero."""
    return text.lstrip("-") if not text.strip("-0.," + _PERCENT) else text.replace("-", "−")
