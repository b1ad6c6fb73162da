"""Raw to clean: canonical columns, one verdict a row, pseudonyms; a file in one pass, a batch at a time."""

from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

import polars as pl

from feature_repo.warehouse import parts
from feature_repo.warehouse.contract import TABLES
from feature_repo.warehouse.duplicates import MONTH, month_of
from feature_repo.warehouse.state import Cleaned
from feature_repo.warehouse.task import Place, Task, batches, compiled
from feature_repo.warehouse.verdicts import judge, malformed


def clean(place: Place, task: Task, on_rows: Callable[[int], None]) -> Cleaned:
    """Clean one file.

    Args:
        place, task: what and how.
        on_rows: told how many rows were done, a batch each.

    Raises:
        DataError: the file lacks a mapped column, or a clean file cannot be written.
    """
    made = compiled(place, task)
    stem = f"{task.entry}.{task.landed.file_id}"
    lines = malformed(place, task)
    counts = _Counts()
    with (
        parts.writing(place.settings, f"clean/{task.table}", stem) as kept,
        parts.writing(place.settings, f"quarantine/{task.table}", stem) as rejected,
    ):
        if lines.height:
            rejected.append(lines)
        for batch in batches(place, task, made):
            judged = judge(place, task, made, batch)
            counts.warnings.update({rule: rows for rule, rows in judged.warnings.items() if rows})
            counts.excluded += judged.excluded
            if judged.rejected.height:
                rejected.append(judged.rejected)
            for month, rows in _by_month(task.table, judged.kept):
                counts.months[month] += rows.height
                kept.append(rows)
            on_rows(batch.height)
    return Cleaned(
        table=task.table,
        entry=task.entry,
        source=task.landed.source,
        file_id=task.landed.file_id,
        name=task.landed.name,
        order=task.landed.order,
        inputs=task.inputs,
        rows_in=task.landed.rows,
        clean=kept.part,
        quarantine=rejected.part,
        excluded=counts.excluded,
        rejected=(rejected.part.rows if rejected.part is not None else 0) - counts.excluded,
        warnings=dict(counts.warnings),
        months=dict(sorted(counts.months.items())),
    )


def _by_month(table: str, rows: pl.DataFrame) -> Iterable[tuple[str, pl.DataFrame]]:
    """Rows by month, so that a row group is of one month; "" for a table without months."""
    time = TABLES[table].time
    if not rows.height:
        return
    if not TABLES[table].monthly or time is None:
        yield "", rows
        return
    months = rows.select(month_of(time))[MONTH]
    first, last = months.min(), months.max()
    if first == last:
        yield month_name(first), rows
        return
    keyed = rows.with_columns(months).partition_by(MONTH, as_dict=True, include_key=False, maintain_order=True)
    for (month,), part in sorted(keyed.items()):
        yield month_name(month), part


def month_name(month: object) -> str:
    """`_month` as in "2024-03"."""
    assert isinstance(month, int)
    return f"{month // 12:04d}-{month % 12 + 1:02d}"


@dataclass
class _Counts:
    excluded: int = 0
    months: Counter[str] = field(default_factory=Counter)
    warnings: Counter[str] = field(default_factory=Counter)
