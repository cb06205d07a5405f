"""`output_locale`: English as it is spelled in Britain, Australia or America, Mandarin in either
script. A model writes now this, now that.

Only words of which both spellings mean the same: "check", "tire" or "program" are left alone in
British English, where some of them are another word.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cache
from itertools import product
from typing import Any, Final

# Stems before -our in Britain and -or in America, with what may follow.
_OUR: Final = (
    "arb ard arm behavi cand clam col demean endeav fav ferv flav harb hon hum lab misbehavi "
    "neighb od parl ranc rig rum savi sav splend succ tum val vap vig discol dishon disfav"
)
_OUR_ENDINGS: Final = (
    "", "s", "ed", "ing", "er", "ers", "ful", "less", "able", "ably", "ite", "ites", "ly", "hood",
    "hoods", "ism", "al", "ally", "y", "ings",
)  # fmt: skip
# Before -ise in Britain and Australia, -ize in America.
_ISE: Final = (
    "agon alphabet american anonym apolog author automat bapt brutal capital categor central "
    "character civil colon commercial computer critic crystall custom decentral demoral "
    "democrat deput digit dramat econom emphas energ equal familiar fertil final formal "
    "fossil general global harmon hospital human hypothes ideal immun industrial initial "
    "institutional internal international item jeopard legal legitim liberal local "
    "marginal maxim mechan memor merchand minim mobil modern monopol moral national "
    "natural neutral normal optim organ oxid palat parallel patron penal personal plagiar "
    "polar popular pressur priorit privat professional random rational real recogn reorgan "
    "revolution romant sanit scrutin sensit sex social special stabil standard steril "
    "subsid summar symbol symmetr sympath synchron systemat tantal terror theor tranquill "
    "trivial union util vandal verbal victim virtual visual vocal weapon"
)
_ISE_ENDINGS: Final = (
    "e", "es", "ed", "ing", "er", "ers", "ation", "ations", "able", "ational", "ingly",
)  # fmt: skip
# Verbs whose last consonant is doubled in Britain only.
_DOUBLED: Final = (
    "cancel channel counsel dial duel enamel equal fuel funnel grovel initial jewel label level "
    "marshal marvel model panel pedal pencil quarrel rival shovel signal spiral swivel total "
    "travel trowel tunnel unravel"
)
_DOUBLED_ENDINGS: Final = ("ed", "ing", "er", "ers", "ings")
_RE: Final = (
    "cent theat fib lit calib lust somb spect sab meag kilomet centimet millimet kilolit "
    "millilit amphitheat epicent"
)
_OTHERS: Final = {
    "analyse": "analyze", "analysed": "analyzed", "analysing": "analyzing", "analyses": "analyzes",
    "analyser": "analyzer", "paralyse": "paralyze", "paralysed": "paralyzed",
    "paralysing": "paralyzing", "catalyse": "catalyze", "catalysed": "catalyzed",
    "catalogue": "catalog", "catalogues": "catalogs", "catalogued": "cataloged",
    "dialogue": "dialog", "dialogues": "dialogs", "analogue": "analog", "analogues": "analogs",
    "defence": "defense", "defences": "defenses", "offence": "offense", "offences": "offenses",
    "pretence": "pretense", "licence": "license", "licences": "licenses",
    "anaesthetic": "anesthetic", "anaesthesia": "anesthesia", "anaemia": "anemia",
    "anaemic": "anemic", "archaeology": "archeology", "diarrhoea": "diarrhea",
    "encyclopaedia": "encyclopedia", "foetus": "fetus", "foetal": "fetal",
    "gynaecology": "gynecology", "gynaecologist": "gynecologist", "haemoglobin": "hemoglobin",
    "haemorrhage": "hemorrhage", "leukaemia": "leukemia", "manoeuvre": "maneuver",
    "manoeuvres": "maneuvers", "mediaeval": "medieval", "oesophagus": "esophagus",
    "oestrogen": "estrogen", "orthopaedic": "orthopedic", "paediatric": "pediatric",
    "paediatrician": "pediatrician", "paediatrics": "pediatrics",
    "aeroplane": "airplane", "aeroplanes": "airplanes", "aluminium": "aluminum",
    "cosy": "cozy", "cosier": "cozier", "draught": "draft", "draughts": "drafts",
    "enrol": "enroll", "enrols": "enrolls", "enrolment": "enrollment",
    "fulfil": "fulfill", "fulfils": "fulfills", "fulfilment": "fulfillment",
    "grey": "gray", "greys": "grays", "greyish": "grayish", "instalment": "installment",
    "instalments": "installments", "jewellery": "jewelry", "mould": "mold", "moulds": "molds",
    "mouldy": "moldy", "moustache": "mustache", "moustaches": "mustaches", "mum": "mom",
    "mums": "moms", "plough": "plow", "ploughs": "plows", "ploughed": "plowed",
    "ploughing": "plowing", "pyjamas": "pajamas", "sceptic": "skeptic", "sceptics": "skeptics",
    "sceptical": "skeptical", "scepticism": "skepticism", "skilful": "skillful",
    "skilfully": "skillfully", "smoulder": "smolder", "sulphur": "sulfur", "wilful": "willful",
    "woollen": "woolen", "worshipped": "worshiped", "worshipping": "worshiping",
    "kidnapped": "kidnaped", "centred": "centered", "centring": "centering",
    "ageing": "aging", "acknowledgement": "acknowledgment", "judgement": "judgment",
    "marvellous": "marvelous", "councillor": "councilor", "councillors": "councilors",
}  # fmt: skip
# Of one word in America, two in Britain: only the way to America is known.
_TO_AMERICA: Final = {
    "cheque": "check", "cheques": "checks", "programme": "program", "programmes": "programs",
    "kerb": "curb", "kerbs": "curbs", "tyre": "tire", "tyres": "tires", "storey": "story",
    "storeys": "stories", "metre": "meter", "metres": "meters", "practise": "practice",
    "practised": "practiced", "practising": "practicing", "whilst": "while", "amongst": "among",
}  # fmt: skip
# As usual in Britain as in America's own spelling.
_BRITISH_KEEPS: Final = frozenset({
    "catalog", "dialog", "analog", "license", "licenses", "draft", "drafts", "worshiped",
    "worshiping", "kidnaped", "judgment", "acknowledgment", "aging",
})  # fmt: skip


@dataclass(frozen=True, slots=True)
class Speller:
    """Writes words of one language, by Whisper's code, as is usual in the locale."""

    language: str
    spell: Callable[[str], str]


