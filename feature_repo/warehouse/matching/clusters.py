"""From pairs to people: groups in which nobody contradicts anybody."""

from collections import defaultdict
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass

Pair = tuple[int, int]


@dataclass(frozen=True)
class Edge:
    """Two members that may be one person, left < right, with the probability that they are."""

    left: int
    right: int
    probability: float
    evidence: str


class Groups:
    """Disjoint groups of numbers, each alone at first."""

    def __init__(self) -> None:
        self._of: dict[int, list[int]] = {}

    def of(self, member: int) -> list[int]:
        """Everybody in the member's group."""
        return self._of.setdefault(member, [member])

    def join(self, left: int, right: int) -> None:
        """Make one group of two."""
        large, small = self.of(left), self.of(right)
        if large is small:
            return
        if len(large) < len(small):
            large, small = small, large
        large.extend(small)
        self._of.update(dict.fromkeys(small, large))

    def all(self) -> list[list[int]]:
        """Every group of two or more, each sorted, by their first member."""
        seen = {id(group): group for group in self._of.values() if len(group) > 1}
        return sorted(sorted(group) for group in seen.values())


def components(edges: Iterable[Edge]) -> list[list[int]]:
    """Connected components of two or more."""
    groups = Groups()
    for edge in edges:
        groups.join(edge.left, edge.right)
    return groups.all()


def people(edges: Sequence[Edge], apart: Collection[Pair]) -> list[list[int]]:
    """Groups joined by edges, the most probable first; an edge that would bring a pair of `apart` together is refused.

    The answer depends on no order: equal probabilities are taken by their members' numbers.
    """
    forbidden: dict[int, set[int]] = defaultdict(set)
    for left, right in apart:
        forbidden[left].add(right)
        forbidden[right].add(left)
    groups = Groups()
    for edge in sorted(edges, key=lambda edge: (-edge.probability, edge.left, edge.right)):
        one, other = groups.of(edge.left), groups.of(edge.right)
        if one is not other and not any(forbidden[member].intersection(other) for member in one if member in forbidden):
            groups.join(edge.left, edge.right)
    return groups.all()


def paths(group: Collection[int], edges: Iterable[Edge], survivor: int) -> dict[int, tuple[float, str]]:
    """How each member is known to be the survivor: probability and evidence, of the best way there.

    A member without an edge of its own to the survivor has the smallest probability on its way, and its first step's
    evidence.
    """
    inside: dict[int, list[tuple[int, Edge]]] = defaultdict(list)
    members = set(group)
    for edge in edges:
        if edge.left in members and edge.right in members:
            inside[edge.left].append((edge.right, edge))
            inside[edge.right].append((edge.left, edge))
    found: dict[int, tuple[float, str]] = {other: (edge.probability, edge.evidence) for other, edge in inside[survivor]}
    reached = {survivor, *found}
    while True:
        steps = [
            (min(edge.probability, found[other][0]), -member, f"{edge.evidence} (with another double)", member)
            for member in members - reached
            for other, edge in inside[member]
            if other in reached
        ]
        if not steps:
            return found
        probability, _, evidence, member = max(steps)
        found[member] = (probability, evidence)
        reached.add(member)
