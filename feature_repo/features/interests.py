"""Interests: what a customer's money goes to, the more the later it was spent.

Grain: customer × snapshot, of those with a line in `transactions` before it. Sources: `transactions`, and `items` for
the company's categories and departments and for what it has made for itself. Money is the `amount` of the lines bought
at a price above 0; what was spent a half-life ago counts half. There are two half-lives, `windows.SHORT_HALF_LIFE` and
`windows.LONG_HALF_LIFE`, and all that follows is a part of faded money: between two purchases it stays.

A category is the item's `category`, or its department where it has none; lines of items with neither are left out of
everything about categories. `top_categories_…` are the `windows.CATEGORIES` with the largest parts, highest first,
ties by name, and `top_category_shares_…` those parts. `breadth_…` is Shannon's entropy of all parts in nats (C. E.
Shannon, 1948, §6): 0 for one category alone. Departments are the company's widest; any other one, or none, is
`…_other`. `private_label_share_…` is a part of the money for items of which the company tells whose label they bear.

`new_category_share_28d`: of the categories bought in `windows.MONTH`, whatever they cost, those never bought before.
All are null where there is nothing to take a part of. Snapshots but the latest stand `windows.MONTH` apart.
"""

from collections.abc import Mapping
from datetime import timedelta
from typing import Final

import polars as pl

from feature_repo.features import standing, windows
from feature_repo.features.affinity import OTHER
from feature_repo.features.frames import (
    AT,
    LAST,
    SNAPSHOT,
    Tables,
    codes,
    finish,
    known,
    micros,
    population,
    purchases,
    share,
    units,
)
from feature_repo.features.standing import CODE, CUSTOMER, EARLIER, ENTRY, FIRST, NUMBER, STANDING, THING, UNTIL
from feature_repo.features.view import Feature, Words
from motherlode import names

READS: Final = (names.TRANSACTIONS, names.ITEMS)

SPACING: Final = windows.MONTH
"""Its lists cost more than most other views together; a lookup finds a row that is a month old at the most."""

HALF_LIVES: Final[Mapping[str, timedelta]] = {
    windows.label(span): span for span in (windows.SHORT_HALF_LIFE, windows.LONG_HALF_LIFE)
}
NOVELTY: Final = f"new_category_share_{windows.label(windows.MONTH)}"

_CATEGORY: Final = "category"
_SPENT: Final = "spent"
_SORTED: Final = "sorted"
"""Money for what has a category."""
_OWN: Final = "own"
_TOLD: Final = "told"
"""Money for what is known to be the company's own label, or not."""
_BREADTH: Final = "breadth"
_CLASS: Final = "class"
_PLACE: Final = "department"
_SORTED_AT: Final = "sorted_at"
_WIDTH: Final = 2**26
"""A quarter of a halving."""
_OUT: Final = "out"
"""The number of the first snapshot whose `windows.MONTH` a purchase has left."""
_TICK: Final = "tick"
"""A time's number among those at which anything was bought, from 0."""
_MOMENT: Final = "moment"
"""One customer's time: CUSTOMER · 2^26 + its number, Int64: one number sorts and groups at half the cost of two."""
_TICKS: Final = 2**26
_MONTH: Final = windows.MONTH // timedelta(microseconds=1)


def features(words: Words) -> dict[str, Feature]:
    """Categories, departments and own label at both half-lives, then novelty."""
    found: dict[str, Feature] = {}
    for label, span in HALF_LIVES.items():
        found |= _faded(label, f"of money that halves every {span.days} days", words)
    doc = f"of the categories bought over {windows.MONTH.days} days, those never bought before"
    return found | {NOVELTY: Feature(pl.Float32(), "share 0–1", doc)}


