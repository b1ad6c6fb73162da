"""The encoding of a text, its delimiter and its decimal sign: found from what stands in it."""

import codecs
import re
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Final

import charset_normalizer

from feature_repo.warehouse.sources import letters
from feature_repo.warehouse.sources.content import Content
from motherlode.errors import DataError

UTF8: Final = "utf-8"
REPLACEMENT: Final = "\ufffd".encode()
"""What stands where bytes were no text, in any encoding but UTF-8."""
UNDECODABLE: Final = "The line holds bytes that are not {}: correct it, or state the file's `encoding`."
"""A malformed line's remedy."""
DELIMITERS: Final = (",", ";", "\t", "|")
"""What is looked for, in this order."""
NAMES: Final = {",": "comma", ";": "semicolon", "\t": "tab", "|": "bar"}

_MARKS: Final = (
    (codecs.BOM_UTF8, UTF8),
    (codecs.BOM_UTF32_LE, "utf-32"),
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)
_WIDER: Final = {"gbk": "gb18030", "gb2312": "gb18030", "shift_jis": "cp932", "euc_kr": "cp949", "ascii": UTF8}
"""Encodings that are read by one that holds them and more: what writes them rarely keeps to the smaller."""
_SAMPLE: Final = 256 << 10
_SURE: Final = 0.5
_ENOUGH: Final = 50
_HIGH: Final = bytes(range(0x80, 0x100))
_HIGH_LINE: Final = re.compile(rb"[^\r\n]*[\x80-\xff][^\r\n]*")
_ESCAPED: Final = re.compile("[\udc80-\udcff]")
_SEQUENCE: Final = re.compile("[\x80-\ud7ff\ue000-\U0010ffff]")
_LONG: Final = 5
"""What a sequence of three bytes or more weighs: it is hardly right by chance; one of two is, in GBK, one in four."""


@dataclass(frozen=True)
class Encoding:
    """How bytes become text.

    Attributes:
        name: Python's name of the encoding.
        mark: whether a byte order mark stands first.
    """

    name: str
    mark: bool = False


def encoding(content: Content, given: str | None) -> Encoding:
    """A text's encoding: as given, by its byte order mark, or found from all of it.

    UTF-8 with a few bad bytes is UTF-8: the rows that hold them are malformed.

    Raises:
        DataError: the given encoding is unknown, or not that of the text.
    """
    first = next(content.chunks(), b"")
    marked = next((name for mark, name in _MARKS if first.startswith(mark)), None)
    if given is not None:
        return _given(content, given, first, marked)
    if marked is not None:
        return Encoding(marked, mark=True)
    wide = _without_mark(first)
    return Encoding(wide or _found(content))


def blocks(content: Content, found: Encoding, size: int) -> Iterator[bytes]:
    """The text as UTF-8, about `size` bytes at once, without its mark.

    Bytes that are no text stay as they are in UTF-8; in other encodings `REPLACEMENT` stands for them.
    """
    chunks = content.chunks(size)
    if found.name == UTF8:
        first = next(chunks, b"")
        yield first.removeprefix(codecs.BOM_UTF8)
        yield from chunks
        return
    decoder = codecs.getincrementaldecoder(found.name)("replace")
    for chunk in chunks:
        yield decoder.decode(chunk).encode()
    yield decoder.decode(b"", final=True).encode()


def delimiter(rows: Callable[[str], Sequence[Sequence[str]]]) -> tuple[str | None, dict[str, float]]:
    """The delimiter that divides a text's first rows most evenly.

    Args:
        rows: the fields of the first rows, the header's first, if the text is divided by the argument.

    Returns:
        the delimiter, None where each leaves one field a row; and for each that divides the header, the share of rows
        that have as many fields as the header.
    """
    even: dict[str, tuple[float, int]] = {}
    for each in DELIMITERS:
        counts = [len(row) for row in rows(each)]
        if counts and counts[0] > 1:
            even[each] = (sum(count == counts[0] for count in counts) / len(counts), counts[0])
    # A comma that also stands within numbers divides rows unevenly; of equal ones the one that divides more.
    best = max(even, key=lambda each: even[each], default=None)
    return best, {each: share for each, (share, _) in even.items()}


def decimal(columns: Sequence[Sequence[str]], divided_by: str) -> dict[str, str]:
    """The decimal sign of a text's numbers, and the sign between thousands, where the values tell.

    Args:
        columns: some values of each column.
        divided_by: the delimiter; where columns disagree, a semicolon speaks for the comma.

    Returns:
        `decimal` and `thousands`; empty where no value tells.
    """
    signs: Counter[str] = Counter()
    groups: Counter[tuple[str, str]] = Counter()
    for values in columns:
        told = [value.strip() for value in values if value.strip()]
        for sign, number in _NUMBERS.items():
            matched = [match for value in told if (match := number.fullmatch(value))]
            telling = [match for match in matched if _tells(match, sign)]
            if len(telling) > _FEW * len(matched) and len(matched) >= _MOST * len(told):
                signs[sign] += 1
                groups.update({(sign, match["group"]) for match in matched if match["group"]})
    if not signs:
        return {}
    sign = max(signs, key=lambda each: (signs[each], (each == ",") == (divided_by == ";")))
    divided = [group for (each, group), _ in groups.most_common() if each == sign]
    return {"decimal": sign, **({"thousands": divided[0]} if divided else {})}


