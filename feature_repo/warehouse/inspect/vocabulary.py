"""What column names mean: words of five languages, each standing for one concept.

A name is cut into words (`customerID`, `Kunden-Nr.`, `订单编号`), compounds into their parts, and every part that is
known becomes a concept. Rules about columns are written over concepts, so a new language is a matter of this file.
"""

import re
import unicodedata
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from typing import Final

_TEXT: Final[Mapping[str, str]] = {
    # Keys.
    "id": "id ids nr no n num number nummer key code ref uid uuid guid numero identifiant identifier"
    " identificador codigo kennung schluessel schlussel 编号 编码 代码 号码 号 码",
    "customer": "customer customers cust client clients kunde kunden kundin kd household hshd member"
    " mitglied membre membres miembro user buyer shopper subscriber cliente clientes"
    " abonne adherent acheteur comprador usuario"
    " socio 客户 顾客 会员 用户 买家",
    "account": "account accounts acct konto konten compte cuenta iban 账户 账号 帐号",
    "order": "order orders ordered basket bestellung bestellungen bestell bestellt auftrag auftrage"
    " rechnung invoice receipt beleg bon kassenbon ticket vente ventes verkauf"
    " commande commandes facture panier pedido pedidos factura"
    " compra cesta 订单 下单 小票 发票 交易 transaction transactions transaktion trans txn purchase kauf achat"
    " posting postings booking booked buchung sale",
    "line": "line position pos zeile ligne linea renglon seq sequence 行号 行",
    "item": "item items product products prod sku article articles artikel produkt produkte produit"
    " produits producto productos articulo 商品 产品 货品 upc ean gtin asin isbn stock material plu"
    " plan plans tarif tarife",
    "campaign": "campaign campaigns kampagne campagne campana 活动 营销 mailing",
    "coupon": "coupon coupons gutschein voucher cupon cupones 优惠券 券",
    "store": "store stores shop retail filiale markt branch laden magasin tienda 门店 店铺 分店 outlet kasse",
    "visitor": "visitor cookie device besucher fingerprint anonymous visiteur visitante 访客 设备",
    "session": "session sitzung sesion 会话",
    # Numbers.
    "quantity": "qty quantity menge anzahl stueck stuck pieces units quantite qte cantidad cant unidades 数量 件数",
    "weight": "weight gewicht poids peso 重量",
    "amount": "amount amt sales betrag summe montant importe revenue paid umsatz turnover total totals"
    " net netto brutto gross value wert valor spend spending 金额 总额 总价 实付",
    "price": "price unit unitaire unitario einzel preis prix precio unitprice 单价 价格 list",
    "discount": "discount discounts disc rabatt nachlass remise reduction descuento rebate 折扣 优惠",
    "cents": "cents cent pence centimes centimos rappen fen 分",
    "match": "match matched",
    "cost": "cost costs freight fee kosten fracht porto versandkosten profit margin 运费 成本",
    "delivery": "ship shipped shipping delivery delivered limit due estimated required lieferung livraison 发货",
    "tax": "tax vat mwst steuer tva iva 税",
    "share": "rate ratio percent pct prozent quote share",
    # Times.
    "date": "date datum day tag dt fecha jour 日期",
    "time": "time timestamp ts zeit uhrzeit zeitpunkt heure hora 时间 datetime at am written"
    " sent gesendet envoye enviado",
    "part": "month monat mois mes week woche year jahr weekday quarter semaine hour 月份 年份",
    "start": "start started begin begins from von ab beginn debut inicio 开始",
    "end": "end ended ende until bis fin to stop expiry expires 结束",
    "registered": "registered register registration signup joined join created creation since seit anmeldung"
    " angelegt inscription inscrit alta registro enrolled adhesion beitritt 注册",
    # People.
    "name": "name bezeichnung titel title nom nombre 名称 description beschreibung libelle descripcion 描述",
    "person": "first last vorname nachname firstname lastname fullname surname prenom given family"
    " apellido apellidos 姓名 姓",
    "email": "email mail courriel correo 邮箱 邮件",
    "phone": "phone fax telefon tel mobile handy telephone telefono movil portable 电话 手机",
    "address": "street strasse adresse address rue calle direccion 地址 anschrift str",
    "postcode": "plz postcode zip zipcode postleitzahl postal cp 邮编 邮政",
    "city": "city ort stadt town ville ciudad 城市 wohnort",
    "region": "country land pays pais 国家 nation region state bundesland province 省份 地区",
    "birth": "birth born geburt geburts geb geburtstag naissance nacimiento dob 出生 生日 birthday",
    "gender": "gender sex geschlecht anrede sexe sexo 性别 salutation",
    "age": "age alter edad 年龄",
    "household": "kids children kinder dependents partner senior citizen homeowner home owners"
    " ownership size comp marital familienstand married civil 婚姻 family",
    "work": "job occupation beruf profession profesion 职业 education bildung 学历 educacion income"
    " einkommen gehalt salary revenu ingresos 收入",
    "health": "health diagnosis religion ethnicity disability 健康 union political krankheit gesundheit"
    " default insolvency",
    "consent": "consent consents optin newsletter einwilligung werbung marketing profiling profilbildung"
    " permission gdpr dsgvo consentement consentimiento 同意 授权",
    # Things.
    "department": "department dept abteilung bereich departement rayon departamento 部门 area division sparte",
    "category": "category cat kategorie categorie categoria 类别 类目 分类 品类 group gruppe warengruppe subcategory",
    "brand": "brand marke marque marca 品牌",
    "maker": "manufacturer hersteller supplier lieferant fabricant 厂商",
    # Behaviour.
    "channel": "channel kanal canal 渠道 medium contact",
    "type": "type typ kind art tipo genre 类型",
    "event": "event events action ereignis activity evenement evento hit 事件 行为",
    "page": "page url path seite uri link 页面 pagina",
    "search": "search query keyword keywords suche suchbegriff recherche busqueda 搜索 关键词 q terms term",
    "referrer": "referrer referer utm 来源",
    "rating": "rating stars score sterne bewertung puntuacion 评分 星级 grade",
    "text": "text comment comments review reviews body message note notes kommentar nachricht"
    " commentaire comentario reseña 评论 内容 备注 评价 feedback remark bemerkung notiz notizen memo"
    " rezension avis complaint",
    "language": "language lang sprache langue idioma 语言 locale",
    "response": "response responses responded answer antwort outcome result ergebnis reponse respuesta"
    " conversion converted churn churned redeemed redemption redemptions y target label subscribed"
    " accepted visit 响应 结果",
    "duration": "duration dauer duree duracion 时长",
    "return": "return returns returned retoure retouren refund refunds retour retours devolucion"
    " devoluciones storno cancellation cancellations stornos 退货 退款",
    "segment": "segment arm treatment cell variant variante",
    "status": "status zustand statut estado 状态",
    "currency": "currency wahrung waehrung devise moneda 币种 货币",
    "call": "call called calls anruf anrufe appel llamada 通话",
}

