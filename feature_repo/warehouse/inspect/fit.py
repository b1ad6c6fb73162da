"""How well a file's columns fill a canonical table."""

from collections.abc import Mapping, Sequence, Set
from dataclasses import dataclass, replace
from typing import Final

from feature_repo.warehouse.contract import TABLES
from feature_repo.warehouse.inspect.profile import ColumnProfile, FileProfile
from feature_repo.warehouse.inspect.relations import Link
from feature_repo.warehouse.inspect.roles import ROLES, score
from motherlode import names

FAIR: Final = 0.45
"""Score from which a column is proposed for a canonical one."""
ENOUGH: Final = 0.55
"""Score from which a table is proposed for a file."""
DOUBTFUL: Final = 0.7
"""Score below which a person must decide."""
_SEVERAL: Final = 3
"""Attributes of persons from which a file without a key is one of customers all the same."""
_NEAR: Final = 0.35
"""How much less sure another column may be, to be named as an alternative."""
_LINKED: Final = 0.8
"""Score of a column whose values are another file's keys, whatever its name; and the share of them from which it is."""
_FROM_ELSEWHERE: Final = 0.9
"""What a looked-up column's score is worth."""

PERSONAL: Final[Set[str]] = {
    "person",
    "email",
    "phone",
    "address",
    "postcode",
    "city",
    "region",
    "birth",
    "gender",
    "age",
    "household",
    "work",
} | {"consent", "health", "registered"}
"""Concepts of a customer's attributes."""

_PARTS: Final[Mapping[str, tuple[tuple[tuple[str, ...], float], ...]]] = {
    names.TRANSACTIONS: (
        ((names.CUSTOMER_ID,), 0.2),
        ((names.ITEM_ID,), 0.3),
        ((names.AMOUNT,), 0.25),
        ((names.EVENT_TIMESTAMP,), 0.15),
        ((names.BASKET_ID, names.QUANTITY), 0.1),
    ),
    names.ITEMS: (
        ((names.ITEM_ID,), 0.5),
        ((names.ITEM_NAME, names.CATEGORY, names.DEPARTMENT, names.BRAND), 0.5),
    ),
    names.CUSTOMERS: (((names.CUSTOMER_ID,), 0.6),),
    names.CAMPAIGNS: (((names.CAMPAIGN_ID,), 0.4), ((names.STARTED_AT,), 0.5), ((names.CAMPAIGN_TYPE,), 0.1)),
    names.CONTACTS: (
        ((names.CUSTOMER_ID,), 0.4),
        ((names.CAMPAIGN_ID,), 0.5),
        ((names.EVENT_TIMESTAMP, names.CHANNEL), 0.1),
    ),
    names.RESPONSES: (
        ((names.CUSTOMER_ID,), 0.3),
        ((names.CAMPAIGN_ID,), 0.25),
        ((names.COUPON_ID,), 0.3),
        ((names.EVENT_TIMESTAMP,), 0.15),
    ),
    names.INTERACTIONS: (
        ((names.VISITOR_ID, names.SESSION_ID, names.CUSTOMER_ID), 0.3),
        ((names.EVENT_TYPE, names.PAGE, names.SEARCH_TERMS), 0.4),
        ((names.EVENT_TIMESTAMP,), 0.3),
    ),
    names.FEEDBACK: (
        ((names.CUSTOMER_ID,), 0.25),
        ((names.TEXT, names.RATING), 0.5),
        ((names.EVENT_TIMESTAMP,), 0.25),
    ),
}
"""Table → what makes it one: any of these columns, and its weight."""

