"""A device of the torch backend in a process of its own, for `batch.backends.torch_apart`.

    python -P -m batch.backends.torch_child DESCRIPTOR

First comes a Recipe, and is answered when the model is loaded; then numbered tasks and questions,
which are answered in any order, as many at once as there are. Ends with its parent, and when its
device is lost.
"""

import logging
import threading
from concurrent.futures import Future
from functools import partial
from queue import SimpleQueue
from socket import SHUT_RDWR
from typing import Any

from batch.backends.child import served
from batch.backends.torch_device import READY, Failure, Outcome, Question
from batch.backends.torch_runner import Runner
from batch.backends.wire import Tasks, Wire

Done = tuple[int, "Future[Any]"]


def serve(wire: Wire) -> None:
    """Until the other side is gone."""
    try:
        runner = wire.receive().make()
    except Exception as error:
        wire.send(Failure(str(error)))
        return
    wire.send(READY)
    done: SimpleQueue[Done] = SimpleQueue()
    threading.Thread(target=_tell, args=(wire, runner, done), daemon=True).start()
    try:
        while True:
            told: Question | Tasks = wire.receive()
            if isinstance(told, Question):
                threading.Thread(target=_ask, args=(runner, told, done), daemon=True).start()
                continue
            answers = runner.submit(wire.receive_audio(told))
            for number, answer in zip(told.numbers, answers, strict=True):
                answer.add_done_callback(partial(_put, done, number))
    finally:
        runner.close()


def _put(done: SimpleQueue[Done], number: int, answer: "Future[Any]") -> None:
    done.put((number, answer))


def _ask(runner: Runner, question: Question, done: SimpleQueue[Done]) -> None:
    answer: Future[Any] = Future()
    try:
        answer.set_result(runner.ask(question.path, *question.given))
    except Exception as error:
        answer.set_exception(error)
    done.put((question.number, answer))


def _tell(wire: Wire, runner: Runner, done: SimpleQueue[Done]) -> None:
    while True:
        outcomes = [_outcome(*done.get())]
        while not done.empty():
            outcomes.append(_outcome(*done.get()))
        try:
            wire.send(outcomes)
        except OSError:  # the parent is gone, as whoever receives will see
            return
        if runner.is_lost and not runner.load:
            wire.socket.shutdown(SHUT_RDWR)


def _outcome(number: int, answer: "Future[Any]") -> Outcome:
    error = answer.exception()
    if error is None:
        return number, answer.result()
    return number, Failure(f"{type(error).__name__}: {error}")


def main() -> None:
    logging.basicConfig(level=logging.INFO, format="%(levelname)s %(name)s: %(message)s")
    served(serve)


if __name__ == "__main__":
    main()
