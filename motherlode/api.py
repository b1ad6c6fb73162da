"""What goes in and out over HTTP: requests and answers, as msgspec structs.

Their docstrings and constraints are the OpenAPI document.
"""

from collections.abc import Mapping
from datetime import datetime
from typing import Annotated, Any, Final, Literal

import msgspec
from msgspec import Meta

from motherlode.events import Event

MAX_CUSTOMERS: Final = 1000
"""Customers a call."""
MAX_ITEMS: Final = 1000
"""Items a customer; a larger `k` is answered with this many, and a note."""
MAX_ANSWER_ITEMS: Final = 100_000
"""Items a call, over all its customers."""
MAX_SIMILAR: Final = 100
"""Items that neighbours are asked for in one call."""
MAX_LISTED: Final = 10_000
"""Items or categories that a filter names."""
MAX_EVENTS: Final = 1000
"""Events a call."""
MAX_BODY: Final = 1 << 20
"""Bytes of a request's body."""

OutsideId = Annotated[int, Meta(ge=-(2**63), le=2**63 - 1)] | Annotated[str, Meta(min_length=1, max_length=256)]
"""A customer as the company names it."""

Purpose = Annotated[str, Meta(min_length=1, max_length=64, examples=["marketing"])]
SERVICE: Final = "service"
"""The purpose of a request that names none: what customers asked for themselves needs no consent.

Where a request names none, its purpose is this very object; one that names it has an equal text of its own: by that
`serving.lock.purposes` tells them apart.
"""

ItemId = OutsideId
"""An item as the company names it."""
Categories = Annotated[
    tuple[Annotated[str, Meta(max_length=256)], ...], Meta(max_length=MAX_LISTED, examples=[["SOFT DRINKS"]])
]
Items = Annotated[tuple[ItemId, ...], Meta(max_length=MAX_LISTED, examples=[[1029743]])]
Price = Annotated[float, Meta(ge=0, le=1e15, examples=[4.99])]

Status = Literal["ok", "stale", "cold", "degraded", "withheld", "capped"]
RowStatus = Literal["present", "stale", "unknown", "corrupt", "withheld", "capped"]
Source = Literal["personal", "segment", "popular"]


