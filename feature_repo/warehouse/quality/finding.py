"""A finding: one thing that is wrong, how much of it, and what to do."""

from collections.abc import Iterable
from typing import Final

import msgspec

from feature_repo.warehouse.contract import Severity

_ORDER: Final = {"fail": 0, "warn": 1}
_SHOWN: Final = 3
"""Findings named in a refusal's message; the rest are counted."""


class Finding(msgspec.Struct, frozen=True):
    """Something that is wrong with a table.

    Attributes:
        severity: `fail` refuses the load, `warn` tells.
        table: the canonical table; a source's name for what concerns a file.
        what: what is wrong, naming the column, the file or the check.
        value: the figures.
        remedy: what the data's owner can do.
    """

    severity: Severity
    table: str
    what: str
    value: str
    remedy: str


class Verdict(msgspec.Struct, frozen=True):
    """What is said of a load.

    Attributes:
        findings: the worst first.
    """

    findings: tuple[Finding, ...]

    @property
    def refused(self) -> bool:
        """Whether the last good state must stay."""
        return any(finding.severity == "fail" for finding in self.findings)

    @property
    def reason(self) -> str:
        """Why it is refused, in a line; empty where it is not."""
        failed = [f"{it.table}: {it.what} ({it.value})" for it in self.findings if it.severity == "fail"]
        more = f"; {len(failed) - _SHOWN} more" if len(failed) > _SHOWN else ""
        return "; ".join(failed[:_SHOWN]) + more


def verdict(findings: Iterable[Finding]) -> Verdict:
    """The findings, each once, what fails first."""
    return Verdict(tuple(sorted(dict.fromkeys(findings), key=lambda finding: _ORDER[finding.severity])))


def share(part: int, whole: int) -> str:
    """How much of how much: 12 of 1,200 (1.0 %)."""
    return f"{part:,} of {whole:,} ({percent(part / whole)})" if whole else f"{part:,} of 0"


def percent(value: float) -> str:
    """A share of one in per cent: 62 % · 4.1 % · below 0.1 %."""
    points = 100 * value
    if points in (0, 100):
        return f"{points:.0f} %"
    if points < 0.05:
        return "below 0.1 %"
    if points > 99.5:
        return "over 99 %"
    return f"{points:.0f} %" if points >= 10 else f"{points:.1f} %"
