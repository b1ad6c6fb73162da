"""A proposal as text: a mapping with the evidence as comments, `# ?` where a person must decide."""

import json
import re
from collections.abc import Mapping, Sequence
from typing import Final

from feature_repo.warehouse.inspect import columns, own
from feature_repo.warehouse.inspect.block import Block, Proposal
from feature_repo.warehouse.inspect.fit import DOUBTFUL
from feature_repo.warehouse.inspect.profile import ColumnProfile, FileProfile
from feature_repo.warehouse.inspect.read import Refused
from feature_repo.warehouse.inspect.relations import Link
from motherlode import names

ASK: Final = "# ?"
_WIDE: Final = 118
_OBJECTS: Final = ("[{", "[ {")
_BARE: Final = re.compile(r"[^\W\d][\w./*]*(?:[ -][\w./*]+)*")
_TAKEN: Final = frozenset(("y", "n", "yes", "no", "on", "off", "true", "false", "null", "nan", "inf"))


def mapping(proposal: Proposal, company: str, refused: Sequence[Refused] = ()) -> str:
    """The text of `motherlode.yaml`.

    Args:
        proposal: what was found.
        company: its name.
        refused: files that cannot be read.
    """
    lines = [
        "# Proposed by `motherlode inspect` from names, types and values. Read every line; where it says `# ?`",
        "# a person must decide. What each key means: docs/data.md.",
        "version: 1",
        f"company: {scalar(company)}",
        _currency(proposal),
        _zone(proposal),
        "",
        "sources:",
        *(line for file in proposal.sources for line in _source(file, proposal)),
        *(f"  {ASK} {it.file} cannot be read: {_comment(it.problem)} {_comment(it.remedy)}" for it in refused),
        "",
        *(["tables:", *_tables(proposal)] if proposal.blocks else [f"tables: {{}}  {ASK} none was recognised"]),
        *_matching(proposal),
        *_privacy(proposal),
    ]
    return "\n".join(lines) + "\n"


def scalar(value: object) -> str:
    """A YAML scalar, list or mapping in one line."""
    if isinstance(value, Mapping):
        return "{" + ", ".join(f"{_key(name)}: {scalar(it)}" for name, it in value.items()) + "}"
    if isinstance(value, list | tuple):
        return "[" + ", ".join(scalar(it) for it in value) + "]"
    if value is None or isinstance(value, bool | int | float):
        return json.dumps(value)
    text = str(value)
    if _BARE.fullmatch(text) and text.lower() not in _TAKEN:
        return text
    return json.dumps(text, ensure_ascii=False)


def _key(name: object) -> str:
    return scalar(str(name))


def _currency(proposal: Proposal) -> str:
    if proposal.currency is not None:
        return f"currency: {scalar(proposal.currency)}"
    return f"# currency: EUR  {ASK} of every amount, ISO 4217"


def _zone(proposal: Proposal) -> str:
    why = f"  {ASK} of times that state none: an IANA name, such as Europe/Berlin" if proposal.clocks else ""
    return f"time_zone: UTC{why}"


def _source(file: FileProfile, proposal: Proposal) -> list[str]:
    files: object = file.files[0] if len(file.files) == 1 else list(file.files)
    read = f"{file.rows:,} rows" if file.complete else f"its first {file.rows:,} rows read"
    how = ", ".join(f"{name} {value}" for name, value in file.how.items())
    lines = [f"  {_key(file.source)}:  # {read}" + (f"; {how}" if how else "")]
    if file.files:
        lines.append(f"    files: {scalar(files)}")
    lines += [f"    {name}: {scalar(value)}" for name, value in file.options.items()]
    lines += [f"    {name}: {scalar(sign)}" for name, sign in columns.signs(file).items()]
    if columns.nulls(file):
        lines.append(f"    null_values: {scalar(columns.nulls(file))}")
    lines += [f"    {ASK} {note}" for note in file.notes]
    lines += [
        f"    {ASK} {_comment(column.name)} is a list: {_exploded(column.name, file)}"
        for column in file.columns.values()
        if column.kind == "list" and any(text.startswith(_OBJECTS) for text in column.typical)
    ]
    if file.source in proposal.left:
        lines.append(f"    {ASK} no table is made from it ({proposal.left[file.source]}); its columns:")
        lines += [f"    #   {_comment(column.name)}: {_look(column)}" for column in file.columns.values()]
    return lines


