"""Campaign history: how often a customer was contacted, by what and how, and how often it answered.

Grain: customer × snapshot, from `contacts`, `responses` and `campaigns`. A contact counts from its own time, a
response from its. `contacts_*` count contacts; `campaigns_total` the campaigns that contacted the customer or that it
answered; `responses_*` the campaigns that it answered, once each, `responses_84d` those with an answer in the last
`windows.QUARTER`. `contacts_<type>` and `responses_<type>` are of one kind of campaign, `contacts_by_<channel>` of one
channel. A response has no channel: `responses_by_<channel>` counts the campaigns answered that had contacted the
customer by it, at the first answer's time or before; one campaign may count by several, one that nobody was contacted
for by none. Channels are those of purchases, contacts and events together, so some may count none at all.
`response_rate` is (responses + a) / (campaigns + b), a `windows.PRIOR_RESPONSES` and b `windows.PRIOR_CAMPAIGNS`: the
mean under a Beta(a, b - a) prior. Days are whole and fraction, null where there is nothing to count from; counts are 0
then.

Fatigue: contacts by window, contacts after the newest response (all, where there is none), the mean gap between
contacts, and of the `windows.NEWEST_CONTACTS` newest contacts the share that got no answer: none to the contact's
campaign at its time or after. Contacts of one moment stand in the order of their campaigns' ids.
"""

from datetime import timedelta
from typing import Final

import polars as pl

from feature_repo.features import windows
from feature_repo.features.frames import AT, EVERYONE, SNAPSHOT, Tables, days, everyone, finish, known, micros, share
from feature_repo.features.view import Feature, Words
from motherlode import names

READS: Final = (*EVERYONE, names.CAMPAIGNS)

_PRIOR: Final = f"{windows.PRIOR_RESPONSES} in {windows.PRIOR_CAMPAIGNS}"
_MONTH, _QUARTER = windows.label(windows.MONTH), windows.label(windows.QUARTER)
_LATELY: Final = f"the last {windows.QUARTER.days} days"
_NUMBER: Final = pl.Float32()
_FIXED: Final = {
    "contacts_total": Feature(_NUMBER, "contacts", "contacts so far"),
    f"contacts_{_MONTH}": Feature(_NUMBER, "contacts", f"contacts in the last {windows.MONTH.days} days"),
    f"contacts_{_QUARTER}": Feature(_NUMBER, "contacts", f"contacts in {_LATELY}"),
    "campaigns_total": Feature(_NUMBER, "campaigns", "campaigns that contacted the customer, or that it answered"),
    "responses_total": Feature(_NUMBER, "campaigns", "campaigns answered so far"),
    f"responses_{_QUARTER}": Feature(_NUMBER, "campaigns", f"campaigns with an answer in {_LATELY}"),
    "response_rate": Feature(_NUMBER, "share 0–1", f"campaigns answered of all, shrunk towards {_PRIOR}"),
    "days_since_contact": Feature(_NUMBER, "days", "since the newest contact"),
    "days_since_response": Feature(_NUMBER, "days", "since the newest response"),
    "contacts_since_response": Feature(_NUMBER, "contacts", "contacts after the newest response"),
    "contact_gap_days": Feature(_NUMBER, "days", "mean gap between contacts; null below two"),
    "share_unanswered": Feature(
        _NUMBER, "share 0–1", f"of the {windows.NEWEST_CONTACTS} newest contacts, those that got no answer"
    ),
}
_BY: Final = "by_"
_WINDOW: Final = {_MONTH: windows.MONTH, _QUARTER: windows.QUARTER}
_WHO: Final = names.CUSTOMER_ID
_PAIR: Final = (_WHO, names.CAMPAIGN_ID)
_NEWEST: Final = ("contacted", "responded", "contacts_by_then")
_ANSWERS: Final = "answers"
"""Responses of a moment, all of them; a help, and no feature."""


def features(words: Words) -> dict[str, Feature]:
    """The view's columns: what every company has, then a column a kind of campaign and a channel."""
    named = dict(_FIXED)
    for event, unit in (("contacts", "contacts"), ("responses", "campaigns answered")):
        for slug, word in words.campaign_types.items():
            named[f"{event}_{_type(slug)}"] = Feature(_NUMBER, unit, f"{event} so far, campaigns of kind {word!r}")
    for slug, word in words.channels.items():
        named[f"contacts_{_BY}{slug}"] = Feature(_NUMBER, "contacts", f"contacts so far, by {word!r}")
    for slug, word in words.channels.items():
        doc = f"campaigns answered so far that had contacted the customer by {word!r}"
        named[f"responses_{_BY}{slug}"] = Feature(_NUMBER, "campaigns answered", doc)
    return named


