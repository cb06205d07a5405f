"""Which words of a hypothesis cannot wait any longer to be called stable.

How long a word waits is counted from its end as it was spoken. A model's alignment often gives it
the pause that follows as well, so it ends here where the VAD last heard speech in it.
"""

from collections.abc import Sequence

from streaming.events import Word, samples
from streaming.quality import Heard

HALF_HEARD = samples(200)  # a word that ends so close to the window's end may still be growing
EARLY = samples(200)  # answers come at irregular times: so much before the last moment
IN_NUMBERS = frozenset("$£€¥%")


def overdue(words: Sequence[Word], window_end: int, due: int, heard: Heard) -> int:
    """How many leading words ended before `due`; none that is half heard, or cannot be kept."""
    count = 0
    for word in words:
        is_whole = word.end <= window_end - HALF_HEARD and bool(word.tokens)
        if not is_whole or heard.spoken_until(word.start, word.end) > due + EARLY:
            break
        count += 1
    return count


def before_open_number(words: Sequence[Word]) -> int:
    """How many leading words there are before a number that ends the text, and so may go on."""
    count = len(words)
    while count and _is_in_number(words[count - 1]):
        count -= 1
    return count


def _is_in_number(word: Word) -> bool:
    return any(letter.isdigit() or letter in IN_NUMBERS for letter in word.text)
