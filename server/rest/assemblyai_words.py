"""A transcript → words as the API tells them: cleaned, formatted and spelled as was asked.

What is stored is what the model wrote; this is done anew whenever it is read.
"""

from collections.abc import Iterable, Iterator
from dataclasses import replace

from batch.files import Transcript
from server.lexicon import FILLERS, profanity
from server.render import spoken
from server.rest.assemblyai_options import TranscriptOptions
from server.spoken import Said, Spellings, bare, ends_sentence, joined, without
from streaming.events import Reason


def words_of(transcript: Transcript, asked: TranscriptOptions) -> list[list[Said]]:
    """The words of each final, in order of time; none is empty."""
    finals = spoken(transcript)
    is_marked = any(ends_sentence(word.text) for final in finals for word in final.words)
    asked_spellings = asked.custom_spelling or ()
    spellings = Spellings((text, one.to) for one in asked_spellings for text in one.from_)
    found = []
    for final in finals:
        words = joined(final)
        if not is_marked and final.reason is not Reason.LENGTH:
            words[-1] = replace(words[-1], ends=True)
        if words := _edited(words, final.language, asked):
            found.append(spellings.applied(words))
    return found


def _edited(words: list[Said], language: str, asked: TranscriptOptions) -> list[Said]:
    if asked.remove_audio_tags:
        words = list(_without_tags(words))
    if not asked.disfluencies and language == "en":
        words = without(words, FILLERS, capitals=asked.format_text)
    if not asked.punctuate:
        words = _without_marks(words)
    if not asked.format_text:
        words = [replace(word, text=word.text.lower()) for word in words]
    if asked.filter_profanity:
        words = [replace(word, text=starred(word.text, language)) for word in words]
    return words


def _without_tags(words: Iterable[Said]) -> Iterator[Said]:
    """Drops [MUSIC] and [Speaker: A]."""
    is_inside = False
    for word in words:
        is_inside = is_inside or word.text.startswith("[")
        if not is_inside:
            yield word
        if "]" in word.text:
            is_inside = False


def _without_marks(words: Iterable[Said]) -> list[Said]:
    found: list[Said] = []
    for word in words:
        text = bare(word.text)
        if text.strip("-"):
            found.append(replace(word, text=text))
        elif word.ends and found:
            found[-1] = replace(found[-1], ends=True)
    return found


def starred(text: str, language: str) -> str:
    """A word that is profane, but for its first letter."""
    core = bare(text)
    if not profanity(language).fullmatch(core):
        return text
    return text.replace(core, core[0] + "*" * (len(core) - 1))