_REQUIRED: Final[Mapping[str, tuple[tuple[str, ...], ...]]] = {
    names.TRANSACTIONS: ((names.CUSTOMER_ID,), (names.AMOUNT,), (names.EVENT_TIMESTAMP,)),
    names.ITEMS: ((names.ITEM_ID,),),
    names.CUSTOMERS: (),
    names.CAMPAIGNS: ((names.CAMPAIGN_ID,), (names.STARTED_AT,)),
    names.CONTACTS: ((names.CUSTOMER_ID,), (names.CAMPAIGN_ID,)),
    names.RESPONSES: ((names.CUSTOMER_ID,), (names.CAMPAIGN_ID,), (names.EVENT_TIMESTAMP,)),
    names.INTERACTIONS: (
        (names.VISITOR_ID, names.CUSTOMER_ID),
        (names.EVENT_TYPE, names.PAGE, names.SEARCH_TERMS),
        (names.EVENT_TIMESTAMP,),
    ),
    names.FEEDBACK: ((names.CUSTOMER_ID,), (names.TEXT, names.RATING), (names.EVENT_TIMESTAMP,)),
}
"""Table → what it cannot be without."""

_OF_A_LINE: Final = frozenset(
    {names.AMOUNT, names.QUANTITY, names.RETAIL_DISCOUNT, names.COUPON_DISCOUNT, names.LINE_ID}
)
"""Columns that a header has for the whole, and a line for itself."""

_FILE_SAYS: Final[Mapping[str, frozenset[str]]] = {
    names.TRANSACTIONS: frozenset({"order", "return", "line"}),
    names.ITEMS: frozenset({"item"}),
    names.CUSTOMERS: frozenset({"customer", "person"}),
    names.CAMPAIGNS: frozenset({"campaign"}),
    names.CONTACTS: frozenset({"campaign", "channel", "call"}),
    names.RESPONSES: frozenset({"response", "coupon"}),
    names.INTERACTIONS: frozenset({"event", "visitor", "session", "page", "search"}),
    names.FEEDBACK: frozenset({"text", "rating"}),
}
_NO_KEYS: Final[Mapping[str, str]] = {}
_NAME: Final = 0.1
"""What the file's name is worth."""


@dataclass(frozen=True)
class Filled:
    """A canonical column, and the raw one for it.

    Attributes:
        column: the raw column.
        reference: its name in the mapping, `<source>.<column>` where it is looked up.
        sure: 0..1.
        others: references of other raw columns that might be meant.
        clock: of a date, the column of the time of day beside it, and its reference.
    """

    column: ColumnProfile
    reference: str
    sure: float
    others: tuple[str, ...] = ()
    clock: tuple[ColumnProfile, str] | None = None


@dataclass(frozen=True)
class Fit:
    """A table that a file might be.

    Attributes:
        table: its name.
        sure: 0..1.
        filled: canonical column → the raw one.
        links: look-ups that it takes.
    """

    table: str
    sure: float
    filled: Mapping[str, Filled]
    links: tuple[Link, ...]


def best(file: FileProfile, files: Mapping[str, FileProfile], links: Sequence[Link]) -> list[Fit]:
    """The tables that a file might be, the best first."""
    fits = [fit(file, table, files, links) for table in _PARTS]
    return sorted((it for it in fits if it.sure >= ENOUGH), key=lambda it: -it.sure)


def fit(file: FileProfile, table: str, files: Mapping[str, FileProfile], links: Sequence[Link]) -> Fit:
    """How well a file fills one table; what it lacks is looked up by its links, where they have it."""
    filled = assign(table, file.columns, _keys(file, files, links))
    taken: list[Link] = []
    if table in (names.TRANSACTIONS, names.FEEDBACK):
        for link in links:
            if link.source != file.source or not _weak(table, filled):
                continue
            other = files[link.other]
            if other.of == file.source or file.of == other.source:
                continue  # one file, read in two ways
            found = assign(
                table, {f"{link.other}.{name}": it for name, it in other.columns.items() if name != link.key}
            )
            worth = {
                name: replace(it, sure=it.sure * _FROM_ELSEWHERE) for name, it in found.items() if name != names.TEXT
            }
            better = {
                name
                for name in _weak(table, filled)
                if name in worth and name not in _OF_A_LINE and worth[name].sure > _sure_of(filled, name)
            }
            if better:
                taken.append(link)
                # A header has more of use than what was missing: the channel, the shop.
                more = {name for name in worth if name not in filled and name not in _OF_A_LINE}
                filled |= {name: worth[name] for name in sorted(better | more)}
    if table == names.TRANSACTIONS and names.ITEM_ID not in filled:
        filled |= _sold(file, files, links, {it.reference for it in filled.values()})
    filled = {name: filled[name] for name in TABLES[table].columns if name in filled}
    return Fit(table, _sure(file, table, filled), filled, tuple(taken))


