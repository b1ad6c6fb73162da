"""The chain of entries: a line is what its entry says, and a file of any length is read an entry at a time."""

import tracemalloc
from pathlib import Path

import msgspec
import pytest

from motherlode import chain
from motherlode.chain import FIRST, Chain, Detail, Draft, Entry
from motherlode.errors import DataError
from motherlode.identity import Identity

ODD = '"hash":"", "previous":"x", \\ \n ü'


def of(folder: Path) -> Chain:
    return Chain(folder / "a.jsonl", folder / "a.head", Identity())


@pytest.mark.parametrize("details", [{}, {"hash": "", "a": 1}, {"hash": ODD, "zzz": ODD}, {ODD: ODD}])
def test_a_line_is_its_entrys_canonical_form_whatever_stands_in_it(tmp_path: Path, details: dict[str, Detail]) -> None:
    line, digest = chain.chained(Draft("t", ODD, ODD, ODD, details), 7, FIRST)
    entry = msgspec.json.decode(line, type=Entry)
    assert line == msgspec.json.encode(entry, order="sorted") + b"\n"
    assert entry == Entry(7, "t", ODD, ODD, ODD, details, FIRST, digest)
    assert entry.digest() == digest
    log = of(tmp_path)
    chain.append(log, [Draft("t", ODD, ODD, ODD, details)] * 3)
    assert [each.subject for each in chain.read(log)] == [ODD] * 3


def test_a_long_file_is_read_an_entry_at_a_time_and_its_end_alone_is_checked(tmp_path: Path) -> None:
    log = of(tmp_path)
    drafts = [Draft("t", "a", "b", str(number), {"who": "x" * 1_000}) for number in range(4_000)]
    assert chain.check(log) == 0
    chain.append(log, drafts)
    chain.append(log, [Draft("t", "a", "b", "the last", {"who": "x" * 100_000})])
    length = log.path.stat().st_size
    tracemalloc.start()
    assert sum(1 for _ in chain.entries(log)) == 4_001
    assert chain.check(log) == 4_001
    _, most = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert most < length / 4
    middle = log.path.read_bytes().replace(b'"subject":"2000"', b'"subject":"2x00"')
    log.path.write_bytes(middle)
    assert chain.check(log) == 4_001, "only the end is looked at"
    found = chain.entries(log)
    assert [next(found).seq for _ in range(2_000)][-1] == 2_000
    with pytest.raises(DataError, match=r"Entry 2001 .* was changed"):
        next(found)