class Campaign(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The campaign that the response score is for.

    Attributes:
        type: a campaign type that the model was trained on; another is refused, naming those.
    """

    type: Annotated[str, Meta(min_length=1, max_length=256, examples=["Type A"])]


class ScoreRequest(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """Whom to score.

    Attributes:
        customer_ids: at most 1000, integers or strings; they come back in this order, duplicates too.
        campaign: without it there is no response score.
        purpose: what the answer is for, one of the settings' purposes; a customer without consent to it, or who was
            contacted for it as often as may be, gets no personal answer.
    """

    customer_ids: Annotated[tuple[OutsideId, ...], Meta(examples=[[1, 2]])]
    campaign: Campaign | None = None
    purpose: Purpose = SERVICE


class ItemFilters(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Which items there are for a question; all of it holds at once, before anything is ranked.

    Attributes:
        categories: only items of these; one that the catalogue has not is told in the notes.
        exclude_categories: no items of these.
        min_price, max_price: only items whose price lies within, both ends too; an item without a price does not.
        in_stock: only items of which there are any, by the stock that the bundle was trained with.
        exclude_items: not these items, for nobody in this call.
    """

    categories: Categories | None = None
    exclude_categories: Categories = ()
    min_price: Price | None = None
    max_price: Price | None = None
    in_stock: bool = False
    exclude_items: Items = ()


class RecommendRequest(ItemFilters, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """Whom to recommend to.

    Attributes:
        customer_ids: at most 1000, integers or strings; they come back in this order, duplicates too.
        k: how many items each; above 1000, or above what there is, the list is shorter and says why.
        exclude_purchased: leave out whatever the customer ever bought.
        categories: only items of these; one that the catalogue has not is told in the notes.
        exclude_categories: no items of these.
        min_price, max_price: only items whose price lies within, both ends too; an item without a price does not.
        in_stock: only items of which there are any, by the stock that the bundle was trained with.
        exclude_items: not these items, for nobody in this call.
        purpose: what the answer is for, one of the settings' purposes; a customer without consent to it, or who was
            contacted for it as often as may be, gets no personal answer.
    """

    customer_ids: Annotated[tuple[OutsideId, ...], Meta(examples=[[1]])]
    k: Annotated[int, Meta(ge=1, le=2**31 - 1)] = 10
    exclude_purchased: bool = False
    purpose: Purpose = SERVICE


class SimilarRequest(ItemFilters, frozen=True, forbid_unknown_fields=True):
    """Which items to find others like.

    Attributes:
        item_ids: at most 100, integers or strings; they come back in this order, duplicates too.
        k: how many items each; above 1000, or above what there is, the list is shorter and says why.
        categories: only items of these; one that the catalogue has not is told in the notes.
        exclude_categories: no items of these.
        min_price, max_price: only items whose price lies within, both ends too; an item without a price does not.
        in_stock: only items of which there are any, by the stock that the bundle was trained with.
        exclude_items: not these items, for nobody in this call.
    """

    item_ids: Annotated[tuple[ItemId, ...], Meta(examples=[[1029743]])]
    k: Annotated[int, Meta(ge=1, le=2**31 - 1)] = 10


class FeaturesRequest(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """Whose features.

    Attributes:
        customer_ids: at most 1000, integers or strings; they come back in this order, duplicates too.
        service: the feature service, one of the bundle's: `scoring` or `recommendation`.
        purpose: what the answer is for, one of the settings' purposes; a customer without consent to it, or who was
            contacted for it as often as may be, gets no personal answer.
    """

    customer_ids: Annotated[tuple[OutsideId, ...], Meta(examples=[[1, 2]])]
    service: Annotated[str, Meta(min_length=1, max_length=256, examples=["scoring"])] = "scoring"
    purpose: Purpose = SERVICE


class ConsentRequest(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What a customer said of a purpose.

    Attributes:
        customer_id: an integer or a string.
        purpose: one of the settings' purposes.
        granted: false: withdrawn.
        at: when, with its offset; now by default. The newest word counts, in whatever order words arrive.
    """

    customer_id: OutsideId
    purpose: Purpose
    granted: bool
    at: Annotated[datetime, Meta(tz=True)] | None = None


class ContactRequest(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A customer was contacted.

    Attributes:
        customer_id: an integer or a string.
        purpose: what for, one of the settings' purposes.
        channel: how; for people.
        contact_id: one that was told before does not count again.
        at: when, with its offset; now by default.
    """

    customer_id: OutsideId
    purpose: Purpose
    channel: Annotated[str, Meta(min_length=1, max_length=64, examples=["email"])]
    contact_id: Annotated[str, Meta(min_length=1, max_length=256)]
    at: Annotated[datetime, Meta(tz=True)] | None = None


class ContactAnswer(msgspec.Struct, frozen=True):
    """What became of it.

    Attributes:
        counted: false: it was told before, is older than every window, or no cap asks for it.
    """

    counted: bool


class ConsentAnswer(msgspec.Struct, frozen=True):
    """It is kept, and counts from now on unless something newer was said."""

    purpose: str
    granted: bool
    at: str


class EventsRequest(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What happened.

    Attributes:
        events: at most 1000; all of them are taken, or none.
    """

    events: tuple[Event, ...]


class EventsAnswer(msgspec.Struct, frozen=True):
    """What became of the events.

    Attributes:
        accepted: that were taken; of customers who were erased they are dropped, without a word here.
        duplicates: that had been taken before, by their ids.
    """

    accepted: int
    duplicates: int


class SegmentAnswer(msgspec.Struct, frozen=True, gc=False):
    """A customer's segment."""

    id: int
    name: str


class Score(msgspec.Struct, frozen=True, gc=False):
    """One customer's scores.

    Attributes:
        customer_id: as it was asked for.
        status: `ok`; `stale`: a row is older than its time to live; `degraded`: Redis gave no answer, or a row
            is missing or damaged; `cold`: nothing is known of this customer; `withheld`: there is no consent to the
            purpose, or nobody can tell; `capped`: the customer was contacted for it as often as may be.
        segment: null where the status is `cold`, `withheld` or `capped`, Redis gave no answer, or no feature that its
            model reads is fresh.
        scores: probabilities by model; null as the segment is, by what each reads, and `response` without a campaign.
        features_age_s: seconds since the event time of the oldest row that was read; null where there is none.
        notes: why the answer is what it is; every feature that a default stands for.
    """

    customer_id: int | str
    status: Status
    segment: SegmentAnswer | None
    scores: Mapping[str, float | None]
    features_age_s: float | None
    notes: list[str]


class ScoreAnswer(msgspec.Struct, frozen=True):
    """Every customer's scores, all by one bundle."""

    bundle: str
    device: str
    results: list[Score]


class Item(msgspec.Struct, frozen=True):
    """A recommended item; the score orders the items of one list and means nothing beyond it."""

    item_id: int | str
    score: float
    name: str


class Recommendation(msgspec.Struct, frozen=True):
    """One customer's items.

    Attributes:
        customer_id: as it was asked for.
        status: as a score's.
        source: `personal`: the recommender; `segment`: what is popular in the customer's segment; `popular`:
            what is popular with all.
        items: best first.
        features_age_s: as a score's.
        notes: why it is not personal, why it is short, what could not be done.
    """

    customer_id: int | str
    status: Status
    source: Source
    items: list[Item]
    features_age_s: float | None
    notes: list[str]


class RecommendAnswer(msgspec.Struct, frozen=True):
    """Every customer's items, all by one bundle."""

    bundle: str
    device: str
    results: list[Recommendation]


class Neighbours(msgspec.Struct, frozen=True):
    """The items that are most like one.

    Attributes:
        item_id: as it was asked for.
        items: best first, never the item itself; the score is the cosine between the two items' vectors, -1 to 1.
        notes: why the list is short or empty, or not of all items.
        status: `ok`; `cold`: there is no such item; `degraded`: there was no time to look among all items, and these
            are the nearest of the most popular.
    """

    item_id: int | str
    items: list[Item]
    notes: list[str]
    status: Literal["ok", "cold", "degraded"] = "ok"


class SimilarAnswer(msgspec.Struct, frozen=True):
    """Every item's neighbours, all by one bundle."""

    bundle: str
    device: str
    results: list[Neighbours]


class ViewAnswer(msgspec.Struct, frozen=True):
    """What one feature view says of a customer.

    Attributes:
        status: `present`, `stale` (too old: its values are null), `unknown` (there is no row), `corrupt`; `withheld`
            and `capped` as a score's.
        event_timestamp: when the row was true, ISO 8601 UTC; null where there is none.
        age_s: seconds since then.
        values: by feature; null where the row says so.
    """

    status: RowStatus
    event_timestamp: str | None
    age_s: float | None
    values: Mapping[str, Any]


class FeatureView(msgspec.Struct, frozen=True):
    """One feature view of N customers, in the order they were asked for.

    Attributes:
        status: of each, as `ViewAnswer.status`.
        age_s: seconds since each row's event time; null where there is no row.
        values: by feature, one each; null where the row says so, or where the status is not `present`.
    """

    status: list[RowStatus]
    age_s: list[float | None]
    values: Mapping[str, list[Any]]


class FeaturesAnswer(msgspec.Struct, frozen=True):
    """Features as the online store has them.

    Attributes:
        bundle: whose feature services say what is read.
        customer_ids: as they were asked for.
        features: by view; empty where Redis gave no answer.
        notes: why it is empty.
    """

    bundle: str
    customer_ids: list[int | str]
    features: Mapping[str, FeatureView]
    notes: list[str]


class Portrait(msgspec.Struct, frozen=True):
    """Everything known of a customer: features by view with their ages, segment and scores."""

    bundle: str
    device: str
    customer_id: int | str
    status: Status
    segment: SegmentAnswer | None
    scores: Mapping[str, float | None]
    features_age_s: float | None
    features: Mapping[str, ViewAnswer]
    notes: list[str]


class Alive(msgspec.Struct, frozen=True):
    """The process answers."""

    status: Literal["alive"] = "alive"


class Ready(msgspec.Struct, frozen=True):
    """Whether answers can be given, and of what they would be made.

    Attributes:
        status: `ready`, or `degraded`: answers come, without features.
        bundle: the version that serves.
        device, device_reason: what the models run on, and why.
        search: how the catalogue is searched, and why not better.
        redis: `ok`, or why it does not answer.
        refused: why a newer bundle does not serve; null where none was refused.
    """

    status: Literal["ready", "degraded"]
    bundle: str
    device: str
    device_reason: str
    redis: str
    refused: str | None
    search: str = ""


class Problem(msgspec.Struct, frozen=True):
    """What is wrong with a request.

    Attributes:
        path: where, as a JSON path from the body's root `$`, or the parameter's or URL's name.
        message: what.
        remedy: what to do about it.
    """

    path: str
    message: str
    remedy: str


class ErrorAnswer(msgspec.Struct, frozen=True, omit_defaults=True):
    """The body of every answer that is not 200.

    Attributes:
        error: what is wrong.
        request_id: of the request, as its answer's header `x-request-id`: what the server's logs know it by.
    """

    error: Problem
    request_id: str = ""
