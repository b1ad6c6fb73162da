"""The warehouse's state: one file, `warehouse.json`, that says which files make up each layer.

Layers hold immutable files. A load writes new ones beside the old, then replaces `warehouse.json` in one step: a
reader sees the state before or the state after, and a load that is killed leaves the state before. Files that no
state names any more are cleared by the load after, so that a reader who still holds the old state can finish.
"""

import hashlib
from collections.abc import Mapping
from datetime import datetime
from typing import Final, Literal

import msgspec

from feature_repo.warehouse import files
from motherlode.errors import DataError
from motherlode.settings import Settings

STATE: Final = "warehouse.json"
VERSION: Final = 2
"""Of the layout of a home folder. `motherlode upgrade` brings an older one here."""
LANDING: Final = "landing.json"
"""Below raw: what layout 1 recorded. Where it lies and no state does, the home is of that layout."""


class Landed(msgspec.Struct, frozen=True, kw_only=True):
    """One file in raw.

    Attributes:
        source: the mapping's name for where it came from.
        name: the file, as the mapping's folder sees it; for a query, the source's name.
        file_id: 16 hex digits of the content's SHA-256.
        path: below home; "" where the file was refused.
        sha256: of the file's content as it came; of a table's or a query's answer, of its rows.
        sha256_raw: of the file in raw.
        size: bytes, as it came.
        rows: rows in raw, malformed ones included.
        malformed: lines that are no row; quarantine names each.
        columns: column → type, as landed.
        landed_at: UTC.
        order: 1, 2, ... over all landings of this home: the later one wins.
        how: what was found out about it: encoding, delimiter, decimal sign, sheet, table version.
        status: `active`; `superseded` by a later file of the same name; `refused` as a whole, for `problem`.
        problem, remedy: why it was refused.
        also: names that the same content came by after its own was gone: a correction under one of them takes its
            place.
        erased: rows of the file as it came that raw does not hold, since their customer was erased; not in `rows`.
    """

    source: str
    name: str
    file_id: str
    path: str
    sha256: str
    sha256_raw: str = ""
    size: int
    rows: int = 0
    malformed: int = 0
    columns: Mapping[str, str] = {}
    landed_at: datetime
    order: int
    how: Mapping[str, str] = {}
    status: Literal["active", "superseded", "refused"] = "active"
    problem: str = ""
    remedy: str = ""
    also: tuple[str, ...] = ()
    erased: int = 0


class Part(msgspec.Struct, frozen=True, kw_only=True):
    """One Parquet file of a layer.

    Attributes:
        path: below home.
        rows: its rows.
        sha256: of the file.
    """

    path: str
    rows: int
    sha256: str


class Cleaned(msgspec.Struct, frozen=True, kw_only=True):
    """What became of one landed file in one canonical table.

    Attributes:
        table: the canonical table.
        entry: the number, from 0, of the table's block in the mapping.
        source, file_id, name, order: of the landed file.
        inputs: digest of all that it was made from: the file, the table's mapping, look-ups, contract, key.
        rows_in: rows of the landed file.
        clean: the rows that kept every rule; None where there are none.
        quarantine: the rejected rows and the malformed lines; None where there are none.
        excluded: rows that the mapping's `where` sets aside: rows of `quarantine` too, by the rule `excluded`.
        rejected: rows of `quarantine` but for the excluded.
        warnings: rule → rows that broke it and were kept.
        months: month, as "2024-03" → clean rows; "" for rows of a table without months.
    """

    table: str
    entry: int
    source: str
    file_id: str
    name: str
    order: int
    inputs: str
    rows_in: int
    clean: Part | None
    quarantine: Part | None
    excluded: int
    rejected: int
    warnings: Mapping[str, int] = {}
    months: Mapping[str, int] = {}


class Integrated(msgspec.Struct, frozen=True, kw_only=True):
    """One canonical table of the integrated layer.

    Attributes:
        table: its name.
        parts: month → its file; "" for a table in one file. None stands for no rows.
        inputs: month → digest of all that the part was made from.
        rows: of all parts.
        clean: rows that entered, of every clean file.
        merged: rows of the ledger `merged`, that live on in another row.
        rejected: rows of `quarantine`: they broke a rule between tables.
        derived: rows that no raw row stands behind.
        ledger: the file of `contract.MERGED`.
        quarantine: the file of `contract.QUARANTINE`.
        imputed: column → values filled in.
        warnings: rule → rows that broke it and were kept.
    """

    table: str
    parts: Mapping[str, Part]
    inputs: Mapping[str, str]
    rows: int
    clean: int = 0
    merged: int = 0
    rejected: int = 0
    derived: int = 0
    ledger: Part | None = None
    quarantine: Part | None = None
    imputed: Mapping[str, int] = {}
    warnings: Mapping[str, int] = {}

    @property
    def balanced(self) -> bool:
        """Whether every clean row is found again."""
        return self.clean + self.derived == self.rows + self.merged + self.rejected