def build(tables: Tables, snapshots: pl.LazyFrame, words: Words) -> pl.LazyFrame:
    """The view `campaign_history`; see the module for units and sources."""
    states, values = _states(tables, words)
    rows = everyone(tables, snapshots).with_columns(micros(pl.col(SNAPSHOT)).alias(AT))
    found = known(states, rows.select(_WHO, AT), [_WHO], [*values, *_NEWEST])
    counted = rows.join(found, on=[_WHO, AT], how="left").with_columns(pl.col(name).fill_null(0) for name in values)
    first = tables[names.CONTACTS].group_by(_WHO).agg(micros(pl.col(names.EVENT_TIMESTAMP).min()).alias("first"))
    counted = counted.join(first, on=_WHO, how="left")
    numbered = _numbered(tables)
    for back in range(windows.NEWEST_CONTACTS):
        counted = counted.join(_answered(numbered, back), on=[_WHO, "contacts_total"], how="left")
    contacts, responses = pl.col("contacts_total"), pl.col("responses_total")
    rate = share(responses + windows.PRIOR_RESPONSES, pl.col("campaigns_total") + windows.PRIOR_CAMPAIGNS)
    measured = counted.with_columns(
        rate.alias("response_rate"),
        days(pl.col(AT) - pl.col("contacted")).alias("days_since_contact"),
        days(pl.col(AT) - pl.col("responded")).alias("days_since_response"),
        (contacts - pl.col("contacts_by_then").fill_null(0)).alias("contacts_since_response"),
        days(share(pl.col("contacted") - pl.col("first"), contacts - 1)).alias("contact_gap_days"),
        _share_unanswered().alias("share_unanswered"),
    )
    return finish(measured, features(words))


def _type(slug: str) -> str:
    """How a kind of campaign stands in a column's name: such that it is no other column's."""
    taken = {name.partition("_")[2] for name in _FIXED}
    return f"type_{slug}" if slug in taken or slug.startswith(_BY) else slug


def _flag(condition: pl.Expr) -> pl.Expr:
    return condition.fill_null(value=False).cast(pl.Int64)


def _states(tables: Tables, words: Words) -> tuple[pl.LazyFrame, list[str]]:
    """What is known of a customer from each moment on, at which something was counted or left a window.

    Returns:
        customer_id, AT, the counts, `contacted` and `responded` (AT of a contact, of a response; else null), and
        `contacts_by_then` (contacts up to a response, its moment included; else null); and the counts' names.
    """
    events = _events(tables, words)
    values = list(dict.fromkeys(name for part in events for name in part.collect_schema() if name not in (_WHO, AT)))
    whole = pl.concat([_padded(part, [_WHO, AT, *values]) for part in events])
    counts = [name for name in values if name != _ANSWERS]
    return (
        whole.group_by(_WHO, AT)
        .agg(pl.col(name).sum() for name in values)
        .sort(_WHO, AT)
        .with_columns(
            pl.when(pl.col("contacts_total") > 0).then(pl.col(AT)).otherwise(None).alias("contacted"),
            pl.when(pl.col(_ANSWERS) > 0).then(pl.col(AT)).otherwise(None).alias("responded"),
            *(pl.col(name).cum_sum().over(_WHO) for name in counts),
        )
        .with_columns(
            pl.when(pl.col("responded").is_not_null())
            .then(pl.col("contacts_total"))
            .otherwise(None)
            .alias("contacts_by_then")
        )
    ), counts


def _events(tables: Tables, words: Words) -> list[pl.LazyFrame]:
    """What changes a count: customer_id, AT, and by how much, Int64."""
    kinds = tables[names.CAMPAIGNS].select(names.CAMPAIGN_ID, names.CAMPAIGN_TYPE)
    contacts = tables[names.CONTACTS].select(*_PAIR, names.CHANNEL, _at()).join(kinds, on=names.CAMPAIGN_ID, how="left")
    responses = tables[names.RESPONSES].select(*_PAIR, _at())
    types = {_type(slug): pl.col(names.CAMPAIGN_TYPE) == word for slug, word in words.campaign_types.items()}
    channels = {f"{_BY}{slug}": pl.col(names.CHANNEL) == word for slug, word in words.channels.items()}
    answered = responses.group_by(_PAIR).agg(pl.col(AT).min()).join(kinds, on=names.CAMPAIGN_ID, how="left")
    contacted = contacts.select(*_PAIR, names.CHANNEL, pl.col(AT).alias("contacted_at"))
    asked = (
        answered.select(*_PAIR, AT)
        .join(contacted, on=_PAIR, how="inner")
        .with_columns((pl.col("contacted_at") <= pl.col(AT)).alias("asked"))
        .filter("asked")
        .select(*_PAIR, AT, names.CHANNEL)
        .unique()
    )
    met = pl.concat([contacts.select(*_PAIR, AT), responses]).group_by(_PAIR).agg(pl.col(AT).min())
    ending = [
        contacts.select(_WHO, pl.col(AT) + _micros(window), _number(-1, f"contacts_{label}"))
        for label, window in _WINDOW.items()
    ]
    return [
        contacts.select(
            _WHO,
            AT,
            *(_number(1, f"contacts_{label}") for label in ("total", *_WINDOW)),
            *(_flag(condition).alias(f"contacts_{slug}") for slug, condition in {**types, **channels}.items()),
        ),
        *ending,
        met.select(_WHO, AT, _number(1, "campaigns_total")),
        answered.select(
            _WHO,
            AT,
            _number(1, "responses_total"),
            *(_flag(condition).alias(f"responses_{slug}") for slug, condition in types.items()),
        ),
        asked.select(_WHO, AT, *(_flag(condition).alias(f"responses_{slug}") for slug, condition in channels.items())),
        responses.select(_WHO, AT, _number(1, _ANSWERS)),
        *_answering(responses),
    ]


