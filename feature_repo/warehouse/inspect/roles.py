"""Which canonical column a raw column may be, by the concepts of its name and the look of its values."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from feature_repo.warehouse.inspect.profile import ColumnProfile, Kind
from motherlode import names

_ANY_KEY: Final[frozenset[Kind]] = frozenset({"number", "word", "phone", "truth", "email"})
_TIME: Final[frozenset[Kind]] = frozenset({"time", "number"})
_NUMBER: Final[frozenset[Kind]] = frozenset({"number", "truth"})
_WORD: Final[frozenset[Kind]] = frozenset({"word", "prose", "truth", "number"})

_OTHER_MONEY: Final = frozenset({"cost", "tax", "share"})
"""Concepts of money that no customer pays for a thing: they count twice."""
_BARE: Final = ("id",)
_NAME: Final[frozenset[Kind]] = frozenset({"word", "prose", "truth"})
_LATER: Final = 0.7
"""What a time of delivery is worth as the time when something was ordered."""
_FOREIGN: Final = 0.25
"""What a concept that a rule does not ask for takes off; an unknown word takes off half of it."""


@dataclass(frozen=True)
class Role:
    """A canonical column.

    Attributes:
        kinds: what its values may look like.
        rules: concepts that a name must have together → how sure that makes.
        beside: concepts that may stand beside them at no cost.
    """

    kinds: frozenset[Kind]
    rules: Mapping[tuple[str, ...], float]
    beside: frozenset[str] = frozenset()


_WHEN: Final = frozenset(
    {"order", "event", "text", "return", "campaign", "coupon", "response", "call", "session", "contact"}
)

_CUSTOMER: Final = Role(
    _ANY_KEY, {("customer", "id"): 1.0, ("customer",): 0.85, ("account", "id"): 0.6, ("account",): 0.5}
)
_ITEM: Final = Role(_ANY_KEY, {("item", "id"): 1.0, ("item",): 0.85, ("item", "line"): 0.7})
_CAMPAIGN: Final = Role(_ANY_KEY, {("campaign", "id"): 1.0, ("campaign",): 0.8, ("campaign", "name"): 0.6})
_CHANNEL: Final = Role(frozenset({"word"}), {("channel",): 0.95, ("channel", "type"): 0.9, ("order", "channel"): 0.9})
_EVENT_TIME: Final = Role(
    _TIME,
    {("time", "date"): 1.0, ("time",): 0.95, ("date",): 0.95, ("registered",): 0.5, ("start",): 0.4, ("return",): 0.55,
     ("order",): 0.5, ("call",): 0.5},
    _WHEN | {"registered"},
)  # fmt: skip

ROLES: Final[Mapping[str, Mapping[str, Role]]] = {
    names.TRANSACTIONS: {
        names.CUSTOMER_ID: _CUSTOMER,
        names.BASKET_ID: Role(_ANY_KEY, {("order", "id"): 1.0, ("order",): 0.8}),
        names.LINE_ID: Role(
            _ANY_KEY, {("line", "id"): 1.0, ("line",): 0.85, ("return", "id"): 0.8}, frozenset({"order"})
        ),
        names.STORE_ID: Role(_ANY_KEY, {("store", "id"): 1.0, ("store",): 0.8}),
        names.CHANNEL: _CHANNEL,
        names.ITEM_ID: _ITEM,
        names.QUANTITY: Role(_NUMBER, {("quantity",): 1.0, ("weight",): 0.65}, frozenset({"order", "item", "return"})),
        names.AMOUNT: Role(
            _NUMBER,
            {("line", "amount"): 1.0, ("amount",): 0.9, ("return",): 0.7, ("cents",): 0.75, ("price",): 0.6},
            frozenset({"order", "item", "return", "line", "currency", "cents", "quantity"}),
        ),
        names.RETAIL_DISCOUNT: Role(
            _NUMBER, {("discount",): 0.95}, frozenset({"amount", "store", "line", "item", "cents"})
        ),
        names.COUPON_DISCOUNT: Role(_NUMBER, {("coupon", "discount"): 1.0, ("coupon", "amount"): 0.9}),
        names.EVENT_TIMESTAMP: _EVENT_TIME,
    },
    names.ITEMS: {
        names.ITEM_ID: Role(_ANY_KEY, {**_ITEM.rules, ("id",): 0.72}),
        names.ITEM_NAME: Role(_NAME, {("item", "name"): 1.0, ("name",): 0.9, ("item",): 0.6, ("item", "type"): 0.55}),
        names.DEPARTMENT: Role(_WORD, {("department",): 1.0}),
        names.CATEGORY: Role(_WORD, {("category",): 1.0, ("item", "category"): 1.0, ("item", "type"): 0.5}),
        names.BRAND: Role(_NAME, {("brand",): 1.0, ("maker",): 0.5}),
    },
    names.CUSTOMERS: {
        names.CUSTOMER_ID: Role(_ANY_KEY, {**_CUSTOMER.rules, ("id",): 0.72}),
        names.REGISTERED_AT: Role(
            _TIME, {("registered",): 1.0, ("customer", "start"): 0.9}, frozenset({"date", "time", "customer"})
        ),
    },
    names.CAMPAIGNS: {
        names.CAMPAIGN_ID: Role(_ANY_KEY, {**_CAMPAIGN.rules, ("id",): 0.4}),
        names.CAMPAIGN_TYPE: Role(_WORD, {("type",): 0.9, ("campaign", "type"): 1.0, ("category",): 0.5}),
        names.STARTED_AT: Role(_TIME, {("start",): 1.0}, frozenset({"date", "time", "campaign"})),
        names.ENDED_AT: Role(_TIME, {("end",): 1.0}, frozenset({"date", "time", "campaign"})),
    },
    names.CONTACTS: {
        names.CUSTOMER_ID: _CUSTOMER,
        names.CAMPAIGN_ID: _CAMPAIGN,
        names.CHANNEL: _CHANNEL,
        names.EVENT_TIMESTAMP: _EVENT_TIME,
    },
    names.RESPONSES: {
        names.CUSTOMER_ID: _CUSTOMER,
        names.CAMPAIGN_ID: _CAMPAIGN,
        names.COUPON_ID: Role(_ANY_KEY, {("coupon", "id"): 1.0, ("coupon", "item"): 0.95, ("coupon",): 0.85}),
        names.EVENT_TIMESTAMP: _EVENT_TIME,
    },
    names.INTERACTIONS: {
        names.CUSTOMER_ID: _CUSTOMER,
        names.VISITOR_ID: Role(_ANY_KEY, {("visitor",): 0.95, ("visitor", "id"): 1.0}),
        names.SESSION_ID: Role(_ANY_KEY, {("session",): 0.9, ("session", "id"): 1.0}),
        names.EVENT_TYPE: Role(
            frozenset({"word"}), {("event",): 0.9, ("event", "type"): 1.0, ("event", "name"): 1.0, ("type",): 0.6}
        ),
        names.PAGE: Role(frozenset({"url", "word", "prose"}), {("page",): 0.95}),
        names.ITEM_ID: _ITEM,
        names.SEARCH_TERMS: Role(_WORD, {("search",): 0.9}, frozenset({"text"})),
        names.REFERRER: Role(frozenset({"url", "word"}), {("referrer",): 0.95}, frozenset({"page"})),
        names.CHANNEL: _CHANNEL,
        names.EVENT_TIMESTAMP: _EVENT_TIME,
    },
    names.FEEDBACK: {
        names.FEEDBACK_ID: Role(_ANY_KEY, {("text", "id"): 1.0, ("id",): 0.72}),
        names.CUSTOMER_ID: _CUSTOMER,
        names.ITEM_ID: _ITEM,
        names.CHANNEL: _CHANNEL,
        names.RATING: Role(_NUMBER, {("rating",): 1.0}, frozenset({"text"})),
        names.TEXT: Role(frozenset({"prose", "word"}), {("text",): 0.9, ("text", "name"): 0.7}, frozenset({"rating"})),
        names.LANGUAGE: Role(frozenset({"word"}), {("language",): 0.95}, frozenset({"text"})),
        names.EVENT_TIMESTAMP: _EVENT_TIME,
    },
}  # fmt: skip
"""Table → its columns that a raw column may be."""


def score(column: ColumnProfile, role: Role) -> float:
    """How well a raw column fits a canonical one, 0..1."""
    if column.kind not in role.kinds:
        return 0.0
    meaning = column.meaning
    best = 0.0
    for concepts, sure in role.rules.items():
        if meaning.concepts.issuperset(concepts):
            foreign = meaning.concepts - set(concepts) - role.beside
            if concepts == _BARE and (foreign or meaning.unknown):
                continue  # `zip_code` is no key, and `manufacturer_id` another's
            others = len(foreign) + len(foreign & _OTHER_MONEY) + len(meaning.unknown) / 2
            best = max(best, sure - _FOREIGN * others)
    if best <= 0:
        return 0.0
    return best * _looks(column, role)


def _looks(column: ColumnProfile, role: Role) -> float:
    """What the values say of a name's promise, 0..1."""
    if role.kinds is _TIME:
        if column.kind == "number":
            return 0.0 if column.numbers is None or not column.whole or not _epoch(column) else 0.8
        return _LATER if "delivery" in column.meaning.concepts else 1.0
    if role.kinds is _ANY_KEY and column.numbers is not None and not column.whole:
        return 0.2
    if role.kinds == {"prose", "word"}:
        return 1.0 if column.kind == "prose" else 0.6
    return 1.0


def _epoch(column: ColumnProfile) -> bool:
    from_1970 = column.numbers
    return from_1970 is not None and from_1970.low >= 1e9
