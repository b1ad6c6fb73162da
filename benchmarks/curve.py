"""A small plot as SVG: seconds and memory over lines, both axes by powers of ten."""

from collections.abc import Callable, Sequence
from math import ceil, floor, log10
from pathlib import Path
from typing import Final

Point = tuple[float, float, float]
"""Lines, seconds, GB."""

WIDTH: Final = 720
HEIGHT: Final = 320
_LEFT, _TOP, _PANEL, _GAP, _BOTTOM = 70, 46, 240, 120, 56
_STYLE: Final = (
    "text{font:13px sans-serif;fill:#334155}.title{font-weight:bold}.grid{stroke:#e2e8f0}"
    ".line{fill:none;stroke:#2563eb;stroke-width:2}.dot{fill:#2563eb}.goal{stroke:#dc2626;stroke-dasharray:5 4}"
    ".promise{fill:#dc2626}@media (prefers-color-scheme:dark){text{fill:#cbd5e1}.grid{stroke:#334155}"
    ".promise{fill:#f87171}}"
)


def draw(path: Path, points: Sequence[Point], goal: Point) -> None:
    """Write the plot.

    Args:
        path: the file.
        points: what was measured, in any order.
        goal: at how many lines, how many seconds and GB were promised.
    """
    ordered = sorted(points)
    lines = [each[0] for each in ordered] + [goal[0]]
    across = _scale(lines, _LEFT, _PANEL)
    other = _scale(lines, _LEFT + _PANEL + _GAP, _PANEL)
    parts = [
        *_panel("seconds", [(x, y) for x, y, _ in ordered], (goal[0], goal[1]), _LEFT, across),
        *_panel("memory, GB", [(x, y) for x, _, y in ordered], (goal[0], goal[2]), _LEFT + _PANEL + _GAP, other),
    ]
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" role="img" '
        f'aria-label="Seconds and memory of a first build over purchase lines">\n<style>{_STYLE}</style>\n'
        + "\n".join(parts)
        + "\n</svg>\n"
    )


def _panel(
    title: str, points: Sequence[tuple[float, float]], goal: tuple[float, float], left: int, x: Callable[[float], float]
) -> list[str]:
    bottom = HEIGHT - _BOTTOM
    values = [value for _, value in points] + [goal[1]]
    rise = _scale(values, 0, bottom - _TOP)

    def y(value: float) -> float:
        return bottom - rise(value)

    found = [f'<text class="title" x="{left}" y="{_TOP - 18}">{title}</text>']
    for power in _powers(values):
        found.append(f'<path class="grid" d="M{left} {y(power):.1f}H{left + _PANEL}"/>')
        found.append(f'<text x="{left - 8}" y="{y(power) + 4:.1f}" text-anchor="end">{power:g}</text>')
    for power in _powers([value for value, _ in (*points, goal)]):
        found.append(f'<path class="grid" d="M{x(power):.1f} {_TOP}V{bottom}"/>')
        label = f"{power / 1e6:g} M"
        found.append(f'<text x="{x(power):.1f}" y="{bottom + 20}" text-anchor="middle">{label}</text>')
    found.append(f'<text x="{left + _PANEL / 2}" y="{bottom + 42}" text-anchor="middle">purchase lines</text>')
    found.append(f'<path class="goal" d="M{left} {y(goal[1]):.1f}H{left + _PANEL}"/>')
    promise = f"at most {goal[1]:g} at {goal[0] / 1e6:g} M"
    found.append(f'<text class="promise" x="{left + 6}" y="{y(goal[1]) - 6:.1f}">{promise}</text>')
    way = "L".join(f"{x(lines):.1f} {y(value):.1f}" for lines, value in points)
    found.append(f'<path class="line" d="M{way}"/>')
    for lines, value in points:
        found.append(f'<circle class="dot" cx="{x(lines):.1f}" cy="{y(value):.1f}" r="4"/>')
        below = y(value) + 20 if y(value) + 24 < bottom else y(value) - 10
        where = f'x="{x(lines):.1f}" y="{below:.1f}" text-anchor="{_anchor(x(lines), left)}"'
        found.append(f"<text {where}>{value:.3g}</text>")
    return found


def _anchor(x: float, left: int) -> str:
    return "end" if x > left + _PANEL - 30 else "start" if x < left + 30 else "middle"


def _powers(values: Sequence[float]) -> list[float]:
    """The powers of ten around the values."""
    low, high = floor(log10(min(values))), ceil(log10(max(values)))
    return [10.0**power for power in range(low, max(high, low + 1) + 1)]


def _scale(values: Sequence[float], start: float, length: float) -> Callable[[float], float]:
    powers = _powers(values)
    low, high = log10(powers[0]), log10(powers[-1])
    return lambda value: start + (log10(value) - low) / (high - low) * length
