"""No two rows share a key, and what must lie together does."""

from hypothesis import given
from hypothesis import strategies as st
from redis.crc import key_slot

from motherlode.online.keys import (
    BUCKETS,
    bucket,
    buckets,
    entity_text,
    guard_key,
    of_key,
    ordered,
    row_key,
    row_keys,
    tagged,
)

TEXT = st.text(st.characters(codec="utf-8"), max_size=6)


def test_no_project_view_generation_or_entity_reads_anothers_row() -> None:
    keys = {
        row_key(project, view, entity_text(values), generation)
        for project in ("prod", "preprod")
        for view in ("v", "v_2")
        for generation in (0, 2)
        for values in (("1", "11"), ("11", "1"), ("1|11", ""), ("a/b", "c"), ("a", "b/c"), ("{", "}"), ("%7B", "}"))
    }
    assert len(keys) == 2 * 2 * 2 * 7


@given(st.lists(TEXT, min_size=1, max_size=3), st.lists(TEXT, min_size=1, max_size=3))
def test_two_entities_have_one_text_only_where_they_are_the_same(one: list[str], other: list[str]) -> None:
    assert (entity_text(one) == entity_text(other)) == (one == other)


@given(TEXT, TEXT)
def test_all_that_a_customer_has_lies_in_one_slot_of_a_cluster(customer: str, item: str) -> None:
    alone, with_item = entity_text([customer]), entity_text([customer, item])
    keys = [
        row_key("p", "v", alone),
        row_key("p", "w", with_item, 3),
        of_key("p", alone),
        guard_key("p", bucket(alone)),
    ]
    assert len({key_slot(key.encode()) for key in keys}) == 1


def test_the_customer_comes_first_among_join_keys_and_buckets_are_spread() -> None:
    assert ordered(["item_id", "customer_id", "a"], "customer_id") == ["customer_id", "a", "item_id"]
    assert len({bucket(str(n)) for n in range(10_000)}) == BUCKETS


@given(st.lists(TEXT, max_size=4))
def test_keys_of_many_are_those_of_each(texts: list[str]) -> None:
    entities = [entity_text([text]) for text in texts]
    assert row_keys("p", "v", 7, tagged(entities, buckets(entities))) == [
        row_key("p", "v", entity, 7) for entity in entities
    ]
