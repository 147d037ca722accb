"""A session that survives its connections."""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Coroutine, Iterable
from contextlib import closing
from dataclasses import dataclass

from connection import Connection, Lost, Unauthenticated, connect
from outbox import Outbox, Refused, Unanswered, backoff, fail, retry_delay
from rooms import Rooms
from stubs import pb

log = logging.getLogger("parlance")

# Minimum interval between acknowledgements, in seconds: one mark covers all before it.
ACKNOWLEDGE_INTERVAL = 2.0

# A connection that lasts this long, in seconds, counts as good.
STABLE = 10.0

# After this many seconds of silence the server is probed; the answer may take as long.
SILENCE = 25.0
PROBE_TIMEOUT = 10.0

# Timeout of any answer. The server allows itself 20 s.
ANSWER_TIMEOUT = 25.0

# Maximum number of consecutively refused fresh tokens, and seconds before the second.
MAX_FRESH_TOKENS = 3
TOKEN_DELAY = 2.0

# Timeout of a fresh token, in seconds.
TOKEN_TIMEOUT = 30.0

# Maximum frame size in bytes, until the server announces it.
MAX_FRAME_BYTES = 128 * 1024

# Gaps of events that are trimmed, or not visible to the user. Others can be paged.
HIDDEN = {pb.GAP_REASON_RETENTION, pb.GAP_REASON_NOT_MEMBER}


@dataclass
class Disconnected:
    """The connection is gone; the next try comes by itself."""

    reason: str
    retry_in: float


# The updates of a session. A gap is one that cannot be filled, or that precedes the
# application's events of the room, or that announces with GAP_REASON_RESTORED that the room
# starts over.
Update = pb.Welcome | pb.Event | pb.Gap | Disconnected


