"""Who is one person, from the warehouse to where consents are kept (`motherlode.people`)."""

import polars as pl

from feature_repo.warehouse import parts, state
from motherlode import names, people
from motherlode.online.keys import entity_text
from motherlode.settings import Settings

_INTO = "into_customer_id"


def publish(settings: Settings) -> int:
    """Say who is one person, before rows that were joined come online; returns how many words of consent that makes.

    Raises:
        DataError: the ledger of consents cannot be read.
    """
    frames = [frame.select(names.CUSTOMER_ID, _INTO) for frame in parts.scan(settings, [state.read(settings).matches])]
    if not frames:
        return people.publish(settings, [])
    merged = pl.concat(frames).group_by(_INTO).agg(names.CUSTOMER_ID).sort(_INTO).collect()
    groups = ((into, *sorted(others)) for into, others in merged.iter_rows())
    return people.publish(settings, ([entity_text((name,)) for name in group] for group in groups))