def nearest(file: FileProfile) -> tuple[str, tuple[str, ...]]:
    """The table that a file comes nearest to, and what it lacks."""
    filled = {table: assign(table, file.columns) for table in _PARTS}
    table = max(_PARTS, key=lambda it: sum(w for group, w in _PARTS[it] if any(name in filled[it] for name in group)))
    return table, tuple(group[0] for group in _REQUIRED[table] if not any(name in filled[table] for name in group))


def _weak(table: str, filled: Mapping[str, Filled]) -> list[str]:
    """Columns that the table must have, and that are missing or doubtful."""
    return [group[0] for group in _REQUIRED[table] if all(_sure_of(filled, name) < DOUBTFUL for name in group)]


def _sure_of(filled: Mapping[str, Filled], name: str) -> float:
    return filled[name].sure if name in filled else 0.0


def _sold(
    file: FileProfile, files: Mapping[str, FileProfile], links: Sequence[Link], used: Set[str]
) -> dict[str, Filled]:
    """The item, by a column that is the key of a file of items."""
    for link in links:
        if link.source != file.source or link.column in used:
            continue
        other = assign(names.ITEMS, files[link.other].columns)
        if names.ITEM_ID in other and other[names.ITEM_ID].reference == link.key and names.ITEM_NAME in other:
            return {names.ITEM_ID: Filled(file.columns[link.column], link.column, 0.6)}
    return {}


def _keys(file: FileProfile, files: Mapping[str, FileProfile], links: Sequence[Link]) -> dict[str, str]:
    """Columns whose values are the keys of a file of customers or of items → the canonical column that they are."""
    found: dict[str, str] = {}
    for link in links:
        if link.source != file.source or link.share < _LINKED or link.column in found:
            continue
        for table, name in ((names.CUSTOMERS, names.CUSTOMER_ID), (names.ITEMS, names.ITEM_ID)):
            filled = assign(table, files[link.other].columns)
            key = filled.get(name)
            if key is not None and key.reference == link.key and _sure(files[link.other], table, filled) >= ENOUGH:
                found[link.column] = name
                break
    return found


def assign(table: str, columns: Mapping[str, ColumnProfile], keys: Mapping[str, str] = _NO_KEYS) -> dict[str, Filled]:
    """Each canonical column's raw one, the surest pairs first; every raw column once.

    Args:
        columns: by reference.
        keys: references whose values tell what they are, whatever their names.
    """
    pairs = [
        (sure, -order, name, reference)
        for order, (reference, column) in enumerate(columns.items())
        for name, role in ROLES[table].items()
        if not (column.head and name in _OF_A_LINE)
        if (sure := max(score(column, role), _LINKED if keys.get(reference) == name else 0.0)) >= FAIR
    ]
    pairs.sort(reverse=True)
    filled: dict[str, Filled] = {}
    used: set[str] = set()
    for sure, _, name, reference in pairs:
        if name in filled or reference in used:
            continue
        used.add(reference)
        filled[name] = Filled(columns[reference], reference, sure)
    _only_time(table, columns, filled, used)
    return {
        name: Filled(it.column, it.reference, it.sure, _others(pairs, name, used), _clock(name, it, columns))
        for name, it in sorted(filled.items(), key=lambda pair: list(ROLES[table]).index(pair[0]))
    }


