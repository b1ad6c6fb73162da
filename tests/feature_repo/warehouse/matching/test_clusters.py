"""Groups of pairs: nobody with whom they contradict, whatever the order."""

from hypothesis import given
from hypothesis import strategies as st

from feature_repo.warehouse.matching import clusters
from feature_repo.warehouse.matching.clusters import Edge

NUMBERS = st.integers(0, 7)
EDGES = st.lists(st.tuples(NUMBERS, NUMBERS, st.sampled_from([0.95, 0.97, 0.99])), max_size=14)
APART = st.lists(st.tuples(NUMBERS, NUMBERS).filter(lambda pair: pair[0] != pair[1]), max_size=6)


def edges(drawn: list[tuple[int, int, float]]) -> list[Edge]:
    best = {(min(a, b), max(a, b)): p for a, b, p in drawn if a != b}
    return [Edge(a, b, p, "same name") for (a, b), p in best.items()]


def test_the_surest_edge_wins_and_the_chain_is_cut_where_it_contradicts() -> None:
    chain = [Edge(1, 2, 0.96, "a"), Edge(2, 3, 0.99, "b"), Edge(3, 4, 0.97, "c")]
    assert clusters.people(chain, []) == [[1, 2, 3, 4]]
    assert clusters.people(chain, [(1, 4)]) == [[2, 3, 4]]
    assert clusters.people(chain, [(3, 2)]) == [[1, 2], [3, 4]]


@given(drawn=EDGES, apart=APART)
def test_no_group_holds_a_pair_that_is_told_apart(
    drawn: list[tuple[int, int, float]], apart: list[tuple[int, int]]
) -> None:
    groups = clusters.people(edges(drawn), apart)
    members = [member for group in groups for member in group]
    assert len(members) == len(set(members))
    assert not any(left in group and right in group for group in groups for left, right in apart)


@given(drawn=EDGES, apart=APART, data=st.data())
def test_the_groups_depend_on_no_order_of_edges(
    drawn: list[tuple[int, int, float]], apart: list[tuple[int, int]], data: st.DataObject
) -> None:
    given_edges = edges(drawn)
    shuffled = data.draw(st.permutations(given_edges))
    assert clusters.people(given_edges, apart) == clusters.people(shuffled, list(reversed(apart)))


@given(drawn=EDGES)
def test_without_contradictions_the_groups_are_the_connected_components(drawn: list[tuple[int, int, float]]) -> None:
    assert clusters.people(edges(drawn), []) == clusters.components(edges(drawn))


def test_a_member_without_an_edge_to_the_survivor_has_the_weakest_link_of_its_way() -> None:
    found = clusters.paths([1, 2, 3], [Edge(1, 2, 0.96, "a"), Edge(2, 3, 0.99, "b")], survivor=1)
    assert found == {2: (0.96, "a"), 3: (0.96, "b (with another double)")}
