"""Languages as Speechmatics names them, and what it tells of each."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Final

from server.languages import NAMES, UNSPACED
from streaming.errors import BadMessage

AUTO: Final = "auto"
_OTHERS: Final = {"cmn": "zh"}  # Whisper's code by theirs
_THEIRS: Final = {ours: theirs for theirs, ours in _OTHERS.items()}
# Packs of several languages, in Whisper's codes.
_PACKS: Final = {
    "ar_en": ("ar", "en"),
    "cmn_en": ("zh", "en"),
    "cmn_en_ms_ta": ("zh", "en", "ms", "ta"),
    "en_ms": ("en", "ms"),
    "en_ta": ("en", "ta"),
    "tl": ("tl", "en"),
}
DOMAINS: Final = {("es", "bilingual-en"): ("es", "en")}
_RIGHT_TO_LEFT: Final = frozenset({"ar", "fa", "he", "ps", "sd", "ur", "yi"})


@dataclass(frozen=True, slots=True)
class Choice:
    """What is asked of the model: one language, several to choose from, or any (none)."""

    name: str  # as the client wrote it
    codes: tuple[str, ...]  # Whisper's

    @property
    def is_auto(self) -> bool:
        return not self.codes


def choose(name: str, domain: str | None, known: frozenset[str]) -> Choice:
    """Raises BadMessage for a language that the model does not know."""
    if name == AUTO:
        return Choice(name, ())
    codes = DOMAINS.get((name, domain or "")) or _PACKS.get(name) or (_OTHERS.get(name, name),)
    heard = tuple(code for code in codes if code in known)
    if not heard:
        supported = ", ".join(supported_of(known))
        raise BadMessage(
            f"language {name[:40]!r} is not supported; supported: {supported}", field="language"
        )
    return Choice(name, heard)


def supported_of(known: Iterable[str]) -> list[str]:
    """Their names of what a model knows, packs as well."""
    codes = frozenset(known)
    packs = [name for name, parts in _PACKS.items() if codes.issuperset(parts)]
    return sorted({theirs_of(code) for code in codes}.union(packs))


def theirs_of(code: str) -> str:
    return _THEIRS.get(code, code)


def pack_info(codes: tuple[str, ...]) -> dict[str, Any]:
    """`language_pack_info` of one language or of several; of none where nothing was heard."""
    first = codes[0] if codes else ""
    info = {
        "adapted": False,
        "itn": True,
        "language_description": " and ".join(_description(code) for code in codes),
        "word_delimiter": delimiter_of(first),
        "writing_direction": _direction(first),
    }
    if len(codes) > 1:
        info["per_language_word_delimiters"] = {theirs_of(c): delimiter_of(c) for c in codes}
        info["per_language_writing_direction"] = {theirs_of(c): _direction(c) for c in codes}
    return info


def delimiter_of(code: str) -> str:
    """What is written between words; `code`: theirs or Whisper's."""
    return "" if _OTHERS.get(code, code) in UNSPACED else " "


def _direction(code: str) -> str:
    return "right-to-left" if code in _RIGHT_TO_LEFT else "left-to-right"


def _description(code: str) -> str:
    return "Mandarin" if code == "zh" else NAMES.get(code, code).title()
