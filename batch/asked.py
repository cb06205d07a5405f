"""What a client asks of the model: can it be done, and what of its prompt does the model read."""

from collections.abc import Callable

from streaming.errors import BadMessage
from streaming.options import SessionOptions

PROMPT_TOKENS_MAX = 150  # Whisper reads 223, those of earlier text included


def check(options: SessionOptions, languages: frozenset[str], *, translates: bool) -> None:
    """Raises BadMessage when a model of these languages cannot do it."""
    if options.language is not None and options.language not in languages:
        raise BadMessage(
            f"language: the model does not know {options.language!r}",
            field="language",
            allowed=", ".join(["auto", *sorted(languages)]),
        )
    if unknown := [code for code in options.languages if code not in languages]:
        raise BadMessage(
            f"languages: the model does not know {unknown[0]!r}",
            field="languages",
            allowed=", ".join(sorted(languages)),
        )
    if options.task == "translate" and languages == {"en"}:
        raise BadMessage(
            "task: the model knows English only and cannot translate",
            field="task",
            allowed="transcribe",
        )
    if options.task == "translate" and not translates:
        raise BadMessage(
            "task: the model was not trained to translate", field="task", allowed="transcribe"
        )


def prompt_tokens(
    options: SessionOptions, tokenize: Callable[[str], tuple[int, ...]]
) -> tuple[tuple[int, ...], bool]:
    """Tokens of prompt and key terms, and whether some had to be left out. The key terms come last:
    Whisper heeds the end of a prompt most."""
    terms = tokenize(", ".join(options.key_terms)) if options.key_terms else ()
    prompt = tokenize(options.prompt) if options.prompt.strip() else ()
    room = max(PROMPT_TOKENS_MAX - len(terms), 0)
    kept = prompt[max(len(prompt) - room, 0) :] + terms[:PROMPT_TOKENS_MAX]
    return kept, len(kept) < len(prompt) + len(terms)
