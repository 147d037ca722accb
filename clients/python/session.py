"""A session that survives its connections."""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Coroutine, Iterable
from dataclasses import dataclass

from connection import Connection, Lost, connect
from outbox import Outbox, Refused, Unanswered, backoff, fail, retry_delay
from rooms import Rooms
from stubs import pb

log = logging.getLogger("parlance")

# Delivery is acknowledged this often at most, in seconds: one mark stands for all before it.
ACKNOWLEDGE_INTERVAL = 2.0

# Gaps of events that are gone, or not one's to see. Others can be paged.
HIDDEN = {pb.GAP_REASON_RETENTION, pb.GAP_REASON_NOT_MEMBER}


@dataclass
class Disconnected:
    """The connection is gone; the next try comes by itself."""

    reason: str
    retry_in: float


# What a session tells its application. A gap is one that cannot be filled, or that lies
# before all that the application has of the room, or that says with GAP_REASON_RESTORED
# that the room starts over.
Update = pb.Welcome | pb.Event | pb.Gap | Disconnected


class Session:
    """Stays connected while `run` runs, and hands every event of a room to `on_update` once
    and in order, whatever happens to the connection.

    `cursors` say what the application has already. Rooms that are not named begin after
    what the user's devices have acknowledged; what lies before is for the application to
    page when it wants to.
    """

    def __init__(
        self,
        server: str,
        token: str,
        on_update: Callable[[Update], Awaitable[None]],
        cursors: Iterable[pb.Cursor] = (),
        device_id: str = "",
    ) -> None:
        self._server = server
        self._token = token
        self._on_update = on_update
        self._device_id = device_id
        self._rooms = Rooms(cursors)
        self._outbox = Outbox()
        self._user_id = ""

    async def send(
        self, room_id: str, text: str, client_message_id: str = "", after_seq: int | None = None
    ) -> pb.SendMessageResponse:
        """Sends a message. Returns once it is durable, however many connections that takes.

        An application that keeps unsent messages over a restart gives their id, and the
        head of the room that it knew before it first sent them.

        Raises `Refused` when the server refuses it for good or the session ends.
        """
        request = pb.SendMessageRequest(
            room_id=room_id, text=text, client_message_id=client_message_id, after_seq=after_seq
        )
        return await self._outbox.send(request)

    async def run(self) -> None:
        """Runs until it is cancelled. Raises `Refused` when connecting again cannot help."""
        failures = 0
        while True:
            try:
                async with connect(self._server) as channel:
                    connection = Connection(channel, self._token)
                    cursors = self._rooms.cursors()
                    welcome = await connection.open(pb.Hello(device_id=self._device_id, cursors=cursors))
                    failures = 0
                    await self._serve(connection, welcome)
            except Refused as refused:
                self._outbox.end(refused)
                raise
            except Lost as lost:
                delay = max(lost.delay, backoff(failures))
                failures += 1
                await self._on_update(Disconnected(str(lost), delay))
                await asyncio.sleep(delay)

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
        self._outbox.reconnected()
        await self._on_update(welcome)
        beside = [
            asyncio.create_task(self._write(connection, welcome.limits)),
            asyncio.create_task(self._acknowledge()),
        ]
        try:
            while frame := await connection.read():
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

    async def _write(self, connection: Connection, limits: pb.Limits) -> None:
        while True:
            frame = await self._outbox.next_frame(self._rooms, limits)
            # What a server that drains does not get goes to the next one.
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
        # Only now: what was not handed over is to come again.
        room.advance(event.seq)

    async def _take_gap(self, connection: Connection, gap: pb.Gap) -> None:
        room = self._rooms[gap.room_id]
        room.epoch = gap.epoch or room.epoch
        if gap.reason == pb.GAP_REASON_RESTORED:
            await self._on_update(gap)
            room.restart(gap)
        if room.cursor is None or gap.reason in HIDDEN:
            await self._skip(gap)
            return
        # Meanwhile nothing is read from the stream, so that what follows the gap comes
        # after it. The server holds it.
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
            room.advance(gap.to_seq)
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
