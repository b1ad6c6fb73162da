"""Rows found by quotes agree with a reader that goes byte by byte."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from feature_repo.warehouse.sources import records


def _starts(block: bytes, *, final: bool = True) -> list[tuple[int, int]]:
    rows = records.split(block, b",", b'"', final=final)
    return list(zip(rows.bounds[:-1].tolist(), rows.lines.tolist(), strict=True))


def _reference(block: bytes) -> list[tuple[int, int]]:
    """Byte by byte: a row begins after each line end outside of quotes; quotes that do not close count for nothing."""
    starts, at, line = [], 0, 0
    while at < len(block):
        starts.append((at, line))
        end = _row(block, at)
        end = end if end is not None else _line(block, at)
        line += _lines(block[at:end])
        at = end
    return starts


def _row(block: bytes, at: int) -> int | None:
    field = True
    while at < len(block):
        if field and block[at : at + 1] == b'"':
            at += 1
            while block[at : at + 1] != b'"' or block[at + 1 : at + 2] == b'"':
                at += 2 if block[at : at + 1] == b'"' else 1
                if at >= len(block):
                    return None
            at += 1
            while block[at : at + 1] == b" ":
                at += 1
            if block[at : at + 1] not in (b",", b"\n", b"\r", b""):
                return None
            field = False
            continue
        field = block[at : at + 1] == b","
        if block[at : at + 1] in (b"\n", b"\r"):
            return at + 1 + (block[at : at + 2] == b"\r\n")
        at += 1
    return len(block)


def _line(block: bytes, at: int) -> int:
    while at < len(block) and block[at : at + 1] not in (b"\n", b"\r"):
        at += 1
    return min(len(block), at + 1 + (block[at : at + 2] == b"\r\n"))


def _lines(row: bytes) -> int:
    return row.replace(b"\r\n", b"\n").replace(b"\r", b"\n").count(b"\n")


@settings(max_examples=500, deadline=None)
@given(st.text(st.sampled_from('a, "\n\r'), max_size=30).map(str.encode))
def test_rows_begin_where_a_reader_byte_by_byte_begins_them(block: bytes) -> None:
    assert _starts(block) == _reference(block)


@settings(max_examples=200, deadline=None)
@given(
    st.text(st.sampled_from('a,"\n\r'), max_size=30).map(str.encode), st.text(st.sampled_from('a,"\n\r'), max_size=9)
)
def test_a_block_that_is_not_the_last_holds_rows_that_no_following_text_changes(block: bytes, following: str) -> None:
    known = _starts(block, final=False)
    assert _starts(block + following.encode())[: len(known)] == known


def test_a_quote_that_stays_open_too_long_is_not_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(records, "LONGEST_ROW", 20)
    block = b'1,"open\n' + b"2,3\n" * 10
    rows = records.split(block, b",", b'"', final=False)
    assert rows.unclosed == {0}
    assert len(rows) == 11
    assert records.split(block[:16], b",", b'"', final=False).used == 0
