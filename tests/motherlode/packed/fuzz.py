"""Bytes that nobody packed, through `decode`: no exception, no neighbour touched, nothing misread.

python -m tests.motherlode.packed.fuzz SECONDS [SEED]
"""

import random
import sys
import time
from typing import Any
from zlib import crc32

from motherlode.packed import FEW, FIXED, VARIABLE, Column, Schema, Status, decode
from tests.motherlode.packed.tables import EDGES, NOW, SIZES, alike, pack, same

_ALPHABET = "aé€😀\0|"
_NUMBERS = {"bool": 1, "int32": 31, "int64": 31, "timestamp": 60}
_MANY = 140
"""Columns of a wide table, so that the bits take more than one word."""


def _element(draw: random.Random, dtype: str) -> Any:
    if dtype in ("float32", "float64"):
        return draw.choice([0.0, -0.0, 1.5, float("nan"), float("inf"), -1e30])
    if dtype == "int64" and draw.random() < 0.1:
        return draw.choice(EDGES)
    if dtype in _NUMBERS:
        return draw.getrandbits(_NUMBERS[dtype])
    text = "x" * draw.choice(SIZES) if draw.random() < 0.02 else "".join(draw.choices(_ALPHABET, k=draw.randrange(5)))
    return text if dtype == "string" else text.encode()


def _value(draw: random.Random, dtype: str) -> Any:
    if draw.random() < 0.2:
        return None
    if dtype.startswith("list<"):
        return [_element(draw, dtype[5:-1]) for _ in range(draw.randrange(4))]
    return _element(draw, dtype)


def _table(draw: random.Random) -> tuple[Schema, list[dict[str, Any]]]:
    most = _MANY if draw.random() < 0.05 else 14
    dtypes = draw.choices([*FIXED, *VARIABLE], k=draw.randrange(1, most))
    schema = Schema("v", tuple(Column(f"f{i}", dtype) for i, dtype in enumerate(dtypes)))
    rows = [{c.name: _value(draw, c.dtype) for c in schema.columns} for _ in range(draw.randrange(1, 5))]
    if draw.random() < 0.1:
        rows.append(dict.fromkeys(rows[0]))
    return schema, rows


def mutated(draw: random.Random, row: bytes) -> bytes:
    """A row with some bytes other, fewer or more, or none of it."""
    bad, kind = bytearray(row), draw.randrange(6)
    if kind == 0:
        for _ in range(draw.randrange(1, 4)):
            bad[draw.randrange(len(bad))] ^= draw.randrange(1, 256)
    elif kind == 1:
        del bad[draw.randrange(len(bad)) :]
    elif kind == 2:
        bad += draw.randbytes(draw.randrange(1, 9))
    elif kind == 3:
        at = draw.randrange(len(bad))
        del bad[at : at + draw.randrange(1, 9)]
    elif kind == 4:
        at = draw.randrange(len(bad))
        bad[at:at] = draw.randbytes(draw.randrange(1, 9))
    else:
        bad = bytearray(draw.randbytes(draw.randrange(200)))
    return bytes(bad)


def once(seed: int) -> None:
    """One table, its rows among mutated ones.

    Raises:
        AssertionError: a row was misread, or a damaged one was read.
    """
    draw = random.Random(seed)
    schema, rows = _table(draw)
    packed = pack(schema, rows)
    damaged = [bad for bad in (mutated(draw, draw.choice(packed)) for _ in range(4)) if bad not in packed]
    # With a checksum that fits, as of a writer of ours that is out of its mind: read or refused, never an exception.
    signed = [crc32(bad[4:]).to_bytes(4, "little") + bad[4:] for bad in damaged]
    everything = [
        *((row, True) for row in packed),
        *((bad, False) for bad in damaged),
        *((bad, None) for bad in signed),
    ]
    places = list(range(len(everything)))
    draw.shuffle(places)
    stored = [everything[i][0] for i in places]
    found = decode([*stored, *[None] * FEW], schema.columns, {schema.fingerprint: schema}, now_us=NOW)
    alike(decode(stored[:FEW], schema.columns, {schema.fingerprint: schema}, now_us=NOW), found, schema)
    for at, i in enumerate(places):
        good = everything[i][1]
        if good is not None:
            assert found.status[at] == (Status.PRESENT if good else Status.CORRUPT), seed
        for column in schema.columns:
            values = found.columns[column.name]
            if found.status[at] != Status.PRESENT:
                assert not values.valid[at], seed
            elif good:
                sent = rows[i][column.name]
                assert values.valid[at] == (sent is not None), seed
                assert sent is None or same(column.dtype, sent, values.data[at]), seed


def main(seconds: float, seed: int) -> int:
    """Run for so long; returns how many tables there were."""
    until, first = time.monotonic() + seconds, seed
    while time.monotonic() < until:
        once(seed)
        seed += 1
    return seed - first


if __name__ == "__main__":
    tried = main(float(sys.argv[1]), int(*sys.argv[2:]))
    sys.stdout.write(f"{tried} tables\n")
