"""One `Chat` stream to the server, and the calls beside it."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress

import grpc

from outbox import UNAUTHENTICATED, Refused, backoff, retry_delay
from stubs import pb, services

# Timeout of the answer to hello, in seconds.
WELCOME_TIMEOUT = 15.0

# Timeout of a page.
PAGE_TIMEOUT = 30.0

# How often a wait for the server is interrupted to check whether to continue waiting.
TICK = 1.0

# Maximum size of a page.
PAGE_SIZE = 200

OPTIONS = [
    # A peer that has vanished is detected within interval plus timeout.
    ("grpc.keepalive_time_ms", 20_000),
    ("grpc.keepalive_timeout_ms", 10_000),
    ("grpc.http2.max_pings_without_data", 0),
    # A page of 200 messages of 16 KiB, plus overhead.
    ("grpc.max_receive_message_length", 32 * 1024 * 1024),
    # Every connection is a new one: retries are decided here.
    ("grpc.use_local_subchannel_pool", 1),
]

# Trailer in which the server sends error details; errors of proxies have none.
ERROR_DETAILS = "grpc-status-details-bin"


class Lost(Exception):
    """The connection ended. Another one is worth a try, after `delay` seconds."""

    def __init__(self, reason: str, delay: float = 0.0) -> None:
        super().__init__(reason)
        self.delay = delay


class Unauthenticated(Refused):
    """The server does not take the token, or no longer."""


@asynccontextmanager
async def connect(server: str) -> AsyncIterator[grpc.aio.Channel]:
    """A channel to host:port, or with TLS to https://host:port."""
    if server.startswith("https://"):
        credentials = grpc.ssl_channel_credentials()
        channel = grpc.aio.secure_channel(server.removeprefix("https://"), credentials, OPTIONS)
    else:
        channel = grpc.aio.insecure_channel(server.removeprefix("http://"), OPTIONS)
    async with channel:
        yield channel


def signed_in(token: str) -> list[tuple[str, str]]:
    """The metadata of every call."""
    return [("authorization", f"Bearer {token}")]


@contextmanager
def failures() -> Iterator[None]:
    """Makes what gRPC raises `Unauthenticated` or `Lost`. Whatever else is refused, by the
    server or by a proxy in front of it, may be taken the next time."""
    try:
        yield
    except grpc.aio.AioRpcError as error:
        name, details = error.code().name.lower(), error.details() or ""
        is_from_server = any(key == ERROR_DETAILS for key, _ in error.trailing_metadata() or ())
        if error.code() == grpc.StatusCode.UNAUTHENTICATED and is_from_server:
            raise Unauthenticated(name, details) from error
        raise Lost(f"{name}: {details}") from error
    except asyncio.CancelledError:
        # A CANCELLED status, as sent by some proxies, is raised as if this task were
        # cancelled.
        task = asyncio.current_task()
        if task and task.cancelling():
            raise
        raise Lost("the stream was cancelled") from None


class Connection:
    def __init__(self, channel: grpc.aio.Channel, token: str) -> None:
        self._chat = services.ChatServiceStub(channel)
        self._metadata = signed_in(token)
        self._stream = self._chat.Chat(metadata=self._metadata)
        # When to leave a draining server, on the clock of the event loop.
        self.leave_at: float | None = None
        # Seconds spent waiting for the server, and their value when the last frame arrived.
        # Time spent in the application is excluded.
        self.waited = 0.0
        self._heard_at = 0.0
        # Shared by several calls of `read`: cancelling a read would end the stream.
        self._reading: asyncio.Task[pb.ServerFrame] | None = None

    @property
    def silence(self) -> float:
        """Seconds that have been waited since something came."""
        return self.waited - self._heard_at

    @property
    def is_to_leave(self) -> bool:
        return self.leave_at is not None and self.leave_at <= asyncio.get_running_loop().time()

    async def open(self, hello: pb.Hello) -> pb.Welcome:
        """Says hello and waits for the welcome."""
        await self.write(pb.ClientFrame(request_id="hello", hello=hello))
        while (frame := await self.read()) is None:
            if self.silence > WELCOME_TIMEOUT:
                raise Lost("no welcome in time")
        if frame.WhichOneof("frame") == "welcome":
            return frame.welcome
        error = frame.reply.error
        if error.code == UNAUTHENTICATED:
            raise Unauthenticated(error.reason, error.message)
        raise Lost(error.message or "the first frame is no welcome", retry_delay(error, 0) or 0.0)

    async def write(self, frame: pb.ClientFrame) -> bool:
        """False once the stream has ended; whoever reads is told why."""
        with suppress(grpc.aio.AioRpcError, asyncio.InvalidStateError):
            await self._stream.write(frame)
            return True
        return False

    async def read(self) -> pb.ServerFrame | None:
        """The next frame; None where none comes for a moment."""
        loop = asyncio.get_running_loop()
        self._reading = self._reading or asyncio.ensure_future(self._stream.read())
        began = loop.time()
        left = TICK if self.leave_at is None else max(0.0, min(TICK, self.leave_at - began))
        done, _ = await asyncio.wait([self._reading], timeout=left)
        self.waited += loop.time() - began
        if not done:
            return None
        try:
            frame = self._take()
        except Lost:
            if self.leave_at is None:
                raise
            # A draining server may end the stream before the announced time.
            raise Lost("the server is draining", self.leave_at - loop.time()) from None
        self._heard_at = self.waited
        return frame

    def _take(self) -> pb.ServerFrame:
        reading, self._reading = self._reading, None
        with failures():
            frame = reading.result()
        if frame is grpc.aio.EOF:
            raise Lost("the server ended the stream")
        return frame

    def close(self) -> None:
        if self._reading:
            # Errors that it raises from now on are irrelevant.
            self._reading.add_done_callback(lambda reading: reading.cancelled() or reading.exception())
            self._reading.cancel()

    async def history(self, room_id: str, from_seq: int, to_seq: int) -> AsyncIterator[pb.Event | pb.Gap]:
        """A part of a room's log, page by page, in its order."""
        refusals = 0
        while 0 < from_seq <= to_seq:
            request = pb.ListEventsRequest(
                room_id=room_id, from_seq=from_seq, to_seq=to_seq, page_size=PAGE_SIZE
            )
            # A refused page is reason enough to reconnect: the server then announces what may
            # be read by that time.
            with failures():
                page = await self._page(request)
            if page is None:
                await asyncio.sleep(backoff(refusals))
                refusals += 1
                continue
            for part in sorted([*page.events, *page.gaps], key=first_seq):
                yield part
            from_seq = page.next_from_seq if page.next_from_seq > from_seq else 0

    async def _page(self, request: pb.ListEventsRequest) -> pb.ListEventsResponse | None:
        """A page; None where it is to be asked for later."""
        try:
            return await self._chat.ListEvents(request, metadata=self._metadata, timeout=PAGE_TIMEOUT)
        except grpc.aio.AioRpcError as error:
            if error.code() == grpc.StatusCode.RESOURCE_EXHAUSTED:
                return None
            raise


def first_seq(part: pb.Event | pb.Gap) -> int:
    return part.seq if isinstance(part, pb.Event) else part.from_seq
