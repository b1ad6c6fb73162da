"""What people write in different ways: titles, nicknames, streets. Folded as `normalise.fold` folds text."""

from typing import Final

TITLES: Final = (
    *("mr", "mrs", "ms", "miss", "mx", "sir", "dr", "prof", "professor", "rev", "hr", "fr", "herr", "herrn", "frau"),
    *("familie", "fam", "family", "eheleute", "mme", "mlle", "monsieur", "madame"),
    *("dipl", "med", "msc", "bsc", "mba", "phd"),
)
"""Dropped from names."""

CHINESE_TITLES: Final = ("先生", "女士", "小姐", "太太")

SUFFIXES: Final = {
    **dict.fromkeys(("jr", "junior"), "junior"),
    **dict.fromkeys(("sr", "senior"), "senior"),
    "ii": "ii",
    "iii": "iii",
    "iv": "iv",
}
"""What tells a father from his son."""

PARTICLES: Final = (
    *("von", "van", "de", "der", "den", "del", "della", "di", "da", "la", "le", "zu", "zum", "zur", "dos", "das", "do"),
    *("ter", "ten", "bin", "ibn", "al", "el", "af", "av", "st"),
)
"""Begin a family name."""

COMPOUND_FAMILIES: Final = (
    *(
        "欧阳",
        "歐陽",
        "司马",
        "司馬",
        "上官",
        "诸葛",
        "諸葛",
        "夏侯",
        "东方",
        "東方",
        "皇甫",
        "尉迟",
        "尉遲",
        "公孙",
        "公孫",
    ),
    *("慕容", "令狐", "司徒", "司空", "长孙", "長孫", "宇文", "独孤", "南宫", "西门", "端木", "轩辕", "呼延", "百里"),
)
"""Chinese family names of two characters; every other has one."""

_NICKNAMES: Final = {
    "alexander": ("alex", "alec", "sandy", "sascha", "sasha"),
    "andrew": ("andy", "drew"),
    "anthony": ("tony",),
    "barbara": ("barb", "babs"),
    "benjamin": ("ben", "benny"),
    "catherine": ("cathy", "kate", "katie", "kathy", "kathi", "cat"),
    "charles": ("charlie", "chuck"),
    "christopher": ("chris", "kit"),
    "daniel": ("dan", "danny"),
    "david": ("dave", "davy"),
    "deborah": ("deb", "debbie", "debra"),
    "edward": ("ed", "eddie", "ted"),
    "elizabeth": ("liz", "lizzy", "beth", "betty", "eliza", "lisbeth"),
    "franz": ("franzl",),
    "frederick": ("fred", "freddy"),
    "gerald": ("jerry",),
    "gregory": ("greg",),
    "gabriele": ("gabi", "gaby"),
    "hans": ("hansi", "johannes"),
    "henry": ("harry", "hank"),
    "jacob": ("jake",),
    "james": ("jim", "jimmy", "jamie"),
    "jennifer": ("jen", "jenny"),
    "john": ("jack", "johnny", "jon"),
    "jonathan": ("jonny",),
    "joseph": ("joe", "joey"),
    "josef": ("sepp",),
    "joshua": ("josh",),
    "kenneth": ("ken", "kenny"),
    "lawrence": ("larry",),
    "margaret": ("maggie", "meg", "peggy"),
    "matthew": ("matt",),
    "michael": ("mike", "mick", "micky", "mickey"),
    "nicholas": ("nick", "nicky"),
    "patricia": ("pat", "patty", "trish"),
    "peter": ("pete",),
    "rebecca": ("becky",),
    "richard": ("dick", "rick", "ricky", "rich"),
    "robert": ("bob", "bobby", "rob", "robbie"),
    "ronald": ("ron", "ronny"),
    "samuel": ("sam", "sammy"),
    "steven": ("steve", "stephen"),
    "susan": ("sue", "susie", "suzy"),
    "sebastian": ("basti",),
    "thomas": ("tom", "tommy"),
    "timothy": ("tim", "timmy"),
    "victoria": ("vicky",),
    "wilhelm": ("willi",),
    "william": ("bill", "billy", "will", "willy", "liam"),
}
NICKNAMES: Final = {short: name for name, shorts in _NICKNAMES.items() for short in shorts}
"""Short form → the name it most often stands for; English and German."""

STREETS: Final = (
    (r"(?:strasse|str|street)\b", "str "),
    (r"\bst\b", "str"),
    (r"\bavenue\b|\bave\b", "av"),
    (r"\broad\b", "rd"),
    (r"\bboulevard\b", "blvd"),
    (r"\blane\b", "ln"),
    (r"\bdrive\b", "dr"),
    (r"\bcourt\b", "ct"),
    (r"\bsquare\b", "sq"),
    (r"(?:platz|\bplace)\b", "pl "),
    (r"\bnorth\b", "n"),
    (r"\bsouth\b", "s"),
    (r"\beast\b", "e"),
    (r"\bwest\b", "w"),
    (r"\b(?:apartment|appartment|apt|unit|flat|suite|ste|wohnung|whg|nr|no|number|hausnummer)\b", " "),
)
"""Address: pattern → what stands for it."""

NOBODY: Final = (
    *("none", "no", "na", "nan", "null", "unknown", "test", "noemail", "nomail", "noreply", "donotreply", "keine"),
    *("info", "office", "kontakt", "contact", "admin", "mail", "email", "kundenservice", "service", "sales", "shop"),
)
"""E-mail addresses before the @ that are no person's."""

NO_BIRTH_DATES: Final = ("1900-01-01", "1970-01-01", "1901-01-01", "1899-12-30", "1899-12-31")
"""What systems write where no birth date is known."""
