"""Channel preference: through which of the company's channels a customer buys.

Grain: customer × snapshot, of those who had bought something. Source: the `channel` of `transactions`, over
`windows.YEAR`. A basket counts where it was first bought; its channel is the least of that moment's lines. Money is of
the lines bought, by the moment's channel; returns are left out. Each channel of the company's has a column; another
one's, and what tells no channel, are in `share_other` and `money_share_other`. All are null where nothing was bought in
the window, and money's where nothing was paid.

`favourite_channel` has the most baskets, then the most money, then the first slug. `channel_entropy` is Shannon's
entropy of the shares of baskets in nats: 0 for one channel alone. Contacts by channel belong to `campaign_history`.
"""

import operator
from functools import reduce
from typing import Final

import polars as pl

from feature_repo.features import windows
from feature_repo.features.affinity import OTHER, entropy
from feature_repo.features.frames import SNAPSHOT, Tables, baskets, buyers, finish, share, sums
from feature_repo.features.view import Feature, Words
from motherlode import names

READS: Final = (names.TRANSACTIONS,)

FAVOURITE: Final = "favourite_channel"

_LABEL: Final = windows.label(windows.YEAR)
_BASKETS: Final = "baskets_"
_MONEY: Final = "money_"


def features(words: Words) -> dict[str, Feature]:
    """Shares of baskets and of money by the company's channels, then what they come to."""
    slugs = {slug: f"through the channel {word!r}" for slug, word in words.channels.items()}
    slugs[OTHER] = "through another channel, or one that is not told"
    over, share_of = f"over {windows.YEAR.days} days", "share 0–1"
    kind = pl.Float32()
    return {
        **{f"share_{slug}": Feature(kind, share_of, f"of baskets {over}, {what}") for slug, what in slugs.items()},
        **{f"money_share_{slug}": Feature(kind, share_of, f"of money {over}, {what}") for slug, what in slugs.items()},
        FAVOURITE: Feature(pl.String(), "text", f"the channel with the most baskets {over}; null where none is told"),
        "channel_entropy": Feature(kind, "nats", f"Shannon's entropy of the shares of baskets {over}"),
    }


def build(tables: Tables, snapshots: pl.LazyFrame, words: Words) -> pl.LazyFrame:
    """The view `channels`; see the module for units and sources."""
    kinds = features(words)
    slugs = [*words.channels, OTHER]
    values = [f"{kind}{slug}" for kind in (_BASKETS, _MONEY) for slug in slugs]
    found = sums(_moments(tables, words), buyers(tables, snapshots), values, {_LABEL: windows.YEAR})
    shares = [
        *_shares(_BASKETS, "share_", slugs),
        *_shares(_MONEY, "money_share_", slugs),
        _favourite(words).alias(FAVOURITE),
    ]
    made = found.select(SNAPSHOT, names.CUSTOMER_ID, *shares)
    return finish(made.with_columns(entropy([f"share_{slug}" for slug in slugs]).alias("channel_entropy")), kinds)


def _moments(tables: Tables, words: Words) -> pl.LazyFrame:
    """Baskets begun and money paid, by channel, a column each, at each moment of a basket."""
    channel, begins, bought = pl.col(names.CHANNEL), pl.col("begins"), pl.col("bought")
    told = {slug: (channel == word).fill_null(False) for slug, word in words.channels.items()}
    told[OTHER] = ~reduce(operator.or_, told.values(), pl.lit(False))
    return baskets(tables).select(
        names.CUSTOMER_ID,
        names.EVENT_TIMESTAMP,
        *(pl.when(there).then(begins).otherwise(0).alias(f"{_BASKETS}{slug}") for slug, there in told.items()),
        *(pl.when(there).then(bought).otherwise(0).alias(f"{_MONEY}{slug}") for slug, there in told.items()),
    )


def _of(kind: str, slug: str) -> pl.Expr:
    return pl.col(f"{kind}{slug}_{_LABEL}")


def _shares(kind: str, name: str, slugs: list[str]) -> list[pl.Expr]:
    whole = _of(kind, slugs[0])
    for slug in slugs[1:]:
        whole = whole + _of(kind, slug)
    return [share(_of(kind, slug), whole).alias(f"{name}{slug}") for slug in slugs]


def _favourite(words: Words) -> pl.Expr:
    """One step a channel: it takes the place of the best of those before it."""
    best = pl.lit(None, dtype=pl.String)
    most, paid = pl.lit(0, dtype=pl.Int64), pl.lit(0, dtype=pl.Int64)
    for slug, word in sorted(words.channels.items()):
        count, money = _of(_BASKETS, slug), _of(_MONEY, slug)
        better = (count > most) | ((count == most) & (count > 0) & (money > paid))
        best = pl.when(better).then(pl.lit(word)).otherwise(best)
        most, paid = pl.when(better).then(count).otherwise(most), pl.when(better).then(money).otherwise(paid)
    return best
