"""What the decoder does at once: read beginnings of texts, or write a token of each.

Each kind of work, by its size, is one graph, captured when the server starts. Inputs lie in one
buffer that stays where it is, and the newest token of each text stays on the device, so that a step
needs nothing of the host and may be started before the host has seen what the one before it wrote.
"""

from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import torch
from torch import Tensor

from batch.backends.torch_align import attended
from batch.backends.torch_graphs import Fetched, Graphs, Staging, fitting
from batch.backends.torch_network import Cache, Network
from streaming.events import Decode

ROWS = (1, 4, 16, 64)  # texts that are read together
TOKENS = (8, 16, 32, 64, 128, 256, 448)  # of the longest of them
READ_TOKENS_MAX = 2048  # of all of them, with those that fill up
READ_USUALLY = 128  # tokens of a text; more are not worth a graph
SLOTS = (4, 8, 16, 32, 64, 128, 256, 512)  # in which a token is written
TEXTS = (64, 128, 448)  # places of a text that are looked at
TIMES_FIRST = 50  # the first time is at most so many steps of 20 ms


@dataclass(frozen=True, slots=True)
class Rules:
    """Which tokens mean something, and which may not be written; `heads` follow the speech."""

    eot: int
    no_timestamps: int
    no_speech: int
    languages: tuple[int, ...]
    suppressed: tuple[int, ...]
    suppressed_first: tuple[int, ...]
    heads: tuple[tuple[int, int], ...]


@dataclass(frozen=True, slots=True)
class Beginning:
    """Tokens to read into a slot. `mark`: where among them the transcript starts; or, of a text to
    be watched, how many of the window's positions have audio."""

    slot: int
    tokens: Sequence[int]
    mark: int
    goes_on: bool  # a token is written next


class Begun(NamedTuple):
    chosen: Tensor  # [rows, 3]: the token, its log-probability, the probability of no speech
    languages: Tensor  # [rows, languages]: probabilities
    logits: Tensor  # [rows, vocabulary], without what may not be written; until the next work


class Watched(NamedTuple):
    looks: Tensor  # [rows, tokens, positions]: how much each token looks at each
    probabilities: Tensor  # [rows, tokens]: of the token after each, among those of text


