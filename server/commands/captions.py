"""Live captions in a terminal: what may still change in grey, below what stays."""

import statistics
import sys
from collections import deque
from typing import Any

from rich.console import Console
from rich.live import Live
from rich.text import Text

LAGS_MAX = 5000  # the summary is of the latest so many


class Captions:
    """Use as a context. Where standard output is no terminal it gets the finals alone."""

    def __init__(self) -> None:
        self.screen = Console(highlight=False)
        self.notes = Console(stderr=True, highlight=False)
        self.live = Live(console=self.screen, transient=True, refresh_per_second=15)
        self.lags: dict[str, deque[float]] = {
            "partial": deque(maxlen=LAGS_MAX),
            "final": deque(maxlen=LAGS_MAX),
        }

    def __enter__(self) -> "Captions":
        if self.screen.is_terminal:
            self.live.start()
        return self

    def __exit__(self, *exc: object) -> None:
        self.live.stop()

    def partial(self, event: dict[str, Any]) -> None:
        self.lags["partial"].append(event["lag_ms"])
        text, stable = event["text"], event["stable"]
        shown = Text(stable)
        shown.append(text[len(stable) :], style="bright_black")
        self.live.update(_with_lag(shown, event["lag_ms"]))

    def final(self, event: dict[str, Any]) -> None:
        self.live.update("", refresh=True)
        if not event["text"]:
            return
        self.lags["final"].append(event["lag_ms"])
        if self.screen.is_terminal:
            self.screen.print(_with_lag(Text(event["text"]), event["lag_ms"]))
        else:
            sys.stdout.write(event["text"] + "\n")
            sys.stdout.flush()

    def note(self, text: str, style: str = "bright_black") -> None:
        """On standard error, above the captions if that is the same terminal."""
        console = self.screen if self.screen.is_terminal else self.notes
        console.print(Text(text, style=style), soft_wrap=True)

    def summary(self) -> None:
        lags = [f"{k} {statistics.median(v):.0f} ms" for k, v in self.lags.items() if v]
        if lags and self.screen.is_terminal:
            self.note(f"median lag: {', '.join(lags)}")


def _with_lag(text: Text, lag_ms: float) -> Text:
    return text.append(f"  {lag_ms:.0f} ms", style="dim cyan")
