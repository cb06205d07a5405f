"""Words that are treated apart, in lower case: fillers, abbreviations, profanity."""

import re
from functools import cache
from typing import Final

# English words that say nothing. "um" and "ah" are words elsewhere.
FILLERS: Final = frozenset({"um", "uh", "hmm", "mhm", "uh-huh", "ah", "huh", "hm", "m"})

# Sounds of hesitation, by language.
_DISFLUENCIES: Final = {
    "en": (
        "huh aha ah aw eh err hmm mm um uh uh-oh uh-huh uh-uh mhm a-ha aah aahh aaw ah-ha ahaa ahh "
        "ahha aww eeh erm hhm hhmm hm huh-uh m-hm uggh ugh ughh uhh uhhm uhm uhmm umm uuh uuhh uum"
    ),
    "da": "øh øhm hm", "de": "äh ähm öh öhm hm hmm mhm", "es": "eh ehm em hm hmm",
    "fi": "öö ööö hmm", "fr": "euh heu hum hmm", "it": "ehm eh uhm mh hmm",
    "nl": "eh ehm uh uhm hm", "no": "øh øhm eh hm", "pl": "yyy eee hmm", "pt": "hum hã hmm",
    "ru": "э-э эм хм", "sv": "öh öhm eh hm", "ja": "えっと えーと あの", "zh": "呃 嗯",
}  # fmt: skip

# After these a full stop does not end a sentence.
ABBREVIATIONS: Final = frozenset({
    "mr.", "mrs.", "ms.", "dr.", "prof.", "st.", "jr.", "sr.", "vs.", "gen.", "col.", "sgt.",
    "capt.", "lt.", "rev.", "hon.", "inc.", "ltd.", "e.g.", "i.e.", "approx.", "dept.", "bzw.",
    "z.b.", "hr.", "fr.", "nr.", "mme.", "mlle.", "sra.",
})  # fmt: skip

# Beginnings of words; only what means nothing else in that language.
_ANYWHERE: Final = ("(?:mother)?fuck", "(?:bull)?shit(?:t)?", "bitch")
_STEMS: Final = {
    "en": (
        "(?:cluster|mind)fuck", "(?:horse|dip|bat|ape)shit", "cunt", "cocksuck", "dickhead",
        "piss", "twat", "wank", "prick", "slut", "whore", "fag(?:got)?", "nigger", "nigga",
        "(?:dumb|jack|smart|bad|fat|hard)?ass", "(?:ass|arse)hole", "arse", "bastard", "bollock",
        "goddamn", "douche(?:bag)?", "jerkoff", "pussy", "pussie", "titt(?:y|ie)",
    ),
    "de": ("schei(?:ß|ss)e", "arsch(?:loch|löcher)?", "fotze(?:n)?", "wichser", "hurensohn"),
    "es": ("mierda", "joder", "jodid[oa]", "put[oa]", "cabr(?:ó|o)n", "gilipollas", "coño"),
    "fr": ("merde", "putain", "conn(?:ard|asse)", "salope", "encul(?:é|er|ée)", "bordel"),
    "it": ("cazzo", "merda", "stronz[oaie]", "vaffanculo", "puttana", "coglion[ei]"),
    "nl": ("kut", "klootzak(?:ken)?", "godverdomme", "klote"),
    "pt": ("caralho", "foder", "fod[ae]-se", "merda", "porra", "puta"),
}  # fmt: skip
_ENDING: Final = r"(?:s|es|ed|er|ers|in|in'|ing|ings|y|head|heads|face|faces)?"


@cache
def profanity(language: str) -> re.Pattern[str]:
    """Matches a whole word."""
    stems = (*_ANYWHERE, *_STEMS.get(language, ()))
    return re.compile(rf"(?:{'|'.join(stems)}){_ENDING}", re.IGNORECASE)


@cache
def disfluencies(language: str) -> frozenset[str]:
    return frozenset(_DISFLUENCIES.get(language, "").split())