WORDS: Final[Mapping[str, str]] = {word: concept for concept, words in _TEXT.items() for word in words.split()}
"""Word, folded → the concept that it stands for."""

_LINKS: Final = frozenset(
    ("de", "du", "des", "del", "la", "le", "el", "les", "of", "the", "der", "die", "das", "d", "l")
)
"""Words that say nothing."""
_SHORTEST_PART: Final = 3
"""Letters. A shorter word counts only where it stands alone, or ends a compound."""
_CUT: Final = re.compile(r"[^\W\d_]+|\d+")
_HUMP: Final = re.compile(r"(?<=[a-z\d])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])")
_CHINESE: Final = re.compile(r"[\u4e00-\u9fff]")


@dataclass(frozen=True)
class Meaning:
    """What a name says.

    Attributes:
        concepts: what its words stand for.
        unknown: words that stand for nothing here.
    """

    concepts: frozenset[str]
    unknown: tuple[str, ...]


def fold(name: str) -> str:
    """Lower case without accents: `Straße` → `strasse`, `Währung` → `wahrung`."""
    plain = unicodedata.normalize("NFKD", name.replace("ß", "ss"))
    return "".join(letter for letter in plain if not unicodedata.combining(letter)).lower()


def words(name: str) -> list[str]:
    """A name's words, folded: `customerID` → customer, id; `E-Mail` → email."""
    joined = re.sub(r"\b[eE][-_ ]?([mM]ail)", r"\1", name)
    return [fold(word) for part in _CUT.findall(joined) for word in _HUMP.sub(" ", part).split()]


@cache
def read(name: str) -> Meaning:
    """What a name says."""
    concepts: set[str] = set()
    unknown: list[str] = []
    for word in words(name):
        parts = _parts(word)
        if parts is None:
            if not word.isdigit() and word not in _LINKS:
                unknown.append(word)
        else:
            concepts.update(WORDS[part] for part in parts if part)
    return Meaning(frozenset(concepts), tuple(unknown))


def snake(name: str) -> str:
    """A column name of our own for a raw one: `Kunde seit` → `kunde_seit`; Chinese by its concepts."""
    if _CHINESE.search(name):
        meaning = read(name)
        return "_".join(sorted(meaning.concepts)) or "column"
    text = re.sub(r"[^a-z0-9]+", "_", fold(_HUMP.sub("_", name))).strip("_") or "column"
    return f"c_{text}" if text[0].isdigit() else text


def _parts(word: str) -> tuple[str, ...] | None:
    """A word as known words in a row, German's linking s allowed; None where that cannot be."""
    if word in WORDS:
        return (word,)
    for cut in range(len(word) - 1, 0, -1):
        head, tail = word[:cut], word[cut:]
        if head not in WORDS or not (len(head) >= _SHORTEST_PART or _CHINESE.search(head)):
            continue
        if tail == "s":
            return (head,)
        rest = _parts(tail) or (_parts(tail[1:]) if tail[0] == "s" and len(tail) > 2 else None)
        if rest is not None:
            return (head, *rest)
    return None