def _faded(label: str, of: str, words: Words) -> dict[str, Feature]:
    number, share_of = pl.Float32(), "share 0–1"
    departments = {slug: f"the department {word!r}" for slug, word in words.departments.items()}
    departments[OTHER] = "every other department, or none"
    return {
        f"top_categories_{label}": Feature(
            pl.List(pl.String()), "text", f"the {windows.CATEGORIES} that take the most {of}"
        ),
        f"top_category_shares_{label}": Feature(
            pl.List(pl.Float32()), share_of, f"{of}, the parts of `top_categories_{label}`"
        ),
        f"breadth_{label}": Feature(number, "nats", f"Shannon's entropy of the categories' shares {of}"),
        **{
            f"department_share_{slug}_{label}": Feature(number, share_of, f"{of}, what went to {what}")
            for slug, what in departments.items()
        },
        f"private_label_share_{label}": Feature(
            number, share_of, f"{of} for items of a known label, what went to the company's own"
        ),
    }


def build(tables: Tables, snapshots: pl.LazyFrame, words: Words) -> pl.LazyFrame:
    """The view `interests`; see the module for units and sources."""
    classes = _classes(tables, words).cache()
    customers = codes(purchases(tables), names.CUSTOMER_ID, CUSTOMER).cache()
    lines = _lines(tables, classes, customers, snapshots).cache()
    categories = classes.filter(pl.col(CODE).is_not_null()).group_by(CODE).agg(pl.col(_CATEGORY).first()).cache()
    lives = _lives(lines).cache()
    rows = _rows(tables, snapshots, customers).cache()
    moments = _moments(lines, words).cache()
    asked = _asked(moments, rows).cache()
    made = (
        rows.join(asked.select(CUSTOMER, NUMBER, LAST, _SORTED_AT), on=[CUSTOMER, NUMBER], how="left")
        .join(_novelty(lives, asked), on=[CUSTOMER, NUMBER], how="left")
        .join(_shares(moments, words), on=[CUSTOMER, LAST], how="left")
        .join(_breadths(lives, moments), on=[CUSTOMER, _SORTED_AT], how="left")
    )
    # Lists come last: what stands in a frame is copied by every join.
    for label in HALF_LIVES:
        made = made.join(_lists(label, lives, asked, moments, categories), on=[CUSTOMER, _SORTED_AT], how="left")
    return finish(made, features(words))


def _classes(tables: Tables, words: Words) -> pl.LazyFrame:
    """Items that are alike in all that is asked here have one class: a number is quicker than texts.

    Returns:
        item_id; `class`, Int64; category; CODE, its number, null where there is none; `department`, its place among the
        words from 0, null where it has none; own label.
    """
    department, category = pl.col(names.DEPARTMENT), pl.col(names.CATEGORY)
    place = pl.lit(None, dtype=pl.Int64)
    for number, word in enumerate(words.departments.values()):
        place = pl.when(department == word).then(pl.lit(number, dtype=pl.Int64)).otherwise(place)
    items = tables[names.ITEMS].select(
        names.ITEM_ID,
        pl.when(category.is_null()).then(department).otherwise(category).alias(_CATEGORY),
        place.alias(_PLACE),
        pl.col(names.PRIVATE_LABEL).cast(pl.Int64).alias(_OWN),
    )
    kind = pl.col(CODE).fill_null(0)
    of = (kind * (len(words.departments) + 1) + pl.col(_PLACE).fill_null(-1) + 1) * 3 + pl.col(_OWN).fill_null(-1) + 1
    return items.join(codes(items, _CATEGORY, CODE), on=_CATEGORY, how="left").with_columns(of.alias(_CLASS))