_MOST: Final = 0.95
_FEW: Final = 0.05
"""Of a column's numbers: so few that are written another way are mistakes, and tell nothing."""
_NUMBERS: Final = {
    sign: re.compile(
        rf"[-+]?\(?(?:\d+|\d{{1,3}}(?:(?P<group>[{other} '\u00a0\u202f])\d{{3}})(?:(?P=group)\d{{3}})*)"
        rf"(?:{re.escape(sign)}(?P<part>\d+))?\)?"
    )
    for sign, other in ((",", "."), (".", ","))
}
"""A number by its decimal sign: with a sign or in brackets, its thousands divided or not."""


def _tells(match: re.Match[str], sign: str) -> bool:
    """Whether a number can be read by this decimal sign only: 1,5 or 1.234,50, but not 1,234."""
    part = match["part"]
    if part is None:
        return False
    whole = match.string.split(sign)[0].lstrip("-+(")
    return match["group"] is not None or len(part) != 3 or len(whole) > 3 or whole == "0"


def _given(content: Content, given: str, first: bytes, marked: str | None) -> Encoding:
    try:
        name = codecs.lookup(given).name
    except LookupError:
        raise DataError(
            f"The encoding {given!r} is unknown.", "Use one like utf-8, gb18030, cp1252, shift_jis; or leave it out."
        ) from None
    name = _WIDER.get(name, name)
    name = {"utf-8-sig": UTF8}.get(name, name)
    if marked is not None:
        if not name.startswith(marked.removesuffix("-sig")):
            raise DataError(
                f"{content.name} begins with the byte order mark of {marked}, and its encoding is given as {given}.",
                "Leave `encoding` out: it is found.",
            )
        return Encoding(marked, mark=True)
    if name in ("utf-16", "utf-32"):  # they read their byte order from a mark
        raise DataError(
            f"{content.name} does not begin with a byte order mark, and its encoding is given as {given}.",
            f"Leave `encoding` out, or say which order: {name}-le or {name}-be.",
        )
    if name == UTF8 and not _is_utf8(first):
        found = _without_mark(first) or _found(content)
        if found != UTF8:
            raise DataError(
                f"{content.name} is not {given}, which its `encoding` says; it reads as {found}.",
                f"Say `encoding: {found}`, or leave it out.",
            )
    return Encoding(name)


def _is_utf8(first: bytes) -> bool:
    try:
        codecs.getincrementaldecoder(UTF8)().decode(first)
    except UnicodeDecodeError:
        return False
    return True


def _without_mark(first: bytes) -> str | None:
    """UTF-16 without a mark, by the zero bytes of its ASCII letters."""
    sample = first[:_SAMPLE]
    if b"\0" not in sample:
        return None
    even, odd = sample[::2].count(0) / len(sample), sample[1::2].count(0) / len(sample)
    if odd > 0.2 and even < odd / 4:
        return "utf-16-le"
    if even > 0.2 and odd < even / 4:
        return "utf-16-be"
    return None


def _found(content: Content) -> str:
    """UTF-8, unless most of what is not ASCII is no UTF-8 and reads well in another encoding."""
    decoder = codecs.getincrementaldecoder(UTF8)("surrogateescape")
    good = bad = 0
    sample = b""
    for chunk in content.chunks():
        if chunk.isascii() and not decoder.getstate()[0]:
            continue
        text = decoder.decode(chunk)
        escaped = _escaped(text)
        bad += escaped
        good += sum(_LONG if each >= "\u0800" else 1 for each in _SEQUENCE.findall(text[:_SAMPLE]))
        if escaped and len(sample) < _SAMPLE:
            sample += b"\n".join(_HIGH_LINE.findall(chunk))[:_SAMPLE] + b"\n"
    if good >= bad:
        return UTF8
    name, score = letters.best(sample)
    if score >= _SURE and name is not None:
        return name
    # On a few bytes it names some encoding always.
    guess = charset_normalizer.from_bytes(sample).best() if _high_bytes(sample) >= _ENOUGH else None
    if guess is not None and guess.encoding not in ("ascii", "utf_8"):
        return _WIDER.get(guess.encoding, guess.encoding)
    return UTF8


def _high_bytes(sample: bytes) -> int:
    return len(sample) - len(sample.translate(None, _HIGH))


def _escaped(text: str) -> int:
    """Bytes that were no text."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return len(_ESCAPED.findall(text))
    return 0