def _exploded(name: str, file: FileProfile) -> str:
    if any(path.partition("?")[0].lower().endswith((".json", ".jsonl", ".ndjson")) for path in file.files):
        return f"`explode: {scalar(name)}` makes a row of each element"
    return "export its elements as rows of their own, or the file as JSON lines"


def _look(column: ColumnProfile) -> str:
    """What a column that nobody knows looks like; no values where it may tell of persons."""
    secret = own.privacy(column, names.CUSTOMERS) != "none"
    return f"{column.kind}, {_comment(columns.evidence(column, secret))}"


def _tables(proposal: Proposal) -> list[str]:
    lines: list[str] = []
    for table in dict.fromkeys(block.table for block in proposal.blocks):
        blocks = [block for block in proposal.blocks if block.table == table]
        lines.append(f"  {table}:")
        if len(blocks) == 1:
            lines += [f"    {line}".rstrip() for line in _block(blocks[0], proposal)]
            continue
        for block in blocks:
            first, *rest = _block(block, proposal)
            lines.append(f"    - {first}")
            lines += [f"      {line}".rstrip() for line in rest]
    return lines


def _block(block: Block, proposal: Proposal) -> list[str]:
    ask = f"  {ASK}" if block.sure < DOUBTFUL else "  #"
    lines = [f"from: {_key(block.source)}{ask} sure {block.sure:.2f}"]
    lines += [f"# {note}" for note in block.notes]
    if block.joins:
        lines.append("join:")
        for link in block.joins:
            on = scalar(link.column if link.column == link.key else {link.column: link.key})
            lines.append(
                f"  - {{source: {_key(link.other)}, on: {on}}}  # {link.share:.0%} of its values are found there"
            )
    if block.where is not None:
        lines.append(f"where: {block.where}")
    if block.key:
        lines.append(f"key: {scalar(block.key)}")
    if block.last:
        lines.append("conflicts: last")
    lines.append("columns:")
    for made in block.columns:
        comment = f"{ASK if made.ask else '#'} {_comment(made.note)}{_also(made, block, proposal.links)}"
        line = f"  {_key(made.name)}: {scalar(made.spec)}"
        if len(line) + len(comment) + 8 <= _WIDE:
            lines.append(f"{line}  {comment}")
        else:
            lines += [f"  {comment}", line]
    for name, why in block.unused:
        lines.append(f"  # not used: {_comment(name)}" + (f" ({why})" if why else ""))
    return lines


def _also(made: columns.Made, block: Block, links: Sequence[Link]) -> str:
    """Where else a key's values are found."""
    raw = made.spec if isinstance(made.spec, str) else made.spec.get("from")
    joined = {link.other for link in block.joins}
    found = [link for link in links if link.source == block.source and link.column == raw and link.other not in joined]
    return "".join(f"; {link.share:.0%} are in {link.other}.{_comment(link.key)}" for link in found[:2])


def _comment(text: str) -> str:
    """One line."""
    return " ".join(text.split())


def _matching(proposal: Proposal) -> list[str]:
    if not proposal.matching:
        return []
    return [
        "",
        f"# Which customers are one person: compared in memory, written nowhere. From {_comment(proposal.matched)}.",
        "matching:",
        "  columns:",
        *(f"    {name}: {scalar(spec)}" for name, spec in proposal.matching.items()),
    ]


def _privacy(proposal: Proposal) -> list[str]:
    return [
        "",
        "privacy:",
        "  pseudonym: hmac-sha256  # needs a key: `motherlode keys new`; `none` for made-up people alone",
    ]