def _only_time(table: str, columns: Mapping[str, ColumnProfile], filled: dict[str, Filled], used: set[str]) -> None:
    """Where a file has one column of times, it says when the row happened, whatever its name."""
    times = [reference for reference, column in columns.items() if column.kind == "time"]
    if len(times) != 1 or "delivery" in columns[times[0]].meaning.concepts or names.EVENT_TIMESTAMP not in ROLES[table]:
        return
    (only,) = times
    known = filled.get(names.EVENT_TIMESTAMP)
    if known is None and only not in used:
        used.add(only)
        filled[names.EVENT_TIMESTAMP] = Filled(columns[only], only, 0.75)
    elif known is not None and known.reference == only:
        filled[names.EVENT_TIMESTAMP] = replace(known, sure=max(known.sure, 0.9))


def _clock(name: str, filled: Filled, columns: Mapping[str, ColumnProfile]) -> tuple[ColumnProfile, str] | None:
    """The time of day beside a date that says when the row happened: the column nearest behind it, or before it."""
    times = filled.column.times
    if name != names.EVENT_TIMESTAMP or filled.column.kind != "time" or times is None or not times.dates:
        return None
    order = list(columns)
    at = order.index(filled.reference)
    clocks = sorted((abs(order.index(it) - at - 0.5), it) for it, column in columns.items() if column.clocks)
    return (columns[clocks[0][1]], clocks[0][1]) if clocks else None


def _others(pairs: Sequence[tuple[float, int, str, str]], name: str, used: set[str]) -> tuple[str, ...]:
    best = max((sure for sure, _, column, _ in pairs if column == name), default=0.0)
    near = [pair for pair in pairs if pair[2] == name and pair[3] not in used and pair[0] >= best - _NEAR]
    return tuple(reference for _, _, _, reference in near)[:2]


def _sure(file: FileProfile, table: str, filled: Mapping[str, Filled]) -> float:
    if any(not any(name in filled for name in group) for group in _REQUIRED[table]):
        return 0.0
    total = sum(
        weight * max((filled[name].sure for name in group if name in filled), default=0.0)
        for group, weight in _PARTS[table]
    )
    total += _NAME if file.concepts & _FILE_SAYS[table] else 0.0
    return max(0.0, min(1.0, total + _against(file, table, filled)))


def _against(file: FileProfile, table: str, filled: Mapping[str, Filled]) -> float:
    """What speaks for another table, and for customers their attributes."""
    concepts = [column.meaning.concepts for column in file.columns.values()]
    has = frozenset[str]().union(*concepts)
    attributes = sum(1 for each in concepts if each & PERSONAL)
    prose = any(column.kind == "prose" for column in file.columns.values())
    if table == names.ITEMS:
        unique = filled[names.ITEM_ID].column.unique
        return -0.5 * (not unique) - 0.4 * ("customer" in has) - 0.3 * ("quantity" in has)
    if table == names.CUSTOMERS:
        key = filled.get(names.CUSTOMER_ID)
        unique = key is None or key.column.unique
        nobody = 0.0 if key is not None else 0.35 if attributes >= _SEVERAL else -1.0
        return min(0.4, 0.15 * attributes) + nobody - 0.6 * (not unique) - 0.3 * ("item" in has and "order" in has)
    if table == names.CAMPAIGNS:
        return -0.6 * ("customer" in has) - 0.4 * (not filled[names.CAMPAIGN_ID].column.unique)
    if table == names.CONTACTS:
        return -0.4 * bool(has & {"item", "quantity"}) - 0.2 * ("coupon" in has) - 0.1 * min(attributes, 4)
    if table == names.INTERACTIONS:
        return -0.4 * bool(has & {"amount", "quantity", "campaign"}) - 0.3 * (prose and "rating" in has)
    if table == names.TRANSACTIONS:
        return -0.3 * ("rating" in has or (prose and "text" in has)) - 0.2 * ("coupon" in has and "amount" not in has)
    if table == names.FEEDBACK:
        return -0.3 * bool(has & {"amount", "quantity"}) - 0.1 * min(attributes, 3)
    return 0.0
