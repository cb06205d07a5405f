"""What a speaker gets from the live socket: every recording at the pace of speech, all at once."""

import asyncio
from collections.abc import Iterator
from itertools import pairwise

import pytest

from tests.conftest import Recording
from tests.wire import FRAME, Client, Event, adds_up, transcribed

WORD = {"text", "start", "end", "confidence", "stable"}
SPOKEN = {"type", "utterance", "channel", "start", "end", "text", "words", "language", "lag_ms"}
FIELDS = {
    "ready": {"type", "session", "protocol", "model", "options", "resume"},
    "speech_started": {"type", "channel", "at"},
    "speech_ended": {"type", "channel", "at"},
    "partial": SPOKEN | {"stable"},
    "final": SPOKEN | {"language_probability", "reason"},
    "done": {"type", "account", "channels"},
}
# What the model takes for the edge of a word is not exactly where the speech was made.
EDGE_SECONDS = 0.35


@pytest.fixture(scope="module")
def spoken(server_url: str, speech: list[Recording]) -> list[tuple[Recording, Client]]:
    """Each recording with what a client of its own heard, in frames of 20 ms at their time."""

    async def all_at_once() -> list[Client]:
        return await asyncio.gather(
            *(transcribed(server_url, r.pcm, interval=0.02) for r in speech)
        )

    return list(zip(speech, asyncio.run(all_at_once()), strict=True))


def utterances(client: Client) -> Iterator[tuple[list[Event], Event]]:
    """The partials of each utterance, and its final."""
    for final in client.of("final"):
        number = final["utterance"]
        yield [p for p in client.of("partial") if p["utterance"] == number], final


def texts(words: list[Event]) -> list[str]:
    return [word["text"] for word in words]


def edges(event: Event) -> list[float]:
    """Where the words begin and end, in their order."""
    return [word[edge] for word in event["words"] for edge in ("start", "end")]


def stable(event: Event) -> list[str]:
    return texts([word for word in event["words"] if word["stable"]])


def test_what_was_said_is_transcribed_exactly(spoken: list[tuple[Recording, Client]]) -> None:
    assert [client.text() for _, client in spoken] == [r.text for r, _ in spoken]


def test_partials_come_before_the_final_of_their_utterance(
    spoken: list[tuple[Recording, Client]],
) -> None:
    counts = [len(partials) for _, client in spoken for partials, _ in utterances(client)]
    assert min(counts) >= 1


def test_no_partial_of_an_utterance_follows_its_final(
    spoken: list[tuple[Recording, Client]],
) -> None:
    for _, client in spoken:
        ended = 0
        for event in client.events:
            if event["type"] == "final":
                ended = event["utterance"]
            if event["type"] == "partial":
                assert event["utterance"] > ended


def test_finals_come_once_each_and_in_order(spoken: list[tuple[Recording, Client]]) -> None:
    for _, client in spoken:
        numbers = [final["utterance"] for final in client.of("final")]
        assert numbers == sorted(set(numbers))


def test_pauses_between_sentences_end_utterances(spoken: list[tuple[Recording, Client]]) -> None:
    (client,) = (client for recording, client in spoken if recording.path.stem == "desk")
    assert [final["text"] for final in client.of("final")] == [
        "Good morning.",
        "I need a new password.",
        "My account number is five six seven eight.",
        "Send the bill to my office.",
    ]
    assert {final["reason"] for final in client.of("final")} == {"silence"}


def test_finals_lie_where_the_speech_was(spoken: list[tuple[Recording, Client]]) -> None:
    (client,) = (client for recording, client in spoken if recording.path.stem == "table")
    starts = [final["start"] for final in client.of("final")]
    assert starts == pytest.approx([0.3, 3.325, 5.475, 8.845], abs=EDGE_SECONDS)
    ends = [final["words"][-1]["end"] for final in client.of("final")]
    assert ends == pytest.approx([2.125, 4.675, 7.845, 10.355], abs=EDGE_SECONDS)


def test_stable_words_never_change_and_the_final_keeps_them(
    spoken: list[tuple[Recording, Client]],
) -> None:
    for _, client in spoken:
        for partials, final in utterances(client):
            for earlier, later in pairwise([*partials, final]):
                kept = stable(earlier)
                assert texts(later["words"])[: len(kept)] == kept
                assert stable(later)[: len(kept)] == kept


def test_some_words_are_stable_before_the_final(spoken: list[tuple[Recording, Client]]) -> None:
    counts = [len(stable(p)) for _, client in spoken for p in client.of("partial")]
    assert max(counts) >= 3