def _lines(tables: Tables, classes: pl.LazyFrame, customers: pl.LazyFrame, snapshots: pl.LazyFrame) -> pl.LazyFrame:
    """What was bought.

    Returns:
        _MOMENT; AT; NUMBER, and `out`, that of the first snapshot whose `windows.MONTH` it has left; money in
        ten-thousandths; CODE of the category, `department` and own label; by customer and time.
    """
    amount = units(names.AMOUNT)
    each = classes.group_by(_CLASS).agg(pl.col(name).first() for name in (CODE, _PLACE, _OWN))
    bought = (
        purchases(tables)
        .select(
            names.CUSTOMER_ID,
            micros(pl.col(names.EVENT_TIMESTAMP)).alias(AT),
            names.ITEM_ID,
            pl.when(amount > 0).then(amount).otherwise(0).alias(_SPENT),
        )
        .cache()
    )
    times = bought.select(pl.col(AT).unique()).cache()
    clock = (
        times.sort(AT)
        .with_row_index(_TICK)
        .select(AT, pl.col(_TICK).cast(pl.Int64))
        .join(standing.seen_by(times, snapshots, NUMBER), on=AT, how="inner")
        .join(standing.seen_by(times, snapshots, _OUT, _MONTH), on=AT, how="inner")
    )
    return (
        bought.join(classes.select(names.ITEM_ID, _CLASS), on=names.ITEM_ID, how="left")
        .drop(names.ITEM_ID)
        .join(each, on=_CLASS, how="left")
        .join(clock, on=AT, how="inner")
        .join(customers, on=names.CUSTOMER_ID, how="inner")
        .select(_moment(pl.col(_TICK)), AT, NUMBER, _OUT, _SPENT, CODE, _PLACE, _OWN)
        .sort(_MOMENT)
    )


def _moment(tick: pl.Expr) -> pl.Expr:
    return (pl.col(CUSTOMER) * _TICKS + tick).alias(_MOMENT)


def _rows(tables: Tables, snapshots: pl.LazyFrame, customers: pl.LazyFrame) -> pl.LazyFrame:
    """The view's rows: SNAPSHOT, customer_id; CUSTOMER, null for one who bought nothing; AT, NUMBER, EARLIER."""
    return (
        population(tables, snapshots)
        .with_columns(micros(pl.col(SNAPSHOT)).alias(AT))
        .join(standing.numbered(snapshots), on=AT, how="inner")
        .join(customers, on=names.CUSTOMER_ID, how="left")
    )


def _departments(words: Words) -> list[str]:
    return [f"department_share_{slug}" for slug in (*words.departments, OTHER)]


