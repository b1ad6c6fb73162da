"""What a row's first bytes say, and to whom."""

import numpy as np

from motherlode.packed import (
    FORMAT_VERSION,
    HEADER_SIZE,
    Column,
    Schema,
    Values,
    created_us_of,
    encode,
    event_us_of,
    fingerprint_of,
    fingerprints_of,
)
from motherlode.packed.forms import FORMS, Form
from motherlode.packed.header import FORM, MARK_SIZE, mark_of
from motherlode.packed.places import Places

SCHEMA = Schema("v", (Column("x", "int64"),))
(ROW,) = encode(SCHEMA, {"x": Values(np.array([1]), np.array([True]))}, np.array([-5]), np.array([2**60]))


def test_a_header_alone_says_whose_and_when() -> None:
    for head in (ROW, ROW[:HEADER_SIZE]):
        assert fingerprint_of(head) == SCHEMA.fingerprint
        assert event_us_of(head) == -5
        assert created_us_of(head) == 2**60
    assert fingerprints_of([ROW, None, ROW]) == {SCHEMA.fingerprint}


def test_what_is_cut_or_of_another_format_says_nothing() -> None:
    former = bytearray(ROW)
    former[FORM] = FORMAT_VERSION - 1
    for head in (b"", ROW[: HEADER_SIZE - 1], bytes(former)):
        assert fingerprint_of(head) is event_us_of(head) is created_us_of(head) is None
    assert fingerprints_of([b"", ROW[:MARK_SIZE], bytes(former)]) == set()


def test_the_header_is_the_beginning_of_every_record() -> None:
    """Each offset is named once for those who read a header alone, and once for NumPy: they must agree."""
    for form in FORMS.values():
        fields = Places("v", SCHEMA.columns, form).layout.fields
        assert fields is not None
        assert fields["bits"][1] == HEADER_SIZE
        record = np.frombuffer(ROW[: fields["bits"][1]] + bytes(16), Places("v", (), form).layout, count=1)[0]
        assert record["fingerprint"] == fingerprint_of(ROW)
        assert record["event"] == event_us_of(ROW)
        assert record["created"] == created_us_of(ROW)


def test_forms_are_told_apart_by_one_byte() -> None:
    assert len(FORMS) == 6
    assert all(form.byte == byte and byte % 16 == FORMAT_VERSION for byte, form in FORMS.items())
    assert mark_of(ROW)[0] == Form(wide=False, length=1).byte