def speller(locale: str) -> Speller:
    if locale.startswith("cmn"):
        return Speller("zh", _converter("t2s" if locale == "cmn-Hans" else "s2t").convert)
    table = _to_america() if locale == "en-US" else _from_america()
    return Speller("en", lambda word: _cased_as(word, table.get(word.lower())))


def _cased_as(word: str, other: str | None) -> str:
    if other is None or word.islower():
        return other or word
    return other.upper() if word.isupper() else other[0].upper() + other[1:]


def _pairs() -> Iterator[tuple[str, str]]:
    """British and American."""
    for stem, ending in product(_OUR.split(), _OUR_ENDINGS):
        yield f"{stem}our{ending}", f"{stem}or{ending}"
    for stem, ending in product(_ISE.split(), _ISE_ENDINGS):
        yield f"{stem}is{ending}", f"{stem}iz{ending}"
    for verb, ending in product(_DOUBLED.split(), _DOUBLED_ENDINGS):
        yield f"{verb}l{ending}", f"{verb}{ending}"
    for stem, ending in product(_RE.split(), ("", "s")):
        yield f"{stem}re{ending}", f"{stem}er{ending}"
    yield from _OTHERS.items()


@cache
def _to_america() -> dict[str, str]:
    return dict(_pairs()) | _TO_AMERICA


@cache
def _from_america() -> dict[str, str]:
    return {american: british for british, american in _pairs() if american not in _BRITISH_KEEPS}


def _converter(name: str) -> Any:
    # Few jobs are in Mandarin.
    import opencc

    return opencc.OpenCC(name)