def _moments(lines: pl.LazyFrame, words: Words) -> pl.LazyFrame:
    """Money up to each of a customer's moments, as it weighs at the origin.

    Returns:
        CUSTOMER, AT; `<sum>_<half-life>`, Float64; `_SORTED_AT`: AT where something with a category was bought.
    """
    spent, own = pl.col(_SPENT), pl.col(_OWN)
    *columns, other = _departments(words)
    sorted_ = pl.col(CODE).is_not_null()
    sums_of = {
        **{name: pl.col(_PLACE) == place for place, name in enumerate(columns)},
        _SORTED: sorted_,
        _TOLD: own.is_not_null(),
        _OWN: own == 1,
    }
    rest = pl.col(_SPENT)
    for name in columns:
        rest = rest - pl.col(name)
    whole = (
        lines.group_by(_MOMENT)
        .agg(
            pl.col(AT).min(),
            *(pl.when(there).then(spent).otherwise(0).sum().alias(name) for name, there in sums_of.items()),
            spent.sum(),
            sorted_.cast(pl.Int64).sum().alias("of_category"),
        )
        .with_columns(rest.alias(other), pl.when(pl.col("of_category") > 0).then(pl.col(AT)).alias(_SORTED_AT))
        .sort(_MOMENT)
        .with_columns((pl.col(_MOMENT) // _TICKS).alias(CUSTOMER))
    )
    sums_names = [*sums_of, other, _SPENT]
    grown = {label: standing.grown(pl.col(AT), span) for label, span in HALF_LIVES.items()}
    return whole.with_columns(
        (pl.col(name) * weight).cum_sum().over(CUSTOMER).alias(f"{name}_{label}")
        for label, weight in grown.items()
        for name in sums_names
    )


def _asked(moments: pl.LazyFrame, rows: pl.LazyFrame) -> pl.LazyFrame:
    """The rows of those who ever bought, with what was last bought before them.

    Returns:
        CUSTOMER; AT of the snapshot, NUMBER, EARLIER; LAST, and `_SORTED_AT`: the last with a category.
    """
    states = moments.select(CUSTOMER, AT, pl.col(AT).alias(LAST), _SORTED_AT)
    asks = rows.filter(pl.col(CUSTOMER).is_not_null()).select(CUSTOMER, AT)
    places = rows.select(AT, NUMBER, EARLIER).unique()
    return known(states, asks, [CUSTOMER], [LAST, _SORTED_AT]).join(places, on=AT, how="inner")


def _shares(moments: pl.LazyFrame, words: Words) -> pl.LazyFrame:
    """CUSTOMER, LAST, and the shares of departments and of own label: at one time all fade alike."""
    return moments.select(
        CUSTOMER,
        pl.col(AT).alias(LAST),
        *(
            share(pl.col(f"{name}_{label}"), pl.col(f"{_SPENT}_{label}")).alias(f"{name}_{label}")
            for label in HALF_LIVES
            for name in _departments(words)
        ),
        *(
            share(pl.col(f"{_OWN}_{label}"), pl.col(f"{_TOLD}_{label}")).alias(f"private_label_share_{label}")
            for label in HALF_LIVES
        ),
    )


def _lives(lines: pl.LazyFrame) -> pl.LazyFrame:
    """When each customer bought of each category, until the next time: as `standing.states` gives it, with `out`."""
    at, customer = pl.col(AT), (pl.col(_MOMENT) // _TICKS).alias(CUSTOMER)
    last = (pl.col(THING).shift(-1) != pl.col(THING)) | (at.shift(-1) != at)
    # Stable, so by THING, then _MOMENT; money of one moment is the difference of two running sums, exact in integers.
    times = (
        lines.filter(pl.col(CODE).is_not_null())
        .select(customer, CODE, AT, NUMBER, _OUT, _SPENT)
        .select(standing.thing(), AT, NUMBER, _OUT, _SPENT)
        .sort(THING, maintain_order=True)
        .with_columns(pl.col(_SPENT).cum_sum(), last.fill_null(True).alias("last_of_moment"))
        .filter(pl.col("last_of_moment"))
        .with_columns(pl.col(_SPENT) - pl.col(_SPENT).shift(1).fill_null(0))
        .select(
            *(THING, AT, NUMBER, _OUT),
            *((pl.col(_SPENT) * standing.grown(at, span)).alias(label) for label, span in HALF_LIVES.items()),
        )
    )
    return standing.lives(times, list(HALF_LIVES))


def _lists(
    label: str, lives: pl.LazyFrame, asked: pl.LazyFrame, moments: pl.LazyFrame, categories: pl.LazyFrame
) -> pl.LazyFrame:
    """CUSTOMER, `_SORTED_AT`, and the best categories with their shares."""
    total = pl.col(f"{label}_sum")
    paid = lives.filter((total > 0) & (pl.col(UNTIL).is_null() | (pl.col(UNTIL) > pl.col(NUMBER)))).select(
        *standing.whose(), NUMBER, UNTIL, standing.standing(total).alias(STANDING)
    )
    changed = (
        asked.filter(pl.col(EARLIER).is_null() | (pl.col(_SORTED_AT) >= pl.col(EARLIER)))
        .filter(pl.col(_SORTED_AT).is_not_null())
        .sort(CUSTOMER, AT)
        .with_row_index(ENTRY)
        .with_columns(pl.col(ENTRY).cast(pl.Int64))
        .cache()
    )
    whole = moments.select(CUSTOMER, pl.col(AT).alias(_SORTED_AT), f"{_SORTED}_{label}")
    of = changed.join(whole, on=[CUSTOMER, _SORTED_AT], how="inner").select(
        ENTRY, CUSTOMER, _SORTED_AT, f"{_SORTED}_{label}"
    )
    part = standing.weight_at_origin(pl.col(STANDING)) / pl.col(f"{_SORTED}_{label}")
    return (
        standing.best(paid, changed.select(ENTRY, CUSTOMER, NUMBER), STANDING, _WIDTH, windows.CATEGORIES)
        .join(categories, on=CODE, how="left", maintain_order="left")
        .join(of.select(ENTRY, f"{_SORTED}_{label}"), on=ENTRY, how="left", maintain_order="left")
        .group_by(ENTRY)
        .agg(
            pl.col(_CATEGORY).alias(f"top_categories_{label}"),
            part.cast(pl.Float32).alias(f"top_category_shares_{label}"),
        )
        .join(of.select(ENTRY, CUSTOMER, _SORTED_AT), on=ENTRY, how="inner")
        .drop(ENTRY)
    )


def _breadths(lives: pl.LazyFrame, moments: pl.LazyFrame) -> pl.LazyFrame:
    """CUSTOMER, `_SORTED_AT`, and the entropies.

    With w the faded money of a category and W that of all, -Σ w/W ln w/W is ln W - (Σ w ln w) / W. A purchase changes
    one w: the sum is kept as a running one of what each purchase adds to it, in the order of time and category.
    """
    terms = [
        (_w_ln_w(pl.col(f"{label}_sum")) - _w_ln_w(pl.col(f"{label}_sum") - pl.col(label))).alias(f"{_BREADTH}_{label}")
        for label in HALF_LIVES
    ]
    each = lives.select(*standing.whose(), AT, *terms).sort(CUSTOMER, AT, CODE)
    last = (pl.col(CUSTOMER).shift(-1) != pl.col(CUSTOMER)) | (pl.col(AT).shift(-1) != pl.col(AT))
    running = each.with_columns(
        *(pl.col(f"{_BREADTH}_{label}").cum_sum().over(CUSTOMER) for label in HALF_LIVES),
        last.fill_null(True).alias("last_of_moment"),
    ).filter(pl.col("last_of_moment"))
    whole = moments.select(CUSTOMER, AT, *(f"{_SORTED}_{label}" for label in HALF_LIVES))
    return running.join(whole, on=[CUSTOMER, AT], how="inner").select(
        CUSTOMER, pl.col(AT).alias(_SORTED_AT), *(_entropy(label) for label in HALF_LIVES)
    )


def _w_ln_w(weight: pl.Expr) -> pl.Expr:
    return pl.when(weight > 0).then(weight * weight.log()).otherwise(0.0)


def _entropy(label: str) -> pl.Expr:
    whole = pl.col(f"{_SORTED}_{label}")
    value = whole.log() - pl.col(f"{_BREADTH}_{label}") / whole
    # One category alone may come out a hair below 0.
    return pl.when(whole > 0).then(pl.when(value > 0).then(value).otherwise(0.0)).alias(f"{_BREADTH}_{label}")


def _novelty(lives: pl.LazyFrame, asked: pl.LazyFrame) -> pl.LazyFrame:
    """CUSTOMER, NUMBER, and the share of new categories.

    A category is among those of the window from a purchase until the next one, or until the purchase leaves the window:
    +1 at the first snapshot that sees the one, and -1 at the first that sees the other.
    """
    customer = pl.col(THING) // standing.CODES * _TICKS
    gone = pl.when(pl.col(UNTIL) < pl.col(_OUT)).then(pl.col(UNTIL)).otherwise(pl.col(_OUT))
    new = pl.col(FIRST).cast(pl.Int64)
    one, nothing = pl.lit(1, dtype=pl.Int64), pl.lit(0, dtype=pl.Int64)
    first = lives.filter(pl.col(FIRST))
    changes = [
        lives.select((customer + pl.col(NUMBER)).alias("row"), one.alias("there"), new.alias("new")),
        lives.select((customer + gone).alias("row"), (-one).alias("there"), nothing.alias("new")),
        first.select((customer + pl.col(_OUT)).alias("row"), nothing.alias("there"), (-one).alias("new")),
    ]
    there, fresh = (pl.col(name).fill_null(0).cum_sum().over(CUSTOMER) for name in ("there", "new"))
    return (
        asked.select(CUSTOMER, NUMBER, (pl.col(CUSTOMER) * _TICKS + pl.col(NUMBER)).alias("row"))
        .join(_counted(pl.concat([_counted(each) for each in changes])), on="row", how="left")
        .sort("row")
        .with_columns(there, fresh)
        .select(CUSTOMER, NUMBER, share(pl.col("new"), pl.col("there")).alias(NOVELTY))
    )


def _counted(changes: pl.LazyFrame) -> pl.LazyFrame:
    return changes.group_by("row").agg(pl.col("there").sum(), pl.col("new").sum())
