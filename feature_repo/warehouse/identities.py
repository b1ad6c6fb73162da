"""Outside ids into join keys, each once a load, and the record of both below raw."""

from collections.abc import Collection, Iterable
from itertools import islice
from typing import Final

import polars as pl

from feature_repo.warehouse import parts, tables
from feature_repo.warehouse.contract import Privacy
from feature_repo.warehouse.harmless import harmless
from feature_repo.warehouse.state import Part
from motherlode import names
from motherlode.identity import Identity
from motherlode.settings import Settings

HIDDEN: Final = "(hidden)"
"""What stands for an identifier that has no pseudonym."""

_FOLDER: Final = "raw/identities"
_TELLING: Final = 5
"""Characters from which a value that equals a customer's id is taken for it: `7` may be anything."""
_MOST_PARTS: Final = 16
"""Beyond it, a load writes one part of all: every load with new customers adds one."""
_KEPT_PLAIN: Final = (names.CUSTOMER_ID, names.VISITOR_ID)
"""Without a key they stay as they are, since tables are joined by them; other identifiers are left out."""
_TEXT: Final = pl.String()


class Identities:
    """Every customer's outside id and join key, as far as known.

    Args:
        identity: outside id → join key.
        known: the record so far: `outside_id`, `customer_id`; of another key, it counts for nothing.
    """

    def __init__(self, identity: Identity, known: pl.DataFrame) -> None:
        self._identity = identity
        self._keys: dict[str, str] = dict(known.select(names.OUTSIDE_ID, names.CUSTOMER_ID).iter_rows())
        self._recorded = len(self._keys)

    @property
    def keyed(self) -> bool:
        """Whether there is a pseudonym key."""
        return self._identity.keyed

    def join_keys(self, outside: pl.Series) -> pl.Series:
        """The join keys of outside ids, which are remembered."""
        distinct = outside.unique().drop_nulls()
        fresh = [each for each in distinct.to_list() if each not in self._keys]
        self._keys.update(zip(fresh, self._identity.join_keys_of(fresh), strict=True))
        if not self.keyed:
            return outside
        return _replaced(outside, distinct, [self._keys[each] for each in distinct.to_list()])

    def pseudonyms(self, column: str, texts: pl.Series) -> pl.Series:
        """Another identifier column's pseudonyms. Without a key, null; a visitor id stays, for sessions need it."""
        if not self.keyed:
            return texts if column in _KEPT_PLAIN else pl.Series(texts.name, [None] * len(texts), pl.String)
        distinct = texts.unique().drop_nulls()
        return _replaced(texts, distinct, self._identity.pseudonyms_of(column, distinct.to_list()))

    def shown(self, column: str, privacy: Privacy, texts: pl.Series, dtype: pl.DataType = _TEXT) -> pl.Series:
        """Values as quarantine may show them.

        An identifier by its pseudonym, or hidden; what is sensitive hidden; with a key, of the others what is harmless.

        Args:
            column, privacy: the column that the values stand for, and its class.
            texts: the values.
            dtype: of the column.
        """
        if privacy == "sensitive":
            return texts.set(texts.is_not_null(), HIDDEN)
        if privacy != "identifier":
            return self._without_persons(texts, dtype)
        if not self.keyed and column in _KEPT_PLAIN:
            return texts
        if not self.keyed:
            return texts.set(texts.is_not_null(), HIDDEN)
        distinct = texts.unique().drop_nulls()
        if column == names.CUSTOMER_ID:  # not remembered: a rejected row's customer may be none
            return _replaced(texts, distinct, self._identity.join_keys_of(distinct.to_list()))
        return _replaced(texts, distinct, self._identity.pseudonyms_of(column, distinct.to_list()))

    def _without_persons(self, texts: pl.Series, dtype: pl.DataType) -> pl.Series:
        """Values; customers' ids that stand in the wrong column by their join keys, what is not harmless hidden."""
        if not self.keyed:
            return texts
        distinct = texts.unique().drop_nulls()
        strayed = [each for each in distinct.to_list() if len(each) >= _TELLING and each in self._keys]
        shown = texts.set(~harmless(texts, dtype), HIDDEN)
        if not strayed:
            return shown
        joined = texts.replace_strict(strayed, [self._keys[each] for each in strayed], default=None)
        return joined.zip_with(joined.is_not_null(), shown)

    def hides(self, identifiers: Iterable[str]) -> bool:
        """Whether a whole line of a file must be hidden, since columns of class `identifier` are made from it."""
        return any(self.keyed or column not in _KEPT_PLAIN for column in identifiers)

    def write(self, settings: Settings, recorded: tuple[Part, ...]) -> tuple[Part, ...]:
        """The record's parts with what is new; `recorded` itself where nothing is."""
        again = len(recorded) >= _MOST_PARTS
        fresh = dict(islice(self._keys.items(), 0 if again else self._recorded, None))
        if len(self._keys) == self._recorded or not fresh:
            return recorded
        frame = pl.DataFrame(
            {names.OUTSIDE_ID: list(fresh), names.CUSTOMER_ID: list(fresh.values())},
            schema={names.OUTSIDE_ID: pl.String, names.CUSTOMER_ID: pl.String},
        ).sort(names.OUTSIDE_ID)
        part = parts.write(settings, _FOLDER, "ids", [frame], secret=True)
        assert part is not None
        return (part,) if again else (*recorded, part)


def open_identities(settings: Settings, identity: Identity, recorded: tuple[Part, ...]) -> Identities:
    """The identities with what an earlier load recorded.

    Raises:
        DataError: the record is encrypted and its key is not here.
    """
    return Identities(identity, tables.identities(settings, recorded))


def without(settings: Settings, recorded: tuple[Part, ...], outside_ids: Collection[str]) -> tuple[Part, ...]:
    """The record's parts without some customers; those that know none of them stay as they are.

    Raises:
        DataError: the record is encrypted and its key is not here; or the system refuses to write.
    """
    found: list[Part] = []
    for part in recorded:
        frame = tables.identities(settings, [part])
        kept = frame.filter(~pl.col(names.OUTSIDE_ID).is_in(list(outside_ids)))
        if kept.height == frame.height:
            found.append(part)
        elif (again := parts.write(settings, _FOLDER, "ids", [kept], secret=True)) is not None:
            found.append(again)
    return tuple(found)


def _replaced(texts: pl.Series, distinct: pl.Series, by: list[str]) -> pl.Series:
    wanted = pl.DataFrame({"text": distinct, "by": pl.Series(by, dtype=pl.String)})
    found = texts.to_frame("text").join(wanted, on="text", how="left", maintain_order="left")
    return found["by"].alias(texts.name)