class Steps:
    """On one cache."""

    def __init__(self, network: Network, cache: Cache, rules: Rules, graphs: Graphs) -> None:
        self.network, self.cache, self.rules, self.graphs = network, cache, rules, graphs
        device = network.device
        self.input = torch.zeros(ROWS[-1] * (TOKENS[-1] + 4), dtype=torch.long, device=device)
        self.staged = Staging(len(self.input), torch.long, device)
        # Of its own: a graph whose capture fails leaves the device's in disorder.
        self.generator = None if device.type == "meta" else torch.Generator(device)
        # One for all graphs, which would keep one each.
        size = (max(cache.slots, ROWS[-1]), len(network.words))
        self.logits = torch.zeros(size, device=device)
        self.languages = torch.tensor(rules.languages, device=device)
        self.suppressed, self.suppressed_first = (
            self._forbidding(ids) for ids in (rules.suppressed, rules.suppressed_first)
        )

    def _forbidding(self, ids: Sequence[int]) -> Tensor:
        mask = torch.zeros(len(self.network.words), device=self.network.device)
        mask[list(ids)] = -torch.inf
        return mask

    def capture_writing(self) -> None:
        """All sizes: what is done most often."""
        for rows in sorted({min(size, self.cache.slots) for size in SLOTS}):
            for text in TEXTS:
                self.graphs.capture(*self._writing(rows, text))

    def capture_reading(self) -> None:
        """What is common."""
        for count in (size for size in TOKENS if size <= READ_USUALLY):
            for rows in (size for size in ROWS if size * count <= READ_TOKENS_MAX):
                self._place([], rows, count)
                for watching in (False, True):
                    self.graphs.capture(*self._reading(rows, count, watching))

    def read(self, beginnings: Sequence[Beginning]) -> Begun:
        """Raises ValueError for more than fit at once."""
        begun: Begun = self.graphs.run(*self._reading(*self._placed(beginnings), watching=False))
        return begun

    def watch(self, texts: Sequence[Beginning]) -> Watched:
        """Read whole texts, and see where each token looks."""
        watched: Watched = self.graphs.run(*self._reading(*self._placed(texts), watching=True))
        return watched

    def write(self, rows: int, text: int) -> tuple[Tensor, Tensor]:
        """A token in each of the first slots, [rows, 2]: it and its log-probability; and the logits
        that it was chosen by. `text`: places that the longest of them has."""
        rows = min(fitting(SLOTS, rows), self.cache.slots)
        written: tuple[Tensor, Tensor] = self.graphs.run(
            *self._writing(rows, min(fitting(TEXTS, text), self.cache.scrap))
        )
        return written

    def fetched(self, *tensors: Tensor) -> Fetched:
        """To be looked at by the host."""
        return Fetched(*tensors)

    def replace(self, slot: int, token: Tensor) -> None:
        """Another token than the likeliest was chosen there."""
        self.cache.tokens[slot] = token

    def _placed(self, beginnings: Sequence[Beginning]) -> tuple[int, int]:
        rows = fitting(ROWS, len(beginnings))
        count = fitting(TOKENS, max(len(b.tokens) for b in beginnings))
        self._place(beginnings, rows, count)
        return rows, count

    def _place(self, beginnings: Sequence[Beginning], rows: int, count: int) -> None:
        """Rows for nobody go to the slot for nobody."""
        empty = [0] * (rows - len(beginnings))
        flat = [t for b in beginnings for t in (*b.tokens, *[0] * (count - len(b.tokens)))]
        flat += empty * count
        flat += [*(b.slot for b in beginnings), *(self.cache.slots for _ in empty)]
        flat += [*(len(b.tokens) for b in beginnings), *(1 for _ in empty)]
        flat += [*(b.mark for b in beginnings), *empty]
        flat += [*(int(b.goes_on) for b in beginnings), *empty]
        if len(flat) > len(self.input):
            raise ValueError(f"{rows} texts of {count} tokens do not fit")
        self.staged.put(flat, self.input)

    def _reading(self, rows: int, count: int, watching: bool) -> tuple[Hashable, Callable[[], Any]]:
        def work() -> Begun | Watched:
            tokens = self.input[: rows * count].view(rows, count)
            rest = self.input[rows * count : rows * (count + 4)].view(4, rows)
            slots, lengths, marks, going = rest.unbind()
            number = torch.arange(count, device=self.input.device)
            # Not `where` with a number: a graph cannot wait for its copy to the device.
            is_over = number >= lengths[:, None]
            places = number.expand(rows, count).masked_fill(is_over, self.cache.scrap)
            heads = self.rules.heads if watching else ()
            decoded, scores = self.network.decode(self.cache, slots, tokens, places, count, heads)
            self.cache.places[slots] = lengths.masked_fill(going == 0, self.cache.scrap)
            if watching:
                looks = attended(torch.stack(scores, 1), lengths, marks.clamp(min=1))
                return Watched(looks, self._probabilities(decoded, tokens))
            row = torch.arange(rows, device=self.input.device)
            first = self.network.logits(decoded[row, marks])
            no_speech = first.softmax(-1)[:, self.rules.no_speech]
            logits = self.logits[:rows]
            torch.add(
                self.network.logits(decoded[row, lengths - 1]),
                self.suppressed + self.suppressed_first,
                out=logits,
            )
            token, log = _likeliest(logits)
            self.cache.tokens[slots] = token
            chosen = torch.stack([token.float(), log, no_speech], 1)
            return Begun(chosen, first[:, self.languages].softmax(-1), logits)

        # Captured on one cache, which the positions tell from the others.
        return ("watch" if watching else "read", self.cache.positions, rows, count), work

    def _probabilities(self, decoded: Tensor, tokens: Tensor) -> Tensor:
        among = self.network.logits(decoded)[:, :, : self.rules.eot].softmax(-1)
        following = tokens.roll(-1, 1).clamp(max=self.rules.eot - 1)
        return among.gather(2, following[:, :, None])[:, :, 0]

    def _writing(self, rows: int, text: int) -> tuple[Hashable, Callable[[], Any]]:
        def work() -> tuple[Tensor, Tensor]:
            cache = self.cache
            tokens, places = cache.tokens[:rows, None], cache.places[:rows, None]
            decoded, _ = self.network.decode(cache, None, tokens, places, text)
            logits = self.logits[:rows]
            torch.add(self.network.logits(decoded[:, 0]), self.suppressed, out=logits)
            token, log = _likeliest(logits)
            chosen = torch.stack([token.float(), log], 1)
            following = (places[:, 0] + 1).clamp(max=cache.scrap)
            # Last: where there was no memory for what is before, all of it can be done again.
            cache.tokens[:rows] = token
            cache.places[:rows] = following
            return chosen, logits

        return ("write", self.cache.positions, rows, text), work


def _likeliest(logits: Tensor) -> tuple[Tensor, Tensor]:
    """Tokens and their log-probabilities, both [rows]."""
    best, token = logits.max(-1)
    return token, best - logits.logsumexp(-1)


def drawn(
    logits: Tensor,
    decode: Decode,
    written: Sequence[int],
    rules: Rules,
    generator: torch.Generator | None,
) -> Tensor:
    """The next token of one text and its log-probability, [2], by the temperature and the rules for
    times, after those `written`. Rules as in OpenAI's `whisper/decoding.py`."""
    allowed = logits.clone()
    if decode.timestamps:
        _time(allowed, written, rules)
    log = allowed.log_softmax(-1)
    if decode.temperature:
        # As `multinomial` draws, which waits for the device to see that it may (Gumbel).
        noise = -torch.empty_like(log).exponential_(generator=generator).log()
        token = (log / decode.temperature + noise).argmax()
    else:
        token = log.argmax()
    return torch.stack([token.float(), log[token]])


def _time(allowed: Tensor, written: Sequence[int], rules: Rules) -> None:
    """Times come in pairs, never fall, and come when they are likelier than any other token."""
    times = rules.no_timestamps + 1
    allowed[rules.no_timestamps] = -torch.inf
    if not written:
        allowed[:times] = -torch.inf
        allowed[times + TIMES_FIRST + 1 :] = -torch.inf
        return
    newest = next((token for token in reversed(written) if token >= times), None)
    if newest is not None:
        allowed[times:newest] = -torch.inf
    is_time = [token >= times for token in written[-2:]]
    if all(is_time):
        allowed[times:] = -torch.inf
        return
    if is_time[-1]:
        allowed[: rules.eot] = -torch.inf
    log = allowed.log_softmax(-1)
    is_likelier = log[times:].logsumexp(-1) > log[:times].max()
    allowed[:times] = torch.where(is_likelier, -torch.inf, allowed[:times])