class Session:
    """Stays connected while `run` runs, and hands every event of a room to `on_update` once
    and in order, whatever happens to the connection.

    `cursors` say what the application has already. Rooms that are not named begin after
    what the user's devices have acknowledged; what lies before is for the application to
    page when it wants to.

    `fresh_token` gives another token when the server takes the last one no more. Whether a
    token is over is for the server to say: the clock of this machine may be wrong.
    """

    def __init__(
        self,
        server: str,
        token: str,
        on_update: Callable[[Update], Awaitable[None]],
        cursors: Iterable[pb.Cursor] = (),
        device_id: str = "",
        fresh_token: Callable[[], Awaitable[str]] | None = None,
    ) -> None:
        self._server = server
        self._token = token
        self._on_update = on_update
        self._device_id = device_id
        self._rooms = Rooms(cursors)
        self._outbox = Outbox()
        self._user_id = ""
        self._fresh_token = fresh_token
        self._max_frame_bytes = MAX_FRAME_BYTES

    async def send(
        self, room_id: str, text: str, client_message_id: str = "", after_seq: int | None = None
    ) -> pb.SendMessageResponse:
        """Sends a message. Returns once it is durable, however many connections that takes.

        An application that keeps unsent messages over a restart gives their id, and the
        head of the room that it knew before it first sent them.

        Raises `Refused` when the server refuses it for good or the session ends.
        """
        # An unpaired surrogate is not valid text: it becomes U+FFFD.
        text = text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
        request = pb.SendMessageRequest(
            room_id=room_id, text=text, client_message_id=client_message_id, after_seq=after_seq
        )
        return await self._outbox.send(request)

    def cursor(self, room_id: str) -> pb.Cursor | None:
        """Up to where `on_update` has had a room: to be stored with what it did, and given to the next session as one of
        its `cursors`. Its epoch is how that session notices a room that was restored from a backup meanwhile."""
        return self._rooms.cursor(room_id)

    async def run(self) -> None:
        """Runs until it is cancelled. Raises `Refused` when the server takes neither the
        token nor fresh ones; nothing else ends it."""
        failures = refusals = 0
        loop = asyncio.get_running_loop()
        while True:
            welcomed_at: float | None = None
            try:
                async with connect(self._server) as channel:
                    with closing(Connection(channel, self._token)) as connection:
                        cursors = self._rooms.cursors(self._max_frame_bytes)
                        welcome = await connection.open(pb.Hello(device_id=self._device_id, cursors=cursors))
                        welcomed_at, refusals = loop.time(), 0
                        await self._serve(connection, welcome)
                continue
            except Unauthenticated as refused:
                if self._fresh_token is None or refusals == MAX_FRESH_TOKENS:
                    self._outbox.end(refused)
                    raise
                reason, asked = str(refused), TOKEN_DELAY * 2 ** (refusals - 1) if refusals else 0.0
                refusals += 1
            except Lost as lost:
                reason, asked = str(lost), lost.delay
            # A server that disconnects right after the welcome must not cause constant
            # reconnects.
            if welcomed_at is not None and loop.time() - welcomed_at >= STABLE:
                failures = 0
            delay = max(asked, backoff(failures))
            failures += 1
            await self._on_update(Disconnected(reason, delay))
            await asyncio.sleep(delay)
            if refusals:
                await self._renew_token()

    async def _renew_token(self) -> None:
        """Asks for a fresh token until there is one. The old one is of no use, and that there is
        none for now ends no session."""
        failures = 0
        while True:
            try:
                async with asyncio.timeout(TOKEN_TIMEOUT):
                    self._token = await self._fresh_token()
                return
            except Exception as error:
                log.warning("no fresh token, asking again: %r", error)
            await asyncio.sleep(backoff(failures))
            failures += 1

    async def run_while(self, work: Coroutine[None, None, None]) -> None:
        """Runs until `work` is done. Raises `Refused` when the session ends before."""
        tasks = [asyncio.create_task(self.run()), asyncio.create_task(work)]
        try:
            done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
            for task in done:
                task.result()
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.wait(tasks)

    async def _serve(self, connection: Connection, welcome: pb.Welcome) -> None:
        """Serves a connection until it is lost, or until it is time to leave it."""
        self._user_id = welcome.user_id
        self._rooms.welcomed(welcome)
        self._max_frame_bytes = welcome.limits.max_frame_bytes or MAX_FRAME_BYTES
        self._outbox.reconnected(lambda: connection.waited)
        await self._on_update(welcome)
        beside = [
            asyncio.create_task(self._write(connection, welcome.limits)),
            asyncio.create_task(self._acknowledge()),
        ]
        try:
            while frame := await self._next(connection):
                match frame.WhichOneof("frame"):
                    case "event":
                        await self._take_event(frame.event)
                    case "gap":
                        await self._take_gap(connection, frame.gap)
                    case "reply":
                        await self._take_reply(connection, frame.reply)
                    case "draining" if connection.leave_at is None:
                        wait = frame.draining.reconnect_after.ToTimedelta().total_seconds()
                        connection.leave_at = asyncio.get_running_loop().time() + wait
        finally:
            for task in beside:
                task.cancel()

    async def _next(self, connection: Connection) -> pb.ServerFrame | None:
        """The next frame; None once it is time to leave. A server may have vanished without
        a word, or hang and still answer pings."""
        is_probed = False
        while True:
            frame = await connection.read()
            if connection.silence > SILENCE + PROBE_TIMEOUT or self._outbox.longest_wait > ANSWER_TIMEOUT:
                raise Lost("the server does not answer")
            if frame or connection.is_to_leave:
                return frame
            if connection.silence > SILENCE and not is_probed:
                is_probed = True
                self._outbox.probe()

    async def _write(self, connection: Connection, limits: pb.Limits) -> None:
        while True:
            frame = await self._outbox.next_frame(self._rooms, limits)
            # Frames that a draining server does not get are sent to the next one.
            if connection.leave_at is not None or not await connection.write(frame):
                return

    async def _acknowledge(self) -> None:
        while True:
            await asyncio.sleep(ACKNOWLEDGE_INTERVAL)
            for room_id, seq in self._rooms.to_acknowledge():
                self._outbox.acknowledge(room_id, seq)

    async def _take_event(self, event: pb.Event) -> None:
        room = self._rooms[event.room_id]
        if room.cursor is not None and event.seq <= room.cursor:
            return
        if not room.follows(event.seq):
            log.error("room %s: nothing came between seq %s and %s", event.room_id, room.cursor, event.seq)
        await self._on_update(event)
        # Only now: an event that was not processed has to be delivered again.
        self._rooms.advance(event.room_id, event.seq)

    async def _take_gap(self, connection: Connection, gap: pb.Gap) -> None:
        room = self._rooms[gap.room_id]
        room.epoch = gap.epoch or room.epoch
        if gap.reason == pb.GAP_REASON_RESTORED:
            await self._on_update(gap)
            room.restart(gap)
        if room.cursor is None or gap.reason in HIDDEN:
            await self._skip(gap)
            return
        # Meanwhile the stream is not read, so that events after the gap follow it. The server
        # holds them.
        async for part in connection.history(gap.room_id, max(gap.from_seq, room.cursor + 1), gap.to_seq):
            if isinstance(part, pb.Event):
                await self._take_event(part)
            else:
                await self._skip(part)

    async def _skip(self, gap: pb.Gap) -> None:
        room = self._rooms[gap.room_id]
        if room.cursor is not None and 0 < gap.to_seq <= room.cursor:
            return
        await self._on_update(gap)
        if gap.to_seq:
            self._rooms.advance(gap.room_id, gap.to_seq)
        else:
            room.open_ended = True

    async def _take_reply(self, connection: Connection, reply: pb.Reply) -> None:
        message = self._outbox.unanswered(reply.request_id)
        if message is None:
            return
        match reply.WhichOneof("result"):
            case "send_message":
                self._answer(message, reply.send_message)
            case "error":
                delay = retry_delay(reply.error, message.refusals)
                if delay is not None:
                    self._outbox.again(message, delay)
                elif reply.error.reason == "catch_up_first" and message.request.HasField("after_seq"):
                    await self._look_for(connection, message, int(reply.error.metadata["head_seq"]))
                elif reply.error.reason == "cursor_ahead":
                    # The room was restored from a backup, which cannot contain the message:
                    # the backup is older than the events up to `after_seq`.
                    message.request.after_seq = int(reply.error.metadata["head_seq"])
                    self._outbox.again(message, delay=0)
                else:
                    fail(message, Refused(reply.error.reason, reply.error.message))

    async def _look_for(self, connection: Connection, message: Unanswered, head: int) -> None:
        """Too much has happened since `after_seq` for the server to see whether it has the
        message already: pages the room to find out."""
        request = message.request
        async for part in connection.history(request.room_id, request.after_seq + 1, head):
            mine = isinstance(part, pb.Event) and part.actor_id == self._user_id
            if mine and part.request_id == request.client_message_id:
                response = pb.SendMessageResponse(
                    room_id=part.room_id, seq=part.seq, at=part.at, message_count=part.message_count, is_repeat=True
                )
                self._answer(message, response)
                return
        request.after_seq = max(head, request.after_seq)
        self._outbox.again(message, delay=0)

    def _answer(self, message: Unanswered, response: pb.SendMessageResponse) -> None:
        room = self._rooms[response.room_id]
        room.head = max(room.head, response.seq)
        if not message.answer.done():
            message.answer.set_result(response)
