"""Messages that the server has not answered yet."""

import asyncio
import random
import secrets
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass

import grpc

from rooms import Rooms
from stubs import pb

# Maximum number of unanswered messages; further senders wait.
MAX_UNANSWERED = 256

FIRST_DELAY = 0.25
LONGEST_DELAY = 20.0

UNAUTHENTICATED = grpc.StatusCode.UNAUTHENTICATED.value[0]
UNAVAILABLE = grpc.StatusCode.UNAVAILABLE.value[0]
RESOURCE_EXHAUSTED = grpc.StatusCode.RESOURCE_EXHAUSTED.value[0]
DEADLINE_EXCEEDED = grpc.StatusCode.DEADLINE_EXCEEDED.value[0]


class Refused(Exception):
    """The server's final no. `reason` is one of docs/errors.md."""

    def __init__(self, reason: str, message: str) -> None:
        super().__init__(f"{reason}: {message}")
        self.reason = reason


def backoff(attempt: int) -> float:
    """Seconds before try number `attempt` (from 0) after a failure: doubling, with jitter."""
    return min(FIRST_DELAY * 2 ** min(attempt, 16), LONGEST_DELAY) * random.uniform(0.5, 1)


def retry_delay(error: pb.Error, refusals: int) -> float | None:
    """Seconds to wait before the same request again; None where the refusal is final."""
    # May last for hours: the writer is told instead of keeping later messages waiting.
    if error.reason == "slow_mode":
        return None
    asked = error.retry_delay.ToTimedelta().total_seconds() if error.HasField("retry_delay") else None
    if error.code in (UNAVAILABLE, DEADLINE_EXCEEDED):
        return backoff(refusals) if asked is None else asked
    # Slightly later than asked, so that clients do not retry simultaneously. A limit
    # without a delay does not go away by waiting.
    if error.code == RESOURCE_EXHAUSTED and asked is not None:
        return asked * random.uniform(1, 1.125)
    return None


@dataclass(eq=False)
class Unanswered:
    """A message on its way."""

    request: pb.SendMessageRequest
    answer: asyncio.Future[pb.SendMessageResponse]
    # Was sent at least once: id and after_seq are fixed from then on.
    tried: bool = False
    # Was sent on this connection, after waiting for it for this many seconds.
    sent: bool = False
    sent_at: float = 0.0
    refusals: int = 0
    # Not to be sent before this time of the event loop.
    due: float = 0.0


class Outbox:
    def __init__(self) -> None:
        # By the request_id of their frames, in order of creation.
        self._messages: dict[str, Unanswered] = {}
        # Frames whose answers are ignored.
        self._beside: deque[pb.ClientFrame] = deque()
        self._waited: Callable[[], float] = lambda: 0.0
        self._room_for_more = asyncio.Semaphore(MAX_UNANSWERED)
        self._changed = asyncio.Event()
        self._next_key = 0
        self._ended: Exception | None = None
        # Two sessions of a user must not generate the same ids.
        self._prefix = secrets.token_hex(12)

    async def send(self, request: pb.SendMessageRequest) -> pb.SendMessageResponse:
        """Returns once the message is answered, on whichever connection that is."""
        async with self._room_for_more:
            if self._ended:
                raise self._ended
            key = str(self._next_key)
            self._next_key += 1
            request.client_message_id = request.client_message_id or f"{self._prefix}-{key}"
            message = Unanswered(request, asyncio.get_running_loop().create_future())
            self._messages[key] = message
            self._changed.set()
            try:
                return await message.answer
            finally:
                # Also if the caller gives up.
                del self._messages[key]
                self._changed.set()

    def acknowledge(self, room_id: str, seq: int) -> None:
        """Acknowledges delivery; nobody waits for the answer."""
        request = pb.AcknowledgeDeliveryRequest(room_id=room_id, seq=seq)
        self._beside.append(pb.ClientFrame(acknowledge_delivery=request))
        self._changed.set()

    def probe(self) -> None:
        """Asks something small, so that the server has something to say."""
        self._beside.append(pb.ClientFrame(request_id="probe", get_user=pb.GetUserRequest(user_id="me")))
        self._changed.set()

    def reconnected(self, waited: Callable[[], float]) -> None:
        """On a new connection everything unanswered goes out again, in order. `waited` gives
        the seconds that were spent waiting for the server on it."""
        for message in self._messages.values():
            message.sent = False
        self._beside.clear()
        self._waited = waited

    @property
    def longest_wait(self) -> float:
        """Seconds for which the oldest message on this connection has not been answered."""
        oldest = next((message for message in self._messages.values() if message.sent), None)
        return self._waited() - oldest.sent_at if oldest else 0.0

    async def next_frame(self, rooms: Rooms, limits: pb.Limits) -> pb.ClientFrame:
        """Waits for the next frame to send on this connection."""
        while True:
            if self._beside:
                return self._beside.popleft()
            now = asyncio.get_running_loop().time()
            waiting = [(key, message) for key, message in self._messages.items() if not message.sent]
            under_way = len(self._messages) - len(waiting)
            ready = next(((key, message) for key, message in waiting if message.due <= now), None)
            if ready and under_way < (limits.max_in_flight or MAX_UNANSWERED):
                frame = self._frame(*ready, rooms)
                # The server would close the stream because of it, and so would the next
                # one.
                if limits.max_frame_bytes and frame.ByteSize() > limits.max_frame_bytes:
                    fail(ready[1], Refused("frame_too_large", f"more than {limits.max_frame_bytes} bytes"))
                    continue
                return frame
            self._changed.clear()
            due = min((message.due for _, message in waiting if message.due > now), default=None)
            with suppress(TimeoutError):
                async with asyncio.timeout_at(due):
                    await self._changed.wait()

    def _frame(self, key: str, message: Unanswered, rooms: Rooms) -> pb.ClientFrame:
        request = message.request
        # The highest head known before the first attempt: with it the server recognises
        # a repeat at any time.
        if not message.tried and not request.HasField("after_seq") and rooms[request.room_id].head:
            request.after_seq = rooms[request.room_id].head
        message.tried = message.sent = True
        message.sent_at = self._waited()
        return pb.ClientFrame(request_id=key, send_message=request)

    def unanswered(self, key: str) -> Unanswered | None:
        return self._messages.get(key)

    def again(self, message: Unanswered, delay: float) -> None:
        """Sends a message again, with the same id, after `delay` seconds."""
        message.sent = False
        message.refusals += 1
        message.due = asyncio.get_running_loop().time() + delay
        self._changed.set()

    def end(self, error: Exception) -> None:
        """The session is over: nothing will be answered."""
        self._ended = error
        for message in self._messages.values():
            fail(message, error)


def fail(message: Unanswered, error: Exception) -> None:
    if not message.answer.done():
        message.answer.set_exception(error)
