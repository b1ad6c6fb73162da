"""Tags: the labels of customers that people, and models and rules outside, gave."""

import polars as pl

from feature_repo.warehouse.integrate import imputing
from feature_repo.warehouse.integrate.campaigns import once
from feature_repo.warehouse.integrate.table import Clean, Outcome, Place, aliased, digest_of, whole, write_whole
from feature_repo.warehouse.state import Integrated
from motherlode import names


def tags(place: Place, clean: Clean, aliases: pl.DataFrame) -> Integrated:
    """Every label, by the customer that theirs was found to be; what two ids of one person had both is one label."""
    inputs = clean.inputs(digest_of(aliases), *imputing.versions(clean))
    if (known := place.kept(names.TAGS, inputs)) is not None:
        return known
    outcome = Outcome()
    rows = imputing.fill(clean, aliased(whole(place.settings, clean), aliases), None, outcome)
    rows = once(clean, rows, outcome) if aliases.height else rows
    return write_whole(place, clean, rows, inputs, outcome)
