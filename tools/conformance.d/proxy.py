"""A client's way to the server, which can be broken in all the ways there are."""

import asyncio
import contextlib
import time
from collections.abc import Callable

from protocols import SUBSCRIBE, Http1, HttpAnswer, answers_of_server

# How a client's connection is handled.
PASS, REFUSE, MUTE, HANG_UP = "pass", "refuse", "mute", "hang up"


class Sequence:
    """What happens to new connections, one thing after the other; then they pass. Those that are
    opened right after each other share it: some look for the reason of a refusal with another
    request."""

    def __init__(self, *steps: str | int) -> None:
        self._steps = list(steps)
        self._step: str | int = PASS
        self._since = 0.0

    def __call__(self) -> str | int:
        if time.monotonic() - self._since > 0.1:
            self._step = self._steps.pop(0) if self._steps else PASS
            self._since = time.monotonic()
        return self._step


class Link:
    """One connection of a client, and the one to the server that belongs to it."""

    def __init__(self, client: asyncio.StreamWriter, server: asyncio.StreamWriter | None) -> None:
        self.client, self.server = client, server
        # Whether requests are silently dropped from now on.
        self.drops_requests = False
        # None: nothing; "all"; "data": everything but pings and the like.
        self.drops_answers: str | None = None
        # Neither side notices that the other has closed.
        self.is_frozen = False

    def abort(self) -> None:
        for writer in (self.client, self.server):
            if writer:
                writer.transport.abort()


class Proxy:
    """`swallow_…`, `silence`, `freeze` and `cut` concern the connections of now; `next` says what
    happens to new ones: PASS, REFUSE, MUTE (accepted, and never answered), HANG_UP (closed as
    soon as the welcome has passed), or an HTTP status to answer with."""

    def __init__(self, address_of_server: Callable[[], str]) -> None:
        self._address_of_server = address_of_server
        self._links: list[Link] = []
        self.next: Callable[[], str | int] = lambda: PASS
        # When connections were opened, whatever their result, and when a welcome passed.
        self.opened: list[float] = []
        self.welcomed: list[float] = []

    async def start(self) -> str:
        self._listener = await asyncio.start_server(self._connected, "127.0.0.1", 0)
        return "{}:{}".format(*self._listener.sockets[0].getsockname())

    def swallow_answers(self) -> None:
        for link in self._links:
            link.drops_answers = "all"

    def swallow_requests(self) -> None:
        for link in self._links:
            link.drops_requests = True

    def freeze(self) -> None:
        """Nothing passes, in either direction, and nothing is closed."""
        self.swallow_answers()
        self.swallow_requests()
        for link in self._links:
            link.is_frozen = True

    def silence(self) -> None:
        """Requests arrive and pings are answered; nothing else comes back."""
        for link in self._links:
            link.drops_answers = "data"

    def cut(self, refuse: bool = False) -> None:
        """Cuts what is open; with `refuse` nothing new is opened either, until `let`."""
        if refuse:
            self.next = lambda: REFUSE
        for link in self._links:
            link.abort()

    def let(self) -> None:
        self.next = lambda: PASS

    async def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.opened.append(time.monotonic())
        what = self.next()
        with contextlib.suppress(OSError):
            if what == REFUSE:
                writer.transport.abort()
            elif what == MUTE:
                link = Link(writer, None)
                self._links.append(link)
                while await reader.read(65_536):
                    pass
                self._links.remove(link)
            elif isinstance(what, int):
                await self._answer(what, reader, writer)
            else:
                await self._pass_on(reader, writer, what == HANG_UP)
        writer.close()

    async def _answer(self, status: int, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        answer = HttpAnswer(status)
        while data := await reader.read(65_536):
            writer.write(answer.feed(data))
            await writer.drain()

    async def _pass_on(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, hang_up: bool) -> None:
        host, port = self._address_of_server().split(":")
        try:
            from_server, to_server = await asyncio.open_connection(host, port)
        except OSError:
            writer.transport.abort()
            return
        link = Link(writer, to_server)
        self._links.append(link)
        try:
            if first := await reader.read(65_536):
                parser = answers_of_server(first)
                await asyncio.gather(
                    self._requests(link, parser, first, reader), self._answers(link, parser, from_server, hang_up)
                )
        finally:
            to_server.close()
            self._links.remove(link)

    async def _requests(self, link: Link, parser: object, data: bytes, reader: asyncio.StreamReader) -> None:
        with contextlib.suppress(OSError):
            while data:
                if isinstance(parser, Http1) and SUBSCRIBE in data:
                    parser.subscribed = True
                if not link.drops_requests:
                    link.server.write(data)
                    await link.server.drain()
                data = await reader.read(65_536)
        if not link.is_frozen:
            link.server.close()

    async def _answers(self, link: Link, parser: object, from_server: asyncio.StreamReader, hang_up: bool) -> None:
        is_welcomed = False
        with contextlib.suppress(OSError):
            while data := await from_server.read(65_536):
                for frame, kind in parser.feed(data):
                    passes_pings = link.drops_answers == "data" and kind == "control"
                    if link.drops_answers and not passes_pings:
                        continue
                    link.client.write(frame)
                    if kind == "data" and not is_welcomed:
                        is_welcomed = True
                        self.welcomed.append(time.monotonic())
                    if is_welcomed and hang_up:
                        await link.client.drain()
                        return link.client.close()
                await link.client.drain()
        if not link.is_frozen:
            link.client.close()
