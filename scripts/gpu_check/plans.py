"""Which plans run wholly on the GPU: every feature view, and the point-in-time join."""

from collections.abc import Iterator, Mapping
from functools import partial
from itertools import product
from pathlib import Path
from types import MappingProxyType
from typing import Any, Final
from unittest import mock

import polars as pl

from feature_repo.stores import join
from motherlode import names
from scripts.gpu_check import execution, views
from scripts.gpu_check.verdict import Verdict
from scripts.gpu_check.views import Plan

_KEYS: Final = (names.CUSTOMER_ID, "other_key")
_TTL_US: Final = 35 * 86_400_000_000


def examine(gpu: Any, folder: Path, project: Path, home: Path | None = None) -> list[Verdict]:
    """A verdict on each plan of ours, by name, and on each that must be caught.

    Args:
        gpu: the GPU room.
        folder: where files may be written.
        project: the folder of a company's mapping, whose own views (`features/*.py`) are checked too.
        home: where its integrated tables lie, for the columns of its own; None: the contract's alone.

    Raises:
        DataError: one of its own views cannot be loaded.
    """
    tables = views.tables(folder, home)
    known = (*views.plans(project), *_joins(folder))
    ours = [Verdict(f"plan {name}", problem(gpu, plan, tables)) for name, plan in known]
    caught = [
        Verdict(f"caught: a plan with {name}", _missed(problem(gpu, plan, tables), finding))
        for name, (plan, finding) in _UNFIT.items()
    ]
    return [*ours, *caught]


def problem(gpu: Any, plan: Plan, tables: Mapping[str, pl.LazyFrame]) -> str | None:
    """Why a plan does not run wholly on the GPU; None where it does.

    Args:
        gpu: the GPU room, which is asked to collect it.
        plan: makes it.
        tables: the integrated tables; no row of them is looked at.
    """
    refuse = mock.Mock(side_effect=RuntimeError("it computes something on the CPU while it is built"))
    try:
        with mock.patch.object(pl.LazyFrame, "collect", refuse):
            made = plan(tables)
        with execution.captured() as reached:
            gpu.collect(made)
    except Exception as error:  # noqa: BLE001 - whatever stops the plan is the finding
        return f"{type(error).__name__}: {_root(error)}"
    if len(reached) != 1:
        return f"the GPU was given {len(reached)} plans instead of the whole one"
    on_host = execution.off_the_gpu(reached[0])
    return f"it calls back into Python: {', '.join(on_host)}" if on_host else None


def _missed(found: str | None, finding: str) -> str | None:
    return None if found is not None and finding in found else f"not caught; found instead: {found or 'nothing'}"


def _root(error: BaseException) -> str:
    """The text of the error that started it, on one line."""
    while error.__cause__ is not None:
        error = error.__cause__
    return " ".join(str(error).split())


def _joins(folder: Path) -> Iterator[tuple[str, Plan]]:
    """The point-in-time join in each of its variants, from a file as the offline store opens it."""
    path = folder / "mart.parquet"
    text = dict.fromkeys(_KEYS, pl.String())
    times = dict.fromkeys((names.EVENT_TIMESTAMP, names.CREATED_TIMESTAMP), pl.Datetime("us", "UTC"))
    schema = {**text, **times, "value": pl.Float32(), "items": pl.List(pl.String())}
    pl.DataFrame({name: [None, None] for name in schema}, schema=schema).write_parquet(path)
    for keys, ttl, by_created in product((_KEYS[:1], _KEYS), (None, _TTL_US), (False, True)):
        variant = f"{len(keys)} key, " if len(keys) == 1 else f"{len(keys)} keys, "
        variant += "no TTL, " if ttl is None else "TTL, "
        variant += "by created time" if by_created else "by event time"
        yield f"point-in-time join, {variant}", partial(_join, path, keys, ttl, by_created)


def _join(
    path: Path, keys: tuple[str, ...], ttl_us: int | None, by_created: bool, _tables: Mapping[str, pl.LazyFrame]
) -> pl.LazyFrame:
    utc = pl.Datetime("us", "UTC")
    source = pl.scan_parquet(path, glob=False).with_row_index(join.ROW).with_columns(pl.col(join.ROW).cast(pl.Int64))
    features = source.select(
        *keys,
        join.micros(names.EVENT_TIMESTAMP, utc, up=True).alias(join.EVENT),
        join.micros(names.CREATED_TIMESTAMP, utc, up=True).alias(join.CREATED),
        join.ROW,
    ).filter(pl.col(join.EVENT) <= 0)
    text = dict.fromkeys(keys, pl.String())
    labels = pl.DataFrame({name: ["1"] for name in keys} | {join.TIME: [0], join.LABEL: [0]}, schema_overrides=text)
    picked = join.pick(labels.lazy(), features, keys, ttl_us=ttl_us, by_created=by_created)
    return join.take(picked, source, ["value", "items"])


def _transactions(expression: pl.Expr) -> Plan:
    return lambda tables: tables[names.TRANSACTIONS].select(expression.alias("new"))


def _as_of(tables: Mapping[str, pl.LazyFrame]) -> pl.LazyFrame:
    contacts = tables[names.CONTACTS].sort(names.EVENT_TIMESTAMP)
    bought = tables[names.TRANSACTIONS].sort(names.EVENT_TIMESTAMP)
    return contacts.join_asof(bought, on=names.EVENT_TIMESTAMP, by=names.CUSTOMER_ID, check_sortedness=False)


_UNFIT: Final[Mapping[str, tuple[Plan, str]]] = MappingProxyType(
    {
        "dt.truncate": (_transactions(pl.col(names.EVENT_TIMESTAMP).dt.truncate("1w")), "Temporal function"),
        "join_asof": (_as_of, "asof join"),
        "shift().over": (_transactions(pl.col(names.AMOUNT).shift().over(names.CUSTOMER_ID)), "in groupby/rolling"),
        "a Python function": (lambda tables: tables[names.ITEMS].map_batches(lambda frame: frame), "opaque"),
        "a step computed on the way": (lambda tables: tables[names.ITEMS].collect().lazy(), "while it is built"),
    }
)
"""Plans that are known not to run wholly on the GPU, and what the check must say of each."""
