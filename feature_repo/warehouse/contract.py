"""The contract of the canonical tables: their columns, their keys, and the rules every row must keep."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, Literal

import polars as pl

from motherlode import names

VERSION: Final = 3
"""Raised whenever the same raw tables would give other integrated ones: what was built before is rebuilt."""

UTC: Final = pl.Datetime("us", "UTC")

Privacy = Literal["identifier", "quasi", "sensitive", "none"]
"""A column's class. `identifier` names a person and leaves raw only as a keyed pseudonym, or not at all; `quasi`
narrows a person down (a birth date, a postcode); `sensitive` may hurt when known (health, free text)."""

Severity = Literal["fail", "warn"]
"""`fail` rejects the row into quarantine; `warn` keeps it and counts it."""


@dataclass(frozen=True)
class Column:
    """A canonical column.

    Attributes:
        dtype: its type in clean and integrated.
        doc: what it holds, unit included, in one line.
        required: a row without it is rejected.
        default: its value where the mapping leaves the column out; None: null.
        privacy: its class where the mapping states none.
        derived: made by the warehouse; a mapping cannot write it.
    """

    dtype: pl.DataType
    doc: str
    required: bool = False
    default: float | int | str | None = None
    privacy: Privacy = "none"
    derived: bool = False


@dataclass(frozen=True)
class Table:
    """A canonical table.

    Attributes:
        doc: what one row is.
        columns: name → column, in the order of the integrated file.
        key: the columns that tell rows apart where the mapping states no `key`; empty: the whole content.
        time: the column that says when a row happened; None for a state.
        open: whether a mapping may add columns of its own (they follow the canonical ones).
        monthly: integrated as one file a month of `time`, else as one file.
        derived: made by the warehouse from other tables; a mapping cannot write it.
    """

    doc: str
    columns: Mapping[str, Column]
    key: tuple[str, ...] = ()
    time: str | None = None
    open: bool = False
    monthly: bool = False
    derived: bool = False


_TEXT: Final = pl.String()
_NUMBER: Final = pl.Float64()


def _customer(*, required: bool = True) -> Column:
    return Column(_TEXT, "the customer's outside id; a pseudonym after clean", required, privacy="identifier")


def _event(doc: str, *, required: bool = True) -> Column:
    return Column(UTC, doc, required)


TABLES: Final[Mapping[str, Table]] = {
    names.TRANSACTIONS: Table(
        "one line of a purchase or a return",
        {
            names.CUSTOMER_ID: _customer(),
            names.BASKET_ID: Column(_TEXT, "the receipt or order; left out: customer and time together", True),
            names.LINE_ID: Column(_TEXT, "the line's number within its basket"),
            names.STORE_ID: Column(_TEXT, "the shop"),
            names.CHANNEL: Column(_TEXT, "web, store, phone, ..., in the company's words"),
            names.ITEM_ID: Column(_TEXT, "what was sold", True),
            names.QUANTITY: Column(_NUMBER, "pieces; negative for a return", True, default=1.0),
            names.AMOUNT: Column(
                _NUMBER, "money for the line, the shop's discounts off, coupons not; negative: paid back", True
            ),
            names.RETAIL_DISCOUNT: Column(_NUMBER, "money taken off by the shop's own price cut, from 0", True, 0.0),
            names.COUPON_DISCOUNT: Column(_NUMBER, "money taken off by coupons, from 0", True, 0.0),
            names.EVENT_TIMESTAMP: _event("when it was sold, UTC"),
            names.LOCAL_TIMESTAMP: Column(
                pl.Datetime("us"), "what the shop's clock showed at `event_timestamp`", derived=True
            ),
        },
        time=names.EVENT_TIMESTAMP,
        monthly=True,
    ),
    names.ITEMS: Table(
        "one thing that is sold",
        {
            names.ITEM_ID: Column(_TEXT, "the item's key, as `transactions` has it", True),
            names.OUTSIDE_ID: Column(_TEXT, "the id as the company has it; integer where all are", derived=True),
            names.ITEM_NAME: Column(_TEXT, "what people call it"),
            names.DEPARTMENT: Column(_TEXT, "the widest group"),
            names.CATEGORY: Column(_TEXT, "the group within the department"),
            names.BRAND: Column(_TEXT, "the brand"),
            names.PRIVATE_LABEL: Column(pl.Boolean(), "whether the shop has it made for itself"),
        },
        key=(names.ITEM_ID,),
        open=True,
    ),
    names.CUSTOMERS: Table(
        "one customer",
        {
            names.CUSTOMER_ID: _customer(),
            names.REGISTERED_AT: Column(UTC, "when the customer came to be known, UTC"),
        },
        key=(names.CUSTOMER_ID,),
        open=True,
    ),
    names.CAMPAIGNS: Table(
        "one campaign",
        {
            names.CAMPAIGN_ID: Column(_TEXT, "the campaign's key", True),
            names.CAMPAIGN_TYPE: Column(_TEXT, "its kind, in the company's words"),
            names.STARTED_AT: Column(UTC, "its first moment, UTC", True),
            names.ENDED_AT: Column(UTC, "its last moment, UTC; null while it is open"),
        },
        key=(names.CAMPAIGN_ID,),
        open=True,
    ),
    names.CONTACTS: Table(
        "one time that a customer was contacted",
        {
            names.CUSTOMER_ID: _customer(),
            names.CAMPAIGN_ID: Column(_TEXT, "the campaign's key", True),
            names.CHANNEL: Column(_TEXT, "mail, phone, ..., in the company's words"),
            names.EVENT_TIMESTAMP: _event("when, UTC; left out: the campaign's start", required=False),
        },
        key=(names.CUSTOMER_ID, names.CAMPAIGN_ID, names.CHANNEL, names.EVENT_TIMESTAMP),
        time=names.EVENT_TIMESTAMP,
        open=True,
    ),
    names.RESPONSES: Table(
        "one answer of a customer to a campaign",
        {
            names.CUSTOMER_ID: _customer(),
            names.CAMPAIGN_ID: Column(_TEXT, "the campaign's key", True),
            names.COUPON_ID: Column(_TEXT, "the coupon that was redeemed"),
            names.EVENT_TIMESTAMP: _event("when, UTC"),
        },
        key=(names.CUSTOMER_ID, names.CAMPAIGN_ID, names.COUPON_ID, names.EVENT_TIMESTAMP),
        time=names.EVENT_TIMESTAMP,
        open=True,
    ),
    names.INTERACTIONS: Table(
        "one event on the web or in an app",
        {
            names.CUSTOMER_ID: _customer(required=False),
            names.VISITOR_ID: Column(_TEXT, "the device or cookie; a pseudonym after clean", privacy="identifier"),
            names.SESSION_ID: Column(_TEXT, "the visit; left out: events less than 30 minutes apart"),
            names.EVENT_TYPE: Column(_TEXT, "view, search, cart, purchase, click, or the company's word", True, "view"),
            names.PAGE: Column(_TEXT, "the page's path"),
            names.ITEM_ID: Column(_TEXT, "the item that was looked at"),
            names.SEARCH_TERMS: Column(_TEXT, "what was searched for"),
            names.REFERRER: Column(_TEXT, "where the visitor came from"),
            names.CHANNEL: Column(_TEXT, "web, app, ..., in the company's words"),
            names.EVENT_TIMESTAMP: _event("when, UTC"),
        },
        time=names.EVENT_TIMESTAMP,
        monthly=True,
    ),
    names.FEEDBACK: Table(
        "one review, rating or service note",
        {
            names.FEEDBACK_ID: Column(_TEXT, "the note's key"),
            names.CUSTOMER_ID: _customer(),
            names.ITEM_ID: Column(_TEXT, "the item it is about"),
            names.CHANNEL: Column(_TEXT, "review, e-mail, call, ..., in the company's words"),
            names.RATING: Column(_NUMBER, "as the company counts it"),
            names.TEXT: Column(_TEXT, "what the customer wrote or said", privacy="sensitive"),
            names.LANGUAGE: Column(_TEXT, "ISO 639-1; left out: found from the text"),
            names.SENTIMENT: Column(pl.Float32(), "-1 (bad) to 1 (good), scored from the text", derived=True),
            names.EVENT_TIMESTAMP: _event("when, UTC"),
        },
        time=names.EVENT_TIMESTAMP,
        open=True,
    ),
    names.TAGS: Table(
        "one label of a customer, from when to when it is on",
        {
            names.CUSTOMER_ID: _customer(),
            names.TAG: Column(_TEXT, "the label", True),
            names.ORIGIN: Column(_TEXT, "who gave it: person, model or rule", True),
            names.CONFIDENCE: Column(_NUMBER, "how sure that is, from 0 to 1", True, default=1.0),
            names.LABEL_VERSION: Column(_TEXT, "of the list, the model or the rule that it comes from"),
            names.EVENT_TIMESTAMP: _event("from when it is on, UTC"),
            names.ENDED_AT: Column(UTC, "when it was withdrawn, UTC; null while it is on"),
        },
        key=(names.CUSTOMER_ID, names.TAG, names.ORIGIN, names.EVENT_TIMESTAMP),
        time=names.EVENT_TIMESTAMP,
    ),
    names.SESSIONS: Table(
        "one visit",
        {
            names.SESSION_ID: Column(_TEXT, "the visit"),
            names.CUSTOMER_ID: Column(_TEXT, "the visitor's customer, where any event of the visit tells it"),
            names.VISITOR_ID: Column(_TEXT, "the device or cookie"),
            names.STARTED_AT: Column(UTC, "its first event, UTC"),
            names.ENDED_AT: Column(UTC, "its last event, UTC"),
            names.EVENTS: Column(pl.Int64(), "events"),
            names.PAGE_VIEWS: Column(pl.Int64(), "events of type view"),
            names.SEARCHES: Column(pl.Int64(), "events of type search"),
            names.CARTS: Column(pl.Int64(), "events of type cart"),
            names.DWELL_SECONDS: Column(_NUMBER, "from the first event to the last"),
            names.BOUNCED: Column(pl.Boolean(), "one page view and nothing else"),
            names.ENTRY_PAGE: Column(_TEXT, "the first page"),
            names.EXIT_PAGE: Column(_TEXT, "the last page"),
            names.EVENT_TIMESTAMP: Column(UTC, "its end: when it can be known, UTC"),
        },
        key=(names.SESSION_ID,),
        time=names.EVENT_TIMESTAMP,
        derived=True,
    ),
}
"""Every canonical table. All times are UTC, but `local_timestamp`."""

SCHEMAS: Final[Mapping[str, pl.Schema]] = {
    name: pl.Schema({column: it.dtype for column, it in table.columns.items()}) for name, table in TABLES.items()
}
"""Table → its canonical columns, in order; an open table's own columns follow them."""

