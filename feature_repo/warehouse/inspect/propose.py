"""From profiles of a company's files to a proposal: which file is which table, and how each column is made."""

from collections.abc import Iterator, Mapping, Sequence, Set
from dataclasses import replace
from typing import Final

import polars as pl

from feature_repo.warehouse.contract import TABLES
from feature_repo.warehouse.inspect import campaign, columns, own, relations
from feature_repo.warehouse.inspect.block import Block, Proposal
from feature_repo.warehouse.inspect.columns import Made
from feature_repo.warehouse.inspect.fit import PERSONAL, Filled, Fit, assign, best, nearest
from feature_repo.warehouse.inspect.profile import ColumnProfile, FileProfile
from motherlode import names

_NONE: Final = Fit("", 0.0, {}, ())
_CANCELLED: Final = ("cancel", "storn", "annul", "取消", "void")
_KEYS: Final[Mapping[str, str]] = {names.ITEMS: names.ITEM_ID, names.CUSTOMERS: names.CUSTOMER_ID}
_MOSTLY_FILLED: Final = 0.02
_MANY: Final = 200
_TOGETHER: Final = 0.97
"""Share of rows that a key must tell apart."""


def propose(files: Sequence[FileProfile]) -> Proposal:
    """The best proposal for files of one company."""
    by_name = {file.source: file for file in files}
    links = relations.find(files)
    fits = {file.source: best(file, by_name, links) for file in files}
    chosen = _choose(by_name, fits)
    last = _last_campaign(by_name, chosen)
    blocks = [block for source, fit in chosen.items() for block in _blocks(by_name[source], fit, by_name, last)]
    blocks += [
        beside
        for block in blocks
        if block.table == names.TRANSACTIONS and not chosen[block.source].links
        for table in (names.ITEMS, names.CUSTOMERS)
        if not any(it.table == table for it in blocks)
        for beside in _beside(by_name[block.source], chosen[block.source], table)
    ]
    order = list(TABLES)
    blocks.sort(key=lambda block: (order.index(block.table), -block.sure))
    people = next((block.source for block in blocks if block.table == names.CUSTOMERS), "")
    matching = _matching(by_name[people]) if chosen.get(people, _NONE).table == names.CUSTOMERS else {}
    kept = _agreeing(_one_a_key(blocks))
    used = {block.source for block in kept} | {link.other for block in kept for link in block.joins}
    files = _one_reading(files, used)
    return Proposal(
        tuple(files),
        tuple(kept),
        links,
        matching if len(matching) > 1 else {},
        people,
        _currency(files),
        any(column.times is not None and not column.times.zoned for file in files for column in file.columns.values()),
        {file.source: _why_left(file) + _near(file, kept) for file in files if file.source not in used},
    )


def _choose(files: Mapping[str, FileProfile], fits: Mapping[str, Sequence[Fit]]) -> dict[str, Fit]:
    """The table of each file; a file that only heads another's rows gets none."""
    first = {source: of[0] for source, of in fits.items() if of}
    heads = {
        link.other
        for source, fit in first.items()
        for link in fit.links
        if link.other in first and first[link.other].table == fit.table
    }
    chosen = {source: fit for source, fit in first.items() if source not in heads}
    if any(fit.table == names.TRANSACTIONS and names.ITEM_ID in fit.filled for fit in chosen.values()):
        # What was sold is known line by line: a file of payments would count it twice.
        chosen = {
            source: fit
            for source, fit in chosen.items()
            if fit.table != names.TRANSACTIONS or names.ITEM_ID in fit.filled or "return" in files[source].concepts
        }
    for source, file in files.items():
        if source not in first and any(
            own.afterwards(column) and column.kind == "truth" for column in file.columns.values()
        ):
            # Nobody's id and no table's columns, but an outcome: an experiment's or a campaign's rows, a person each.
            chosen[source] = Fit(names.CUSTOMERS, 0.4, assign(names.CUSTOMERS, file.columns), ())
    return chosen


def _blocks(file: FileProfile, fit: Fit, files: Mapping[str, FileProfile], last: str | None) -> list[Block]:
    if not campaign.is_one(file, fit, last):
        return [_block(file, fit, files)]
    told = campaign.profiles(file, fit)
    people = [_block(file, told, files, calls=True)] if told is not None else []
    return [*people, *campaign.blocks(file, fit, last)]


