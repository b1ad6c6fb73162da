"""The Redis keys of the online store.

    <project>/<view>/<generation>/{<bucket>}<entity>    a packed row (`motherlode.packed`)
    <project>/@of/{<bucket>}<customer>                  set: the row keys of a customer under several join keys
    <project>/@consent/{<bucket>}<customer>             what a customer said of purposes (`motherlode.consent`)
    <project>/@consented/{<bucket>}                     there where all is told that anybody said (the same)
    <project>/@contacts/{<bucket>}<customer>            when a customer was contacted (`motherlode.contacts`)
    <project>/@guard/{<bucket>}                         hash: what writers check (`motherlode.online.scripts`)
    <project>/@live                                     which generation of each view is read (`motherlode.online.live`)
    <project>/@schema/<fingerprint>                     a schema, as JSON
    <project>/@view/<view>                              the schema that a view is written with now, as JSON
    <project>/@complete/<view>/<generation>             how it was last written whole: format, fingerprint, keep time
    <project>/@erasure                                  which key the guards' digests are made by
    <project>/@flipped/<view>                           for a minute after a flip (`motherlode.online.generations`)
    <project>/@refused                                  which bundles serving refused, a hash (`motherlode.refusal`)
    <project>/@suppressed                               set: items that nobody is recommended, by their ids
    <project>/@owned                                    set of `<view>/<generation>` whose rows belong to a customer

The project is a whole segment, so that no project is another's prefix. What stands in braces is what Redis Cluster
takes for the slot: the bucket, so that a customer's rows, its tombstone and what writers check lie together, and that
a key names nobody whose rows are gone.
"""

from collections.abc import Iterable, Mapping, Sequence
from operator import add
from typing import Final
from zlib import crc32

BUCKETS: Final = 256
"""Hash tags: rows of one bucket lie in one slot of Redis Cluster, and can be written by one call."""
_LAST: Final = BUCKETS - 1
ESCAPES: Final[Mapping[str, str]] = {mark: f"%{ord(mark):02X}" for mark in "%|/{}"}
"""What means something in a key → what stands for it in a value."""
_TAGS: Final = tuple(f"{{{number}}}" for number in range(BUCKETS))
_TABLE: Final = str.maketrans(dict(ESCAPES))


def entity_text(values: Sequence[int | str]) -> str:
    """The entity part of a key.

    Args:
        values: its join key values in the join keys' sorted order, but for the customer's, which comes first
            (`ordered`); `[""]` for a view without entities.
    """
    return "|".join([_escape(str(value)) for value in values])


def entity_texts(customers: Sequence[str]) -> Sequence[str]:
    """`entity_text` of many customers, by their join keys."""
    # Hardly any holds a mark, and all together are looked through at once.
    return customers if "".join(customers).isalnum() else list(map(_escape, customers))


def ordered(join_keys: Sequence[str], customer: str) -> list[str]:
    """Join keys in the order of `entity_text`: the customer's first, the others sorted."""
    return sorted(join_keys, key=lambda name: (name != customer, name))


def owner(entity: str) -> str:
    """The first part of an entity text: the customer, in a view of customers."""
    return entity.partition("|")[0]


def bucket(entity: str) -> int:
    """Where an entity lies: by its first part, so that a customer's rows lie together whatever else is in their key."""
    return buckets([entity])[0]


def entity_of(key: bytes) -> str:
    """The entity text of a row key: what stands behind the last brace, since it has none itself."""
    return key.decode().rpartition("}")[2]


def row_key(project: str, view: str, entity: str, generation: int = 0) -> str:
    """The Redis key of one row."""
    return f"{project}/{view}/{generation}/{{{bucket(entity)}}}{entity}"


def buckets(entities: Sequence[str]) -> list[int]:
    """`bucket` of many."""
    owners = map(owner, entities) if "|" in "".join(entities) else entities
    return [number & _LAST for number in map(crc32, map(str.encode, owners))]


def tagged(entities: Sequence[str], numbers: Sequence[int]) -> list[str]:
    """Each entity text behind its bucket's hash tag: the last segment of its rows' keys, in every view.

    Args:
        entities: N entity texts.
        numbers: their buckets.
    """
    return list(map(add, map(_TAGS.__getitem__, numbers), entities))


def row_keys(project: str, view: str, generation: int, tagged_entities: Iterable[str]) -> list[str]:
    """`row_key` of many, by what `tagged` made of their entities."""
    return list(map(f"{project}/{view}/{generation}/".__add__, tagged_entities))


def of_key(project: str, customer: str) -> str:
    """The set of the row keys that a customer has in views of several join keys."""
    return f"{project}/@of/{{{bucket(customer)}}}{customer}"


def guard_key(project: str, number: int) -> str:
    """What writers of a bucket check."""
    return f"{project}/@guard/{{{number}}}"


def live_key(project: str) -> str:
    """Which generation of each view is read."""
    return f"{project}/@live"


def erasure_key(project: str) -> str:
    """Which key the digests in the guards are made by."""
    return f"{project}/@erasure"


def owned_key(project: str) -> str:
    """The set of `<view>/<generation>` whose rows belong to a customer."""
    return f"{project}/@owned"


def suppressed_key(project: str) -> str:
    """The set of the items that nobody is recommended."""
    return f"{project}/@suppressed"


def refused_key(project: str) -> str:
    """Which bundles serving refused."""
    return f"{project}/@refused"


def schema_key(project: str, fingerprint: int) -> str:
    """The schema of a fingerprint, as JSON."""
    return f"{project}/@schema/{fingerprint:08x}"


def current_schema_key(project: str, view: str) -> str:
    """The schema that a view is written with now, as JSON."""
    return f"{project}/@view/{view}"


def complete_key(project: str, view: str, generation: int = 0) -> str:
    """How a generation of a view was last written whole: in which format, with which columns, kept for how long."""
    return f"{project}/@complete/{view}/{generation}"


def _escape(text: str) -> str:
    return text if text.isalnum() else text.translate(_TABLE)