MAPPED: Final = tuple(name for name, table in TABLES.items() if not table.derived)
"""The tables that a mapping may write."""

LINE: Final = "_line"
"""A row's line in its source file, from 1, UInt32; for files without lines, the row's number."""
ROW: Final = "_row"
"""A row's number in its landed file, from 1, UInt32: unique there, also where one line holds several rows."""
LANDED_AT: Final = "_landed_at"
"""When the raw file was landed, Datetime UTC: a column beside every row while rules are checked."""


@dataclass(frozen=True)
class Rule:
    """What every row of a table must keep.

    Attributes:
        name: as it stands in quarantine.
        column: the column at fault.
        broken: true where a row breaks it; null counts as kept.
        remedy: what the data's owner can do.
        severity: whether the row is rejected, or kept and counted.
    """

    name: str
    column: str
    broken: pl.Expr
    remedy: str
    severity: Severity = "fail"


_COUPON_LINE: Final = (pl.col(names.QUANTITY) == 0) & (pl.col(names.AMOUNT) == 0) & (pl.col(names.COUPON_DISCOUNT) > 0)


def coupon_line() -> pl.Expr:
    """A line that is no purchase: the till's way to book a coupon on a whole basket; false where a value is missing."""
    return _COUPON_LINE.fill_null(False)


