"""The packed online row: `feature_repo` writes it, `serving` reads it.

One Redis value per (project, view, entity): a header, a bit for each null and each bool, the other fixed-width columns
little-endian, then the variable part. N rows are encoded and decoded as one NumPy record array; a few by `struct`.

    offset  bytes      field
    0       4          CRC-32 of everything behind it
    4       1          form: the format version (2) in the low four bits; bit 4 set where int64 columns take eight
                       bytes, else four; bits 5 and 6: a length takes 1, 2 or 4 bytes (0, 1, 2); bit 7 zero
    5       4          schema fingerprint
    9       8          event time, microseconds since 1970 UTC
    17      8          created time, microseconds since 1970 UTC
    25      ⌈(n+b)/8⌉  bits, least significant first: bit i set where column i of n is null, then the values of b bools
    …                  the other fixed-width columns in schema order
    …       (1|2|4)·v  per variable column: how long it is in the variable part
    …                  the variable part: text as UTF-8; a list of fixed-width elements as these; a list of texts or
                       bytes as how many (4 bytes), where each ends (4 bytes each), and the elements

A row takes the narrowest form that holds its integers and lengths, whatever its neighbours take, so that equal values
give equal bytes. A null's value is zero or empty. A row of another format version reads as CORRUPT, and every write
replaces it whatever its times are; `motherlode materialize` after an upgrade writes each view anew as a whole.

May import NumPy and msgspec; must not import anything of Motherlode's but `errors`.
"""

from motherlode.packed.columns import FIXED, VARIABLE, Column, Ragged, Values
from motherlode.packed.header import (
    FORMAT_VERSION,
    HEADER_SIZE,
    created_us_of,
    event_us_of,
    fingerprint_of,
    fingerprints_of,
)
from motherlode.packed.packing import encode
from motherlode.packed.rows import Status, ViewRows
from motherlode.packed.schema import Schema
from motherlode.packed.unpacking import FEW, decode

__all__ = [
    "FEW",
    "FIXED",
    "FORMAT_VERSION",
    "HEADER_SIZE",
    "VARIABLE",
    "Column",
    "Ragged",
    "Schema",
    "Status",
    "Values",
    "ViewRows",
    "created_us_of",
    "decode",
    "encode",
    "event_us_of",
    "fingerprint_of",
    "fingerprints_of",
]
