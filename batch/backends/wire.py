"""Between two processes: anything that can be pickled, and tasks, whose audio is sent as it is in a
stream, so that minutes of it are neither packed nor unpacked."""

import pickle
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from socket import SHUT_RDWR, socket
from typing import Any

import numpy as np

from batch.backends.base import Task
from streaming.events import Decode


@dataclass(frozen=True, slots=True)
class Tasks:
    """What is sent before the audio of some tasks: how long each is, and their numbers, if they
    are answered one by one."""

    decodes: Sequence[Decode]
    samples: Sequence[int]
    numbers: Sequence[int]


class Wire:
    """One end of a socket, which is the wire's from now on. Everything raises EOFError or OSError
    where the other side is gone."""

    def __init__(self, end: socket) -> None:
        self.socket = end
        self.file = end.makefile("rwb")

    def send(self, told: object) -> None:
        pickle.dump(told, self.file, pickle.HIGHEST_PROTOCOL)
        self.file.flush()

    def receive(self) -> Any:
        return pickle.load(self.file)

    def send_tasks(self, tasks: Sequence[Task], numbers: Sequence[int] = ()) -> None:
        told = Tasks([t.decode for t in tasks], [t.samples for t in tasks], numbers)
        pickle.dump(told, self.file, pickle.HIGHEST_PROTOCOL)
        for task in tasks:
            self.file.write(task.pcm.data)
        self.file.flush()

    def receive_audio(self, told: Tasks) -> list[Task]:
        """After a Tasks was received."""
        samples = np.empty(sum(told.samples), np.int16)
        if self.file.readinto(samples.data.cast("B")) < samples.nbytes:
            raise EOFError
        parts = np.split(samples, np.cumsum(told.samples)[:-1])
        return [Task(decode, part) for decode, part in zip(told.decodes, parts, strict=True)]

    def shut(self) -> None:
        """Nothing more goes either way; whoever waits here or there sees that."""
        with suppress(OSError):  # the other side has gone already
            self.socket.shutdown(SHUT_RDWR)

    def close(self) -> None:
        with suppress(OSError):  # what is left to be sent
            self.file.close()
        self.socket.close()