def _required(column: str) -> Rule:
    return Rule("missing", column, pl.col(column).is_null(), f"Give every row its {column}.")


def _not_negative(column: str) -> Rule:
    return Rule("negative", column, pl.col(column) < 0, "Give a discount as the positive amount taken off.")


def _finite(column: str) -> Rule:
    return Rule("not finite", column, ~pl.col(column).is_finite(), "Give a number; leave out NaN and infinity.")


def _not_in_future(column: str) -> Rule:
    remedy = "Check the file's dates and its time zone; the row is later than its own landing."
    return Rule("in the future", column, pl.col(column) > pl.col(LANDED_AT), remedy)


def _own(table: str) -> tuple[Rule, ...]:
    """The rules that the columns' declarations imply."""
    columns = TABLES[table].columns
    time = TABLES[table].time
    return (
        *(_required(name) for name, column in columns.items() if column.required),
        *(_finite(name) for name, column in columns.items() if column.dtype == _NUMBER and not column.derived),
        *((_not_in_future(time),) if time is not None else ()),
    )


RULES: Final[Mapping[str, tuple[Rule, ...]]] = {
    **{name: _own(name) for name in MAPPED},
    names.TRANSACTIONS: (
        *_own(names.TRANSACTIONS),
        _not_negative(names.RETAIL_DISCOUNT),
        _not_negative(names.COUPON_DISCOUNT),
        Rule(
            "no pieces",
            names.QUANTITY,
            (pl.col(names.QUANTITY) == 0) & ~_COUPON_LINE,
            "A line of no pieces is neither a sale nor a return: correct its quantity, or leave it out.",
        ),
    ),
    names.CUSTOMERS: (*_own(names.CUSTOMERS), _not_in_future(names.REGISTERED_AT)),
    names.CAMPAIGNS: (
        *_own(names.CAMPAIGNS),
        Rule(
            "ends before it starts",
            names.ENDED_AT,
            pl.col(names.ENDED_AT) < pl.col(names.STARTED_AT),
            "Correct the campaign's dates.",
        ),
    ),
    names.TAGS: (
        *_own(names.TAGS),
        Rule(
            "no origin",
            names.ORIGIN,
            ~pl.col(names.ORIGIN).is_in(names.ORIGINS),
            f"Give {', '.join(names.ORIGINS[:-1])} or {names.ORIGINS[-1]}; `values` makes them of the company's words.",
        ),
        Rule(
            "no share",
            names.CONFIDENCE,
            ~pl.col(names.CONFIDENCE).is_between(0, 1),
            "Give a confidence from 0 to 1; of percent, divide by 100.",
        ),
        Rule(
            "ends before it starts",
            names.ENDED_AT,
            pl.col(names.ENDED_AT) < pl.col(names.EVENT_TIMESTAMP),
            "Correct the label's dates.",
        ),
    ),
    names.INTERACTIONS: (
        *_own(names.INTERACTIONS),
        Rule(
            "nobody's",
            names.VISITOR_ID,
            pl.col(names.CUSTOMER_ID).is_null() & pl.col(names.VISITOR_ID).is_null(),
            "Give every event its customer, or its visitor's cookie or device.",
        ),
    ),
}
"""Table → its rules; a row is rejected by the first `fail` rule that it breaks."""

QUARANTINE: Final = pl.Schema(
    {
        "table": pl.String(),
        "file": pl.String(),
        "line": pl.UInt32(),
        "row": pl.UInt32(),
        "column": pl.String(),
        "value": pl.String(),
        "rule": pl.String(),
        "remedy": pl.String(),
    }
)
"""A rejected row each, by the first rule that it breaks. `file` is the source's file, `value` what stands there,
an identifier by its pseudonym, or `(hidden)` where no key is given."""

MERGED: Final = pl.Schema(
    {
        "table": pl.String(),
        "file": pl.String(),
        "line": pl.UInt32(),
        "row": pl.UInt32(),
        "into_file": pl.String(),
        "into_line": pl.UInt32(),
        "into_row": pl.UInt32(),
        "rule": pl.String(),
    }
)
"""Rows that live on in another row."""
