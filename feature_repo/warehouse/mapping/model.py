"""What a mapping may say: the structure of `motherlode.yaml`, one struct a block.

Every block refuses keys that it does not know. What each key means is documented for users in `docs/data.md`.
"""

from typing import Any, Literal

import msgspec

from feature_repo.warehouse.contract import Privacy, Severity

Format = Literal["csv", "tsv", "parquet", "jsonl", "excel", "delta", "iceberg", "sql"]


class _Block(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A block of the mapping."""


class Source(_Block, frozen=True, kw_only=True):
    """Where a raw table comes from. What is left out is found: format by the name, the rest by the content.

    Attributes:
        files: one path, glob or URL, or several; relative ones lie below the mapping's folder. `package:NAME/PATH`
            is a file of an installed Python package. `${VARIABLE}` stands for the environment's.
        database: a database's URL, for a source that is a query's answer; `${VARIABLE}` as above.
        query: the SQL that gives the rows; with `database`.
        format: by the file's name where left out.
        delimiter, quote, encoding: of text files.
        header: false where the first line holds data; then `columns` names them.
        skip: lines above the header.
        columns: the columns' names, in order, where there is no header.
        null_values: texts that mean nothing; "" always does.
        decimal: "." or ","; thousands: "," or "." or " " or "'"; of numbers in text.
        time_zone: of times that state none, by IANA name.
        sheet: an Excel sheet's name, or its number from 1.
        explode: JSON lines: the field whose list's elements are a row each.
    """

    files: str | list[str] | None = None
    database: str | None = None
    query: str | None = None
    format: Format | None = None
    delimiter: str | None = None
    quote: str | None = None
    encoding: str | None = None
    header: bool = True
    skip: int = 0
    columns: list[str] | None = None
    null_values: list[str] = []
    decimal: Literal[".", ","] | None = None
    thousands: Literal[",", ".", " ", "'"] | None = None
    time_zone: str | None = None
    sheet: str | int | None = None
    explode: str | None = None


class Impute(_Block, frozen=True, kw_only=True):
    """What fills a missing value; `<column>_missing` keeps that it was missing.

    Attributes:
        by: `mean`, `median`, `mode`: of the past's values; `model`: predicted from the columns of `using`, fitted on
            the past; `rule`: the SQL expression of `sql`, over the canonical columns of the row.
        within: columns; the statistic is taken among rows that are equal in them, or else among all.
        using: the model's inputs, canonical columns.
        sql: the rule.
    """

    by: Literal["mean", "median", "mode", "model", "rule"]
    within: list[str] = []
    using: list[str] = []
    sql: str | None = None


class ColumnMap(_Block, frozen=True, kw_only=True):
    """How one canonical column is made. A plain text in its place is `{from: that}`.

    Attributes:
        from_: `from`: the raw column.
        sql: an SQL expression over raw columns (quoted by `"…"` where they are no plain names), in place of `from`.
        value: a constant, in place of `from`.
        type: of a column of the company's own: string, integer, number, boolean, timestamp, date.
        format: strptime formats of times and dates, tried in order; ISO 8601 where left out.
        time_zone: of times that state none, by IANA name.
        day: of dates where a time is wanted: the day's first moment or its last.
        unit: what one unit of the raw number is in units of the canonical column: 0.01 for cents.
        decimal, thousands: of numbers in text, where they differ from the source's.
        values: raw text → value; `otherwise` says what becomes of others: kept, null, or the row rejected.
        class_: `class`: the column's privacy class.
        min, max, allowed: what else a value must keep; `severity` says what happens otherwise.
        impute: what fills a missing value.
        after_outcome: known only after the event that one would predict; it does not go into the mart.
    """

    from_: str | None = msgspec.field(default=None, name="from")
    sql: str | None = None
    value: Any = None
    type: Literal["string", "integer", "number", "boolean", "timestamp", "date"] | None = None
    format: str | list[str] | None = None
    time_zone: str | None = None
    day: Literal["start", "end"] = "start"
    unit: float | None = None
    decimal: Literal[".", ","] | None = None
    thousands: Literal[",", ".", " ", "'"] | None = None
    values: dict[str, Any] | None = None
    otherwise: Literal["keep", "null", "reject"] = "reject"
    class_: Privacy | None = msgspec.field(default=None, name="class")
    min: float | str | None = None
    max: float | str | None = None
    allowed: list[Any] | None = None
    severity: Severity = "fail"
    impute: Impute | None = None
    after_outcome: bool = False


class Join(_Block, frozen=True, kw_only=True):
    """A look-up: another source's row of equal key beside each row; its columns are known as `<source>.<column>`.

    A row without a partner gets nulls. A look-up's second row of one key is quarantined, unless it is equal.

    Attributes:
        source: the other source.
        on: columns of both; or own column → the other's.
    """

    source: str
    on: str | list[str] | dict[str, str]


class RowRule(_Block, frozen=True, kw_only=True):
    """What every row must keep besides the contract.

    Attributes:
        name: as it stands in quarantine.
        sql: true where a row keeps it; over the canonical columns. Null counts as kept.
        column: the column at fault, for quarantine; the first one of `sql` where left out.
        severity: `fail` rejects the row, `warn` counts it.
        remedy: what the data's owner can do.
    """

    name: str
    sql: str
    column: str | None = None
    severity: Severity = "fail"
    remedy: str = "Correct the value in the source."


class TableMap(_Block, frozen=True, kw_only=True):
    """How a source's rows become a canonical table's.

    Attributes:
        from_: `from`: the source.
        columns: canonical (or own) column → how it is made.
        join: look-ups.
        where: an SQL condition over raw columns; rows that do not meet it are set aside, as excluded.
        key: the columns that tell rows apart; the contract's where left out.
        duplicates: rows equal in everything: merged into one, or all kept.
        conflicts: rows of one key in one file that differ: the later ones are rejected, or the last one wins, as it
            does between files.
        rules: what rows must keep besides the contract.
    """

    from_: str = msgspec.field(name="from")
    columns: dict[str, str | ColumnMap]
    join: list[Join] = []
    where: str | None = None
    key: list[str] | None = None
    duplicates: Literal["merge", "keep"] = "merge"
    conflicts: Literal["reject", "last"] = "reject"
    rules: list[RowRule] = []


class Threshold(_Block, frozen=True, kw_only=True):
    """How large a share of a table's rows may be rejected, 0..1.

    Attributes:
        warn: above it the quality table says so.
        fail: above it the load is refused, and the last good state stays.
    """

    warn: float = 0.01
    fail: float = 0.5


class Total(_Block, frozen=True, kw_only=True):
    """A number for each key: a column's sum over a table's rows, or their count.

    Attributes:
        table, column: what is summed; without `column` the rows are counted. A table with one row a key gives its
            value.
        by: the key column.
        where: an SQL condition over canonical columns.
    """

    table: str
    by: str
    column: str | None = None
    where: str | None = None


class Check(_Block, frozen=True, kw_only=True):
    """Two sources must agree: `left` and `right` for every key that either has.

    Attributes:
        name: as it stands in the report.
        left, right: the numbers compared.
        tolerance: the largest difference, as a share of the larger of the two.
        severity: `fail` refuses the load, `warn` reports it.
    """

    name: str
    left: Total
    right: Total
    tolerance: float = 0.01
    severity: Severity = "warn"


class Matching(_Block, frozen=True, kw_only=True):
    """Which customers are one person: canonical names of what is compared → how the column is made.

    The columns are mapped like those of `customers` and compared in memory; none of them is written.

    Attributes:
        columns: of name, first_name, last_name, email, phone, address, postcode, city, birth_date.
        threshold: match probability from which two customers are merged, 0..1.
    """

    columns: dict[str, str | ColumnMap]
    threshold: float = 0.95


class Key(_Block, frozen=True, kw_only=True):
    """How identifiers leave raw.

    Attributes:
        pseudonym: `hmac-sha256` needs a key (MOTHERLODE_PSEUDONYM_KEY or its _FILE); `none` leaves customer ids as
            they are, for made-up data. Nothing else: a plain hash can be searched through.
        encrypt_raw: whether raw must be encrypted at rest; needs MOTHERLODE_RAW_KEY (or its _FILE).
    """

    pseudonym: Literal["hmac-sha256", "none"] = "hmac-sha256"
    encrypt_raw: bool = False


class Mapping(_Block, frozen=True, kw_only=True):
    """A company's tables, mapped.

    Attributes:
        version: of this structure; 1.
        company: its name.
        currency: of every amount, ISO 4217.
        time_zone: of times that state none, by IANA name.
        move_dates: made-up or old data: every date moves by one whole number of weeks, found at the first load and
            kept, so that the last event lies within the last seven days.
        sources: by name.
        tables: canonical table → how it is made, from one source or from several.
        matching: which customers are one person; left out: none are merged.
        quality: table → thresholds.
        checks: what must agree between sources.
        session_gap_minutes: a longer pause ends a visit.
        privacy: how identifiers leave raw.
    """

    version: Literal[1] = 1
    company: str
    currency: str | None = None
    time_zone: str = "UTC"
    move_dates: bool = False
    sources: dict[str, Source]
    tables: dict[str, TableMap | list[TableMap]]
    matching: Matching | None = None
    quality: dict[str, Threshold] = {}
    checks: list[Check] = []
    session_gap_minutes: float = 30
    privacy: Key = Key()
