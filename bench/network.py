"""A network that fails: a TCP relay that can be cut, or go silent with its connections open."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import httpx

BLOCK_BYTES = 1 << 16


class Network:
    """Made by `network`. `url` is the server's, through it."""

    def __init__(self, host: str, port: int) -> None:
        self.host = host
        self.port = port
        self.url = ""
        self.writers: set[asyncio.StreamWriter] = set()
        self.tasks: set[asyncio.Task[None]] = set()
        self.accepted = 0
        self.down = False  # who connects is hung up on
        self.silent: set[str] = set()  # directions in which nothing arrives: "up", "down"

    def cut(self, *, down: bool = False) -> None:
        """Reset all connections; `down`: and those to come, until `up`."""
        self.down = down
        for writer in self.writers:
            writer.transport.abort()

    def restore(self) -> None:
        self.down = False
        self.silent.clear()

    async def accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.accepted += 1
        task = asyncio.current_task()
        assert task is not None
        self.tasks.add(task)
        task.add_done_callback(self.tasks.discard)
        if self.down:
            writer.transport.abort()
            return
        to_reader, to_writer = await asyncio.open_connection(self.host, self.port)
        self.writers |= {writer, to_writer}
        muted: set[str] = set()  # what was lost once does not come later on the same connection
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(self.relay("up", reader, to_writer, muted))
                group.create_task(self.relay("down", to_reader, writer, muted))
        finally:
            for end in (writer, to_writer):
                end.transport.abort()
            self.writers -= {writer, to_writer}

    async def relay(
        self,
        way: str,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
        muted: set[str],
    ) -> None:
        try:
            while data := await reader.read(BLOCK_BYTES):
                muted |= self.silent
                if way not in muted:
                    writer.write(data)
                    await writer.drain()
        except ConnectionError:
            writer.transport.abort()
        if way not in muted:
            writer.close()


@asynccontextmanager
async def network(url: str) -> AsyncIterator[Network]:
    address = httpx.URL(url)
    assert address.port is not None
    found = Network(address.host, address.port)
    server = await asyncio.start_server(found.accept, "127.0.0.1", 0)
    found.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    try:
        yield found
    finally:
        server.close()
        found.cut()
        await asyncio.gather(*found.tasks)
