"""How well bytes read in the encodings that files without a mark come in: by how common their characters are."""

import re
import unicodedata
from collections.abc import Callable, Mapping
from typing import Final

_TOLERATED: Final = 0.01
"""Share of the characters that may be no text: single bad bytes do not hide an encoding."""

_FEWEST: Final = {"cp1252": 1, "cp1250": 1, "cp1251": 3, "koi8_r": 3}
"""Characters from which on they tell an encoding: a bad byte, or two, read well in some."""

_CHINESE: Final = frozenset(
    "的一是不了在有人我他这中大来上个国和地到你说时们为子出会可以要对生能而那得于着下自之年过发后作里用道行所然家种事成方多经么去法学如都"
    "同现当没动面起看定天分还进好小部其些主样理心本前开但因只从想实日军者意无力它与长把机十民第公此已工使情明性知全三又关点正业外将两高间由"
    "问很最重并物手应战向头文体政美相见被利什二等产或新己制身果加西斯月话合回特代内信表化老给世位次度门任常先海通教儿原东声提立及比员解水名真论"
    "店市区路号街省县王李张刘陈杨黄赵吴周徐孙马朱胡郭何林罗郑梁谢宋唐许邓韩冯曹彭曾金额数量价格订单商品客户姓电话址类别牛奶面包购买退货支付现银卡"
)
_TRADITIONAL: Final = frozenset(
    "的一是不了在有人我他這中大來上個國和地到你說時們為子出會可以要對生能而那得於著下自之年過發後作裡用道行所然家種事成方多經麼去法學如都"
    "同現當沒動面起看定天分還進好小部其些主樣理心本前開但因只從想實日市區路號街王李張劉陳楊黃趙吳周徐孫馬朱胡郭何林羅鄭梁謝宋唐許鄧韓馮曹彭曾"
    "金額數量價格訂單商品客戶姓名電話址類別臺灣店購買"
)
_KOREAN: Final = frozenset(
    "이다의는에을가한고를은도로하지서기사자어나인라해일정시대그리아수있것들과보게부구원전상여으스만주장제면안우미국공동무성화신경조김박최정강윤임"
    "장한오서신권황송류홍점명품격금액고객번호"
)
_LATIN: Final = frozenset("äöüßÄÖÜéèêëàâçîïôûùœæåøñáíóúÉÈÀÇÅØÑÁÍÓÚãõÃÕìòâ€£°§–’“”„«»…•®©½²ªº")
_CENTRAL: Final = frozenset("ąćęłńóśźżĄĆĘŁŃÓŚŹŻáčďéěíňřšťúůýžÁČĎÉĚÍŇŘŠŤÚŮÝŽäöüßőűŐŰăâîșțşţ€–’“”„«»…°§")

Weight = Callable[[str, str, str], float]
"""What a run of characters that are not ASCII weighs, between the character before and the one after."""


def best(sample: bytes) -> tuple[str | None, float]:
    """The encoding in which a sample reads best, and how well: 0 to 1; (None, 0) where it reads in none."""
    scores = {name: _score(sample, name, weight) for name, weight in _CANDIDATES.items()}
    name = max(scores, key=lambda each: scores[each])
    return (name, scores[name]) if scores[name] > 0 else (None, 0.0)


def _score(sample: bytes, name: str, weight: Weight) -> float:
    text = sample.decode(name, "replace")
    high = [match.span() for match in re.finditer(r"[^\x00-\x7f]+", text)]
    total = sum(end - start for start, end in high)
    if total < _FEWEST.get(name, 2) or text.count("\ufffd") > _TOLERATED * total:
        return 0.0
    return sum(weight(text[start:end], text[start - 1 : start], text[end : end + 1]) for start, end in high) / total


def _ideographs(common: frozenset[str], encoding: str, first: tuple[int, int], rest: float) -> Weight:
    """Weights of a double-byte encoding: its most common characters, its first level, and the rest."""
    known: dict[str, float] = {}

    def one(character: str) -> float:
        if character in common:
            return 1.0
        code = character.encode(encoding, "ignore")
        if len(code) != 2:
            return 0.0
        if first[0] <= code[0] <= first[1] and (encoding == "cp932" or encoding == "big5" or code[1] >= 0xA1):
            return 0.75
        if unicodedata.category(character)[0] in "PS" or "\uff01" <= character <= "\uff5e":
            return 0.75
        return rest if code[1] >= 0xA1 else 0.0

    def weight(run: str, before: str, after: str) -> float:
        for character in set(run) - known.keys():
            known[character] = one(character)
        return sum(known[character] for character in run)

    return weight


def _japanese(encoding: str, first: tuple[int, int]) -> Weight:
    kanji = _ideographs(frozenset(), encoding, first, 0.2)

    def weight(run: str, before: str, after: str) -> float:
        kana = sum("\u3041" <= each <= "\u30fe" for each in run)
        half = sum("\uff61" <= each <= "\uff9f" for each in run)
        others = "".join(each for each in run if not ("\u3041" <= each <= "\u30fe" or "\uff61" <= each <= "\uff9f"))
        return kana + 0.1 * half + kanji(others, before, after)

    return weight


def _single(common: frozenset[str], longest: int) -> Weight:
    """Weights of a single-byte encoding, in which accents stand among ASCII letters, `longest` of them together."""

    def weight(run: str, before: str, after: str) -> float:
        if sum(each.isalpha() for each in run) > longest:
            return -1.0 * len(run)
        return sum(_accent(each, common, before, after) for each in run)

    return weight


def _accent(each: str, common: frozenset[str], before: str, after: str) -> float:
    if each not in common:
        return 0.2 if each.isalpha() else -0.5
    if each.isalpha():
        return 0.0 if each.isupper() and before.islower() else 1.0
    return 1.0 if each == "’" or not before.isalpha() else 0.2


def _cyrillic(run: str, before: str, after: str) -> float:
    if before.isalpha() or after.isalpha():
        return -1.0 * len(run)  # a word is in one script
    score = 0.0
    for last, each in zip(" " + run, run, strict=False):
        if "а" <= each <= "я" or each in "ёіїєґ":
            score += 1.0
        elif each in "№«»–—" or (("А" <= each <= "Я" or each in "ЁІЇЄҐ") and not last.islower()):
            score += 0.7
        else:
            score -= 0.5
    return score


_CANDIDATES: Final[Mapping[str, Weight]] = {
    "cp1252": _single(_LATIN, 3),
    "gb18030": _ideographs(_CHINESE, "gb18030", (0xB0, 0xD7), 0.3),
    "cp932": _japanese("cp932", (0x88, 0x97)),
    "big5": _ideographs(_TRADITIONAL, "big5", (0xA4, 0xC6), 0.2),
    "cp949": _ideographs(_KOREAN, "cp949", (0xB0, 0xC8), 0.1),
    "euc_jp": _japanese("euc_jp", (0xB0, 0xCF)),
    "cp1250": _single(_CENTRAL, 5),
    "cp1251": _cyrillic,
    "koi8_r": _cyrillic,
}
