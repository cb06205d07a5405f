"""Live captions in a terminal: finals scroll by; below, what may still change, and the state."""

import re
import statistics
import sys
import time
from collections import deque
from pathlib import Path

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.segment import Segment, Segments
from rich.text import Text

from clients.python.stentor_client import Event
from server.subtitles import Cue, Spoken, cues_of, subtitles
from streaming.events import Word, samples

LAGS_MAX = 5000  # the medians are of the latest so many
REFRESH_PER_SECOND = 15
SOFT = "bright_black"
CONTROLS = re.compile(r"[\x00-\x1f\x7f-\x9f]")
# What the line of the state says, and in which colour, after an event of the connection.
STATES = {
    "ready": ("live", "green"),
    "lost": ("connecting again", "yellow"),
    "resumed": ("live", "green"),
    "restarted": ("live", "green"),
    "done": ("done", SOFT),
}


class Captions:
    """Use as a context. Where standard output is no terminal it gets the finals alone."""

    def __init__(self, srt: Path | None = None) -> None:
        """`srt`: where subtitles are written as well, from when the server is ready."""
        self.srt = srt
        self.subtitles: Subtitles | None = None
        self.screen = Console(highlight=False)
        self.notes = Console(stderr=True, highlight=False)
        self.began = time.monotonic()
        self.state = ("connecting", "yellow")
        self.partials: dict[int, Event] = {}  # by channel
        self.lags: dict[str, deque[float]] = {
            "partial": deque(maxlen=LAGS_MAX),
            "final": deque(maxlen=LAGS_MAX),
        }
        self.live = Live(
            console=self.screen,
            transient=True,
            refresh_per_second=REFRESH_PER_SECOND,
            get_renderable=self._shown,
        )

    def __enter__(self) -> "Captions":
        if self.screen.is_terminal:
            self.live.start()
        return self

    def __exit__(self, *exc: object) -> None:
        self.live.stop()
        if self.subtitles is not None:
            self.subtitles.file.close()
        if self.screen.is_terminal and (lags := self._lags()):
            self._note(f"median lag: {lags}")

    def end(self) -> None:
        """No more is heard; what was said is still transcribed."""
        self._note("ending with what was said; Ctrl-C again gives that up")

    def show(self, event: Event) -> None:
        """Any event of a live stream."""
        self.state = STATES.get(event.type, self.state)
        match event.type:
            case "ready":
                self.subtitles = Subtitles(self.srt) if self.srt else None
                model = event.fields["model"]
                where = f"{model['name']} ({model['backend']}) on {model['device']}"
                self._note(f"{where}: listening")
                if model["fallback"]:
                    self._note(model["why"], "yellow")
            case "partial":
                self.partials[event.channel] = event
                self.lags["partial"].append(event.lag_ms)
            case "final":
                self._final(event)
            case "lost":
                self._note(f"the connection is lost ({event.message}); audio is kept", "yellow")
            case "resumed":
                self._note("connected again: nothing is lost")
            case "restarted":
                self._note("the server was started anew: going on after the last final", "yellow")
            case "warning" | "error":
                self._note(event.message, "yellow")

    def _final(self, event: Event) -> None:
        self.partials.pop(event.channel, None)
        if not event.text:
            return
        self.lags["final"].append(event.lag_ms)
        if self.subtitles is not None:
            self.subtitles.add(event)
        if self.screen.is_terminal:
            self.screen.print(_with_lag(Text(_plain(event.text)), event.lag_ms))
        else:
            sys.stdout.write(_plain(event.text) + "\n")
            sys.stdout.flush()

    def _shown(self) -> RenderableType:
        """What is below the finals: it is made anew for each refresh. Where the terminal is too
        low for all of it, the latest words."""
        below = Group(*(_partial(event) for event in self.partials.values()), self._status())
        lines = self.screen.render_lines(below, pad=False)[1 - self.screen.height :]
        return Segments(part for line in lines for part in (*line, Segment.line()))

    def _status(self) -> Text:
        state, style = self.state
        minutes, seconds = divmod(int(time.monotonic() - self.began), 60)
        line = Text("● ", style=style).append(state).append(f"  {minutes:02}:{seconds:02}", SOFT)
        return line.append(f"  {self._lags()}", SOFT)

    def _lags(self) -> str:
        lags = (f"{kind} {statistics.median(v):.0f} ms" for kind, v in self.lags.items() if v)
        return ", ".join(lags)

    def _note(self, text: str, style: str = SOFT) -> None:
        """On standard error, above the captions if that is the same terminal."""
        console = self.screen if self.screen.is_terminal else self.notes
        console.print(Text(_plain(text), style=style), soft_wrap=True)


def _plain(text: str) -> str:
    """Without what would steer a terminal."""
    return CONTROLS.sub(" ", text)


def _partial(event: Event) -> Text:
    shown = Text(_plain(event.stable))
    shown.append(_plain(event.text[len(event.stable) :]), style=SOFT)
    return _with_lag(shown, event.lag_ms)


def _with_lag(text: Text, lag_ms: float) -> Text:
    return text.append(f"  {lag_ms:.0f} ms", style="dim cyan")


class Subtitles:
    """An SRT file that is complete after each final: it is only ever added to."""

    def __init__(self, path: Path) -> None:
        self.file = path.open("w", encoding="utf-8")
        self.cues: list[Cue] = []
        self.written = 0

    def add(self, final: Event) -> None:
        """A final with the times of its words, later than those before."""
        self.cues += cues_of([Spoken(final.channel, _words(final))])
        whole = subtitles(self.cues, "srt", lambda cue: "")
        self.file.write(whole[self.written :])
        self.file.flush()
        self.written = len(whole)


def _words(final: Event) -> tuple[Word, ...]:
    """As subtitles are made of them; whether there is a space before a word, the text says."""
    found, at = [], 0
    for word in final.words:
        spaced = not final.text.startswith(word.text, at)
        start, end = samples(1000 * (word.start or 0)), samples(1000 * (word.end or 0))
        found.append(Word(word.text, start, end, word.confidence or 0, spaced=spaced))
        at = max(at, final.text.find(word.text, at)) + len(word.text)
    return tuple(found)
