"""A check's outcome, by name."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Verdict:
    """One row of the table.

    Attributes:
        name: what was checked.
        problem: what is wrong; None where nothing is.
    """

    name: str
    problem: str | None = None

    @property
    def passed(self) -> bool:
        """Whether nothing is wrong."""
        return self.problem is None