class Load(msgspec.Struct, frozen=True, kw_only=True):
    """One load that changed the state.

    Attributes:
        number: 1, 2, ...
        at: UTC.
        seconds: wall time.
        mapping: digest of the mapping; its text lies under `lineage/<digest>.yaml`.
        landed: orders of the files that it landed.
        rows: table → integrated rows after it.
        erased: rows that an erasure took out of raw; 0 for a load of files.
    """

    number: int
    at: datetime
    seconds: float
    mapping: str
    landed: tuple[int, ...]
    rows: Mapping[str, int]
    erased: int = 0


class State(msgspec.Struct, frozen=True, kw_only=True):
    """All of the warehouse.

    Attributes:
        version: of this layout.
        company: the mapping's.
        mapping: digest of the mapping that made it.
        key_ids: of the pseudonym keys in use, the current one first; more than one until a re-key job ends; ""
            where customer ids are as they came.
        shift_weeks: weeks by which every date moves; None until the first load.
        raw: every landed file, by `order`.
        identities: table of outside id and join key, encrypted where raw is: it belongs to raw.
        clean: by table, entry, file.
        integrated: by table.
        lookups: by source, of sources that are looked up in and no table's: `rows` are those that a row refers to.
        matches: customers found to be one person: customer_id, into_customer_id, probability, evidence; by join key.
        kept_apart: pairs of join keys that a person has told to be two: their merge is undone and not made again.
        loads: the newest last.
    """

    version: int = VERSION
    company: str = ""
    mapping: str = ""
    key_ids: tuple[str, ...] = ()
    shift_weeks: int | None = None
    raw: tuple[Landed, ...] = ()
    identities: tuple[Part, ...] = ()
    clean: tuple[Cleaned, ...] = ()
    integrated: Mapping[str, Integrated] = {}
    lookups: Mapping[str, Integrated] = {}
    matches: Part | None = None
    kept_apart: tuple[tuple[str, str], ...] = ()
    loads: tuple[Load, ...] = ()


def read(settings: Settings) -> State:
    """The state; an empty one where nothing was loaded.

    Raises:
        DataError: it cannot be read, or another version of Motherlode wrote it.
    """
    path = settings.home / STATE
    try:
        content = path.read_bytes()
    except FileNotFoundError:
        if (settings.raw / LANDING).is_file():
            raise DataError(
                f"{settings.home} is of layout 1; this Motherlode reads {VERSION}.", "Run `motherlode upgrade`."
            ) from None
        return State()
    try:
        version = msgspec.json.decode(content, type=_Versioned).version
        if version != VERSION:
            direction = "Run `motherlode upgrade`." if version < VERSION else "Install the newer Motherlode."
            raise DataError(f"{path} is of layout {version}; this Motherlode reads {VERSION}.", direction)
        return msgspec.json.decode(content, type=State)
    except msgspec.DecodeError as error:
        raise DataError(f"{path} cannot be read: {error}.", "Restore it from a backup, or rebuild from raw.") from error


def write(settings: Settings, state: State) -> None:
    """Make it the state, in one step, once every file that it names is on the disk."""
    named = {settings.home / path for path in paths(state)}
    files.sync(named)
    files.sync({folder for path in named for folder in path.parents if folder.is_relative_to(settings.home)})
    files.write(settings.home / STATE, msgspec.json.format(msgspec.json.encode(state), indent=1))


def paths(state: State) -> set[str]:
    """Every file that a state names, below home."""
    found: list[Part | None] = [*state.identities, state.matches]
    for cleaned in state.clean:
        found += [cleaned.clean, cleaned.quarantine]
    for table in (*state.integrated.values(), *state.lookups.values()):
        found += [*table.parts.values(), table.ledger, table.quarantine]
    landed = (each.path for each in state.raw if each.path)
    return {*(part.path for part in found if part is not None), *landed}


def digest(*parts: str | bytes) -> str:
    """SHA-256 of parts in their order, as hex."""
    total = hashlib.sha256()
    for part in parts:
        content = part.encode() if isinstance(part, str) else part
        total.update(len(content).to_bytes(8, "little") + content)
    return total.hexdigest()


class _Versioned(msgspec.Struct, frozen=True):
    version: int