def _answering(responses: pl.LazyFrame) -> list[pl.LazyFrame]:
    """+1 when a campaign comes to have an answer in the window, -1 when it has none any more.

    Answers no further apart than the window keep it on: their sum up to a snapshot is the number of campaigns with an
    answer in its window, at the cost of an event or two an answer.
    """
    span, name = _micros(windows.QUARTER), f"responses_{windows.label(windows.QUARTER)}"
    own = responses.unique().with_columns(pl.col(AT).rank("dense").over(_PAIR).cast(pl.Int64).alias("number"))
    before = own.select(*_PAIR, pl.col("number") + 1, pl.col(AT).alias("before"))
    after = own.select(*_PAIR, pl.col("number") - 1, pl.col(AT).alias("after"))
    placed = own.join(before, on=[*_PAIR, "number"], how="left").join(after, on=[*_PAIR, "number"], how="left")
    opens = placed.filter(pl.col("before").is_null() | (pl.col(AT) - pl.col("before") > span))
    closes = placed.filter(pl.col("after").is_null() | (pl.col("after") - pl.col(AT) > span))
    return [
        opens.select(_WHO, AT, _number(1, name)),
        closes.select(_WHO, pl.col(AT) + span, _number(-1, name)),
    ]


def _padded(part: pl.LazyFrame, columns: list[str]) -> pl.LazyFrame:
    """A frame with all columns, 0 in those that it lacks."""
    there = part.collect_schema()
    return part.select(pl.col(name) if name in there else _number(0, name) for name in columns)


def _at() -> pl.Expr:
    return micros(pl.col(names.EVENT_TIMESTAMP)).alias(AT)


def _micros(span: timedelta) -> int:
    return span // timedelta(microseconds=1)


def _number(number: int, name: str) -> pl.Expr:
    return pl.lit(number, dtype=pl.Int64).alias(name)


def _numbered(tables: Tables) -> pl.LazyFrame:
    """Contacts by customer: `number`, from 1 in the order of time, and when it was `answered`, microseconds or null."""
    contacts = tables[names.CONTACTS].select(*_PAIR, _at())
    answers = tables[names.RESPONSES].select(*_PAIR, _at().alias("answered"))
    first = (
        contacts.unique()
        .join(answers, on=_PAIR, how="inner")
        .filter(pl.col("answered") >= pl.col(AT))
        .group_by(*_PAIR, AT)
        .agg(pl.col("answered").min())
    )
    ordered = contacts.sort(_WHO, AT, names.CAMPAIGN_ID).with_columns(_number(1, "number"))
    numbered = ordered.with_columns(pl.col("number").cum_sum().over(_WHO))
    return numbered.join(first, on=[*_PAIR, AT], how="left")


def _answered(numbered: pl.LazyFrame, back: int) -> pl.LazyFrame:
    """Beside the count of contacts at a snapshot: whether there is one that far back, and when it was answered."""
    return numbered.select(
        _WHO,
        (pl.col("number") + back).alias("contacts_total"),
        pl.lit(1, dtype=pl.Int64).alias(f"contact_{back}"),
        pl.col("answered").alias(f"answered_{back}"),
    )


def _share_unanswered() -> pl.Expr:
    there, silent = pl.lit(0, dtype=pl.Int64), pl.lit(0, dtype=pl.Int64)
    for back in range(windows.NEWEST_CONTACTS):
        contact, answered = pl.col(f"contact_{back}").fill_null(0), pl.col(f"answered_{back}")
        there += contact
        silent += pl.when(answered < pl.col(AT)).then(0).otherwise(contact)
    return share(silent, there)
