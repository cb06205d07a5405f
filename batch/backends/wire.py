"""Between two processes: anything that can be pickled, and tasks, whose audio is sent as it is in a
stream, so that minutes of it are neither packed nor unpacked."""

import pickle
from collections.abc import Sequence
from contextlib import suppress
from socket import socket
from typing import Any

import numpy as np

from batch.backends.base import Task


class Wire:
    """One end of a socket, which is the wire's from now on. Everything raises EOFError or OSError
    where the other side is gone."""

    def __init__(self, end: socket) -> None:
        self.socket = end
        self.file = end.makefile("rwb")

    def send(self, told: object) -> None:
        pickle.dump(told, self.file)
        self.file.flush()

    def receive(self) -> Any:
        return pickle.load(self.file)

    def send_tasks(self, tasks: Sequence[Task]) -> None:
        pickle.dump([(task.decode, task.samples) for task in tasks], self.file)
        for task in tasks:
            self.file.write(task.pcm.data)
        self.file.flush()

    def receive_tasks(self) -> list[Task]:
        asked = self.receive()
        samples = np.empty(sum(length for _, length in asked), np.int16)
        if self.file.readinto(samples.data.cast("B")) < samples.nbytes:
            raise EOFError
        ends = np.cumsum([length for _, length in asked])
        parts = np.split(samples, ends[:-1])
        return [Task(decode, part) for (decode, _), part in zip(asked, parts, strict=True)]

    def close(self) -> None:
        with suppress(OSError):  # what is left to be sent
            self.file.close()
        self.socket.close()