def test_the_stable_text_leads_the_text_and_is_of_the_stable_words(
    spoken: list[tuple[Recording, Client]],
) -> None:
    for _, client in spoken:
        for partial in client.of("partial"):
            assert partial["text"].startswith(partial["stable"])
            assert partial["stable"] == " ".join(stable(partial))
            assert texts(partial["words"])[: len(stable(partial))] == stable(partial)


def test_the_words_make_up_the_text(spoken: list[tuple[Recording, Client]]) -> None:
    for _, client in spoken:
        for event in [*client.of("partial"), *client.of("final")]:
            assert " ".join(texts(event["words"])) == event["text"]


def test_word_times_lie_inside_the_utterance_and_do_not_run_back(
    spoken: list[tuple[Recording, Client]],
) -> None:
    for _, client in spoken:
        for final in client.of("final"):
            times = edges(final)
            assert times == sorted(times), final
            assert final["start"] <= times[0], final
            assert times[-1] <= final["end"], final


def test_word_times_of_partials_lie_in_the_audio_they_were_made_from(
    spoken: list[tuple[Recording, Client]],
) -> None:
    for _, client in spoken:
        for partial in client.of("partial"):
            times = edges(partial)
            assert times == sorted(times), partial
            assert partial["start"] <= times[0], partial
            assert times[-1] <= partial["end"], partial


def test_confidences_are_probabilities(spoken: list[tuple[Recording, Client]]) -> None:
    for _, client in spoken:
        words = [w for event in client.of("final") for w in event["words"]]
        assert all(0 <= word["confidence"] <= 1 for word in words)
        assert all(0 <= final["language_probability"] <= 1 for final in client.of("final"))


def test_the_language_is_detected(spoken: list[tuple[Recording, Client]]) -> None:
    heard = {f["language"] for _, c in spoken for f in [*c.of("partial"), *c.of("final")]}
    assert heard == {"en"}


def test_the_edges_of_speech_are_told_in_turn(spoken: list[tuple[Recording, Client]]) -> None:
    for _, client in spoken:
        told = [e for e in client.events if e["type"].startswith("speech_")]
        pairs = [("speech_started", "speech_ended")] * len(client.of("final"))
        assert [e["type"] for e in told] == [kind for pair in pairs for kind in pair]
        times = [e["at"] for e in told]
        assert times == sorted(times)


def test_messages_have_the_documented_fields_and_no_others(
    spoken: list[tuple[Recording, Client]],
) -> None:
    for _, client in spoken:
        for event in client.events:
            assert event.keys() == FIELDS[event["type"]]
            assert all(word.keys() == WORD for word in event.get("words", []))


def test_ready_comes_first_and_done_last(spoken: list[tuple[Recording, Client]]) -> None:
    for _, client in spoken:
        assert client.kinds[0] == "ready"
        assert client.kinds[-1] == "done"
        assert client.kinds.count("ready") == client.kinds.count("done") == 1


def test_the_account_has_every_sample(spoken: list[tuple[Recording, Client]]) -> None:
    for recording, client in spoken:
        assert adds_up(client, len(recording.pcm) // 2)
        assert client.account["dropped"] == 0
        assert client.account["transcribed"] > 0


def test_text_follows_speech_closely(spoken: list[tuple[Recording, Client]]) -> None:
    # Twelve speakers at once on whatever runs the tests: a loose bound, against lag that grows.
    lags = [e["lag_ms"] for _, c in spoken for e in [*c.of("partial"), *c.of("final")]]
    assert min(lags) >= 0
    assert max(lags) < 3000


def test_a_long_sentence_is_read_while_it_is_spoken(
    spoken: list[tuple[Recording, Client]],
) -> None:
    for _, client in spoken:
        for partials, final in utterances(client):
            ends = [p["end"] for p in partials]
            assert ends == sorted(ends)
            if final["end"] - final["start"] > 1.5:
                assert ends[0] < final["end"] - 0.5


async def test_the_last_word_is_kept_when_the_speaker_stops_at_once(
    server_url: str, speech: list[Recording]
) -> None:
    recording = speech[5]
    ending = 2 * round(16_000 * 2.225)  # where the manifest says that the speech ends
    client = await transcribed(server_url, recording.pcm[:ending], frame=FRAME)
    # Without the silence after it the model does not know that the sentence is over.
    assert client.text().rstrip(".") == recording.text.rstrip(".")
    assert client.of("final")[-1]["reason"] == "stop"
    assert adds_up(client, ending // 2)
