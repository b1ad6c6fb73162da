"""`motherlode features audit`: features whose value alone predicts a label too well, as one that has seen it does."""

from pathlib import Path
from typing import Final

import click
import polars as pl
from rich.box import SIMPLE
from rich.console import Console
from rich.table import Table
from rich.text import Text

from feature_repo import store
from feature_repo.mart import manifest
from feature_repo.warehouse import tables
from motherlode import names
from motherlode.cli import options
from motherlode.cli.features_list import place
from motherlode.errors import DataError
from motherlode.settings import Settings
from training import labels as builtin
from training.leakage import THRESHOLD, Audit, audit, labelled

_TOP: Final = 10
_ISO: Final = r"^\d{4}-\d{2}-\d{2}([T ]\d{2}:\d{2}(:\d{2}(\.\d+)?)?)?(Z|[+-]\d{2}:?\d{2})?$"
"""Any other order of day and month would be a guess."""
_TIME: Final = "Give ISO 8601, in UTC: 2025-03-31T00:00:00Z."


@click.command("audit")
@click.option("--service", default=names.SCORING, show_default=True, help="The feature service to look at.")
@click.option(
    "--labels",
    type=click.Path(path_type=Path, exists=True, dir_okay=False),
    help="A .parquet or .csv file: customer_id as the company has it, event_timestamp (UTC), label, and label_start "
    "where its window starts later; campaign responses and 28 days without a purchase by default.",
)
@click.option("--threshold", type=click.FloatRange(0.5, 1.0), default=THRESHOLD, show_default=True)
@options.home
def audit_features(service: str, labels: Path | None, threshold: float, home: Path | None) -> int:
    """List the features that say the most about a label, each alone, and name those that say too much.

    Ends with 1 where one does: most likely it was made from the answer.
    """
    settings, console = Settings.from_env(home=place(home)), Console()
    store.resolve(settings, service)  # an unknown one is told before anything is read
    asked = _builtin(settings) if labels is None else {labels.name: read(settings, labels)}
    suspects = 0
    for name, frame in asked.items():
        if frame[names.LABEL].n_unique() < 2:  # of our own labels: a file is refused
            console.print(Text(f"{name}: {frame.height:,} labels, all of one kind: nothing to look at."))
            continue
        with console.status(f"joining the features of {service} with {name}"):
            found = audit(store.training_frame(settings, frame, service), names.LABEL, threshold)
        if found.known == 0:
            raise DataError(
                f"None of {found.rows:,} labels of {name} has any feature of {service} at its time.",
                "Ask about times from the first snapshot on: `motherlode features list`.",
            )
        suspects += len(found.suspects)
        console.print(_table(name, found))
        console.print(Text(_verdict(found)), soft_wrap=True)
    return 1 if suspects else 0


def read(settings: Settings, path: Path) -> pl.DataFrame:
    """A file of labels, its customers under the keys that the features know them by.

    Raises:
        DataError: it cannot be read, has no such columns, labels of one kind alone, or no customer that is known.
    """
    kind = path.suffix.lower()
    if kind not in (".parquet", ".csv"):
        raise DataError(f"{path} is neither .parquet nor .csv.", "Write it as one of them.")
    try:
        frame = pl.read_parquet(path) if kind == ".parquet" else pl.read_csv(path)
    except pl.exceptions.PolarsError as error:
        told = next(iter(str(error).splitlines()), "").rstrip(". ")  # what follows advises those who call Polars
        remedy = "Write it as Parquet, or as CSV in UTF-8 with a header and as many values in each line."
        raise DataError(f"{path} cannot be read: {told}.", remedy) from error
    for column in (names.CUSTOMER_ID, names.EVENT_TIMESTAMP, names.LABEL):
        if column not in frame.columns:
            raise DataError(f"{path} has no column {column!r}; it has {', '.join(frame.columns)}.", "Name it so.")
    rows, frame = frame.height, labelled(frame, names.LABEL)
    if (kinds := frame[names.LABEL].n_unique()) < 2:
        raise DataError(
            f"{path} has {rows:,} rows, {frame.height:,} with a label, and {kinds} kind of label.",
            "Give labels of two kinds, or numbers.",
        )
    times = [
        it for it in (names.EVENT_TIMESTAMP, names.LABEL_START, names.LABEL_END) if frame.schema.get(it) == pl.String
    ]
    for column in times:
        if len(odd := frame[column].drop_nulls().filter(~frame[column].drop_nulls().str.contains(_ISO))):
            raise DataError(f"{path}: a time cannot be read: {column} {odd[0]!r}.", _TIME)
    try:
        frame = frame.with_columns(pl.col(times).str.to_datetime(time_zone="UTC"))
    except pl.exceptions.PolarsError as error:
        told = next(iter(str(error).splitlines()), "")
        raise DataError(f"{path}: a time cannot be read: {told}", _TIME) from error
    return _keyed(settings, frame, path)