def _block(file: FileProfile, fit: Fit, files: Mapping[str, FileProfile], calls: bool = False) -> Block:
    """One table from one file."""
    amount = fit.filled.get(names.AMOUNT)
    refund = amount is not None and "return" in amount.column.meaning.concepts
    returns = fit.table == names.TRANSACTIONS and ("return" in file.concepts or refund)
    made = list(columns.canonical(file, fit.table, fit.filled, returns))
    notes: list[str] = []
    if returns:
        notes.append("its name says returns, and its numbers count from 0: negative lines")
    used = {it.column.name for it in fit.filled.values() if "." not in it.reference or it.reference in file.columns}
    used |= {it.clock[0].name for it in fit.filled.values() if it.clock is not None and it.clock[1] in file.columns}
    rest = [column for name, column in file.columns.items() if name not in used]
    unused: dict[str, str] = {}
    if TABLES[fit.table].open:
        for column in rest:
            extra = columns.extra(column, fit.table, file, taken={it.name for it in made})
            if isinstance(extra, str):
                unused[column.name] = extra
            elif calls and campaign.of_call(column):
                unused[column.name] = "of the call: see contacts"
            else:
                made.append(extra)
    else:
        unused = {column.name: _why_unused(column, fit.filled) for column in rest}
    conditions = dict([*_cancelled(file, fit, files), *_nobodys(file, fit), *_no_item(file, fit)])
    notes += conditions.values()
    last = calls and campaign.again(fit)
    if last:
        notes.append(
            "? a customer comes more than once, and the last row in the file tells: is it in the order of time?"
        )
    return Block(
        fit.table,
        file.source,
        fit.sure,
        tuple(made),
        fit.links,
        " and ".join(conditions) or None,
        _key(file, fit),
        last,
        tuple(unused.items()),
        tuple(notes),
    )


def _beside(file: FileProfile, fit: Fit, table: str) -> list[Block]:
    """Items or customers that stand beside every line: columns that the key of them decides."""
    key = fit.filled.get(_KEYS[table])
    if key is None or key.reference not in file.columns or key.column.different * 2 > file.rows:
        return []
    taken = {it.reference for it in fit.filled.values()}
    with_key = file.frame.filter(pl.col(key.reference).is_not_null())
    decided = {
        name: column
        for name, column in file.columns.items()
        if name not in taken and column.kind != "empty" and _decides(with_key, key.reference, name)
    }
    filled = {name: it for name, it in assign(table, decided).items() if name not in (names.ITEM_ID, names.CUSTOMER_ID)}
    told = list(columns.canonical(file, table, {_KEYS[table]: key, **filled}, False))
    if table == names.CUSTOMERS:
        others = [it for it in decided.values() if it.meaning.concepts & (PERSONAL | {"segment"})]
        extras = [columns.extra(it, table, file, {made.name for made in told}) for it in others]
        told += [made for made in extras if isinstance(made, Made)]
    return (
        [Block(table, file.source, 0.6, tuple(told), notes=("beside every line; equal rows merge",))]
        if told[1:]
        else []
    )


def _decides(frame: pl.DataFrame, key: str, column: str) -> bool:
    """Whether a key has one value of a column."""
    return frame.select(key, column).n_unique() == frame[key].n_unique()


def _last_campaign(files: Mapping[str, FileProfile], chosen: Mapping[str, Fit]) -> str | None:
    """The id in the last row of the file of campaigns; None where there is none."""
    for source, fit in chosen.items():
        if fit.table == names.CAMPAIGNS and files[source].rows:
            return str(files[source].frame[fit.filled[names.CAMPAIGN_ID].reference][-1])
    return None


def _cancelled(file: FileProfile, fit: Fit, files: Mapping[str, FileProfile]) -> Iterator[tuple[str, str]]:
    """A condition that sets cancelled orders aside, where a status tells them; and why."""
    if fit.table != names.TRANSACTIONS or "return" in file.concepts:
        return
    near = dict(file.columns)
    for link in fit.links:
        near |= {f"{link.other}.{name}": column for name, column in files[link.other].columns.items()}
    for reference, column in near.items():
        gone = sorted(text for text in column.remembered if any(word in text.lower() for word in _CANCELLED))
        if "status" in column.meaning.concepts and gone:
            listed = ", ".join("'" + text.replace("'", "''") + "'" for text in gone)
            yield f"coalesce({columns.sql_name(reference)}, '-') not in ({listed})", f"{reference} has {listed}"
            return


def _no_item(file: FileProfile, fit: Fit) -> Iterator[tuple[str, str]]:
    """A condition that sets rows without an item aside, where they are many: fees, salaries; and why."""
    item = fit.filled.get(names.ITEM_ID)
    if fit.table == names.TRANSACTIONS and item is not None and item.reference in file.columns:
        empty = 1 - item.column.filled / item.column.rows
        if empty > _MOSTLY_FILLED:
            why = f"? {empty:.0%} of the rows have no {item.reference}: are they no purchases?"
            yield f"{columns.sql_name(item.reference)} is not null", why


