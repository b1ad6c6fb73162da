"""The packed online row: `feature_repo` writes it, `serving` reads it.

One Redis value per (project, view, entity): a header, a null bitmap, the fixed-width columns
little-endian, then the variable part. N rows are encoded and decoded as one NumPy record array.

    offset  bytes  field
    0       4      CRC-32 of everything behind it
    4       1      format version (1)
    5       3      zero
    8       8      schema fingerprint
    16      8      event time, microseconds since 1970 UTC
    24      8      created time, microseconds since 1970 UTC
    32      ⌈n/8⌉  null bitmap, bit i set where column i is null, least significant bit first
    …              the fixed-width columns in schema order
    …       4·v    per variable column: where it ends in the variable part
    …              the variable part: text as UTF-8; a list of fixed-width elements as these; a list of texts or bytes
                   as how many (4 bytes), where each ends (4 bytes each), and the elements

May import NumPy and msgspec; must not import anything of Motherlode's but `errors`.
"""

from motherlode.packed.columns import FIXED, VARIABLE, Column, Ragged, Values
from motherlode.packed.packing import encode
from motherlode.packed.schema import FORMAT_VERSION, HEADER_SIZE, Schema
from motherlode.packed.unpacking import Columns, Status, ViewRows, decode

__all__ = [
    "FIXED",
    "FORMAT_VERSION",
    "HEADER_SIZE",
    "VARIABLE",
    "Column",
    "Columns",
    "Ragged",
    "Schema",
    "Status",
    "Values",
    "ViewRows",
    "decode",
    "encode",
]