def _keyed(settings: Settings, frame: pl.DataFrame, path: Path) -> pl.DataFrame:
    """Labels with their customers' join keys in place of the company's ids."""
    outside = pl.col(names.OUTSIDE_ID).cast(pl.String).alias(names.CUSTOMER_ID)
    every = tables.outside_ids(settings)
    known = every.select(outside, pl.col(names.CUSTOMER_ID).alias("key"))
    named = frame.with_columns(pl.col(names.CUSTOMER_ID).cast(pl.String)).join(
        known, on=names.CUSTOMER_ID, how="left", maintain_order="left"
    )
    # Labels that were made from our own tables have the keys already.
    unknown = named.filter(
        pl.col("key").is_null() & ~pl.col(names.CUSTOMER_ID).is_in(every[names.CUSTOMER_ID].implode())
    )
    if unknown.height == named.height:
        example = f", such as {known[names.CUSTOMER_ID][0]!r}" if known.height else ""
        raise DataError(
            f"{path}: not one of {named.height:,} labels is of a customer that is known; the first is of "
            f"{named[names.CUSTOMER_ID][0]!r}.",
            f"Give the company's own ids{example}.",
        )
    if unknown.height:
        who = unknown[names.CUSTOMER_ID][0]
        told = f"{path.name}: {unknown.height:,} of {named.height:,} labels are of customers unknown here, as {who!r}."
        Console().print(Text(told), soft_wrap=True)
    return named.with_columns(pl.coalesce("key", names.CUSTOMER_ID).alias(names.CUSTOMER_ID)).drop("key")


def _builtin(settings: Settings) -> dict[str, pl.DataFrame]:
    """The labels that training makes, by model."""
    found = {name: table.collect() for name, table in tables.scan_all(settings).items()}
    snapshots = manifest.read(settings).snapshots
    return {
        names.RESPONSE: builtin.response_labels(found[names.CONTACTS], found[names.CAMPAIGNS], found[names.RESPONSES]),
        names.INACTIVE_28D: builtin.inactivity_labels(found[names.TRANSACTIONS], snapshots),
    }


def _table(name: str, found: Audit) -> Table:
    ones = "" if found.ones is None else f", {found.ones:,} of them ones"
    title = Text(f"{name}: {found.rows:,} labels{ones}")
    table = Table(title=title, title_justify="left", box=SIMPLE, padding=(0, 1, 0, 0))
    table.add_column("feature", overflow="fold", min_width=20)
    table.add_column(found.measure, justify="right", no_wrap=True)
    table.add_column("present", justify="right", no_wrap=True)
    table.add_column("judged by", no_wrap=True)
    suspects = set(found.suspects)
    for it in found.powers[: max(_TOP, len(suspects))]:
        style = "bold red" if it in suspects else ""
        table.add_row(*(Text(cell, style) for cell in (it.feature, f"{it.value:.3f}", f"{it.present:,}", it.by)))
    return table


def _verdict(found: Audit) -> str:
    bound = (
        f"{found.known:,} of {found.rows:,} labels have any feature, and "
        f"chance alone reaches {found.chance:.3f} on as many labels"
    )
    if found.suspects:
        told = ", ".join(it.feature for it in found.suspects)
        return (
            f"Too good to be true at {found.threshold:g} ({bound}): {told}. Look where each value comes from, and when."
        )
    if found.powers[0].value >= found.threshold:
        return f"{bound[0].upper()}{bound[1:]}: too few labels to suspect anything at {found.threshold:g}."
    return f"Nothing predicts the label too well: all are below {found.threshold:g} ({bound})."