def _nobodys(file: FileProfile, fit: Fit) -> Iterator[tuple[str, str]]:
    """A condition that sets rows without a customer aside, where they are many: a till's; and why."""
    who = fit.filled.get(names.CUSTOMER_ID)
    if fit.table == names.TRANSACTIONS and who is not None and who.reference in file.columns:
        empty = 1 - who.column.filled / max(1, who.column.rows)
        if empty > _MOSTLY_FILLED:
            why = f"? {empty:.0%} of the rows have no {who.reference}: bought by nobody who is known, and set aside"
            yield f"{columns.sql_name(who.reference)} is not null", why


def _key(file: FileProfile, fit: Fit) -> tuple[str, ...]:
    """Columns that tell rows apart, if they do so here."""
    wanted = {
        names.TRANSACTIONS: ((names.BASKET_ID, names.LINE_ID), (names.LINE_ID,), (names.BASKET_ID,)),
        names.FEEDBACK: ((names.FEEDBACK_ID,),),
    }.get(fit.table, ())
    for key in wanted:
        raw = [fit.filled[name].reference for name in key if name in fit.filled]
        if len(raw) < len(key) or not set(raw) <= set(file.columns):
            continue
        if key == (names.BASKET_ID,) and file.rows < _MANY:
            continue  # in a short file every order may happen to have one line
        if file.frame.select(raw).n_unique() >= max(1, _TOGETHER * file.rows):
            return key
    return ()


def _one_reading(files: Sequence[FileProfile], used: Set[str]) -> list[FileProfile]:
    """Of a file that can be read in two ways, those that a table is made from, or else the plain one."""
    replaced = {file.of for file in files if file.source in used}
    return [file for file in files if file.source in used or not (file.of or file.source in replaced)]


def _why_left(file: FileProfile) -> str:
    table, missing = nearest(file)
    if missing:
        return f"nearest to {table}, and lacks {', '.join(missing)}"
    return f"nearest to {table}; another file fills it, or its rows are not told apart"


def _near(file: FileProfile, blocks: Sequence[Block]) -> str:
    """A look-up that a person could make: the file has another's receipts and lines, by their names."""
    for block in blocks:
        specs = {made.name: made.spec for made in block.columns if block.table == names.TRANSACTIONS}
        on = [specs.get(names.BASKET_ID), specs.get(names.LINE_ID)]
        if all(isinstance(name, str) and name in file.columns for name in on):
            return f"; `join: [{{source: {block.source}, on: [{', '.join(map(str, on))}]}}]` may give it the rest"
    return ""


def _why_unused(column: ColumnProfile, filled: Mapping[str, Filled]) -> str:
    if column.kind in ("empty", "list"):
        return "empty" if column.kind == "empty" else "a list"
    doubles = [name for name, it in filled.items() if column.name in it.others]
    return f"see {', '.join(doubles)}" if doubles else ""


def _one_a_key(blocks: Sequence[Block]) -> list[Block]:
    """Two files for one keyed table: the surer one; the second's rows would replace the first's by key.

    A file that has nothing but the key, such as accounts and their clients, yields to one that tells more.
    """
    kept: list[Block] = []
    order = list(TABLES)
    for block in sorted(blocks, key=lambda it: (order.index(it.table), len(it.columns) == 1)):
        twins = [it for it in kept if it.table == block.table]
        if twins and block.table in (names.ITEMS, names.CUSTOMERS, names.CAMPAIGNS):
            continue
        kept.append(block)
    return kept


def _agreeing(blocks: Sequence[Block]) -> list[Block]:
    """Blocks of one table make one table: one key, and own columns of one name of one kind."""
    made: list[Block] = []
    for block in blocks:
        twins = [it for it in made if it.table == block.table]
        others = {
            it.name: it.spec for twin in twins for it in twin.columns if it.name not in TABLES[block.table].columns
        }
        renamed = tuple(
            replace(it, name=f"{it.name}_{block.source}") if it.name in others and others[it.name] != it.spec else it
            for it in block.columns
        )
        made.append(replace(block, columns=renamed))
    keys = {table: {it.key for it in made if it.table == table} for table in {it.table for it in made}}
    return [it if len(keys[it.table]) == 1 else replace(it, key=()) for it in made]


def _matching(file: FileProfile) -> dict[str, object]:
    """What customers are compared by, where the file has people's names or addresses."""
    made: dict[str, object] = {}
    for column in file.columns.values():
        name = own.matched(column) if column.kind != "empty" else None
        if name is not None and name not in made:
            written = own.formats(column) if name == "birth_date" else {}
            made[name] = {"from": column.name, **written} if written else column.name
    if "last_name" in made and "name" in made:
        made = {"first_name" if name == "name" else name: spec for name, spec in made.items()}
    telling = {"email", "phone", "name", "last_name", "address"}
    return made if telling & made.keys() else {}


def _currency(files: Sequence[FileProfile]) -> str | None:
    for file in files:
        for column in file.columns.values():
            if column.meaning.concepts == {"currency"} and column.different == 1:
                return column.typical[0]
    return None
