"""One room as plain lines, for programs that drive this client.

In: `send ID TEXT`, `json ID TEXT` with a text in JSON, `token TOKEN`. Out: `ready` once,
`event SEQ USER TEXT` for every message of the room from its first on, `sent ID SEQ`,
`failed ID REASON`, `restored` when the room starts over, `token` when another token is
wanted. At the end of the input it waits for all answers, and for all events up to the
highest seq among them.
"""

import asyncio
import json
import os

import standard_input
from outbox import Refused
from session import Session, Update
from stubs import pb


class Lines:
    def __init__(self) -> None:
        self._room_id = os.environ["PARLANCE_ROOM"]
        self._session = Session(
            os.environ["PARLANCE_SERVER"],
            os.environ["PARLANCE_TOKEN"],
            self._take,
            cursors=[pb.Cursor(room_id=self._room_id, seq=0, epoch=0)],
            fresh_token=self._ask_for_token,
        )
        self._tokens: asyncio.Queue[str] = asyncio.Queue()
        self._ready = False
        self._printed = 0
        self._highest_sent = 0
        self._progress = asyncio.Event()

    async def run(self) -> None:
        """Returns after the end of the input; raises `Refused` when the session ends before."""
        await self._session.run_while(self._drive())

    async def _drive(self) -> None:
        sending = []
        async for line in standard_input.lines():
            command, message_id, text = (line.split(" ", 2) + ["", ""])[:3]
            if command == "send":
                sending.append(asyncio.create_task(self._send(message_id, text)))
            elif command == "json":
                sending.append(asyncio.create_task(self._send(message_id, json.loads(text))))
            elif command == "token":
                self._tokens.put_nowait(message_id)
        await asyncio.gather(*sending)
        while self._printed < self._highest_sent:
            self._progress.clear()
            await self._progress.wait()

    async def _ask_for_token(self) -> str:
        print("token")
        return await self._tokens.get()

    async def _send(self, message_id: str, text: str) -> None:
        try:
            response = await self._session.send(self._room_id, text, message_id)
        except Refused as refused:
            print("failed", message_id, refused.reason)
            return
        self._highest_sent = max(self._highest_sent, response.seq)
        print("sent", message_id, response.seq)

    async def _take(self, update: Update) -> None:
        match update:
            case pb.Welcome() if not self._ready:
                self._ready = True
                print("ready")
            case pb.Event(room_id=self._room_id):
                if update.HasField("message"):
                    print("event", update.seq, update.actor_id, update.message.text)
                self._printed = update.seq
            case pb.Gap(room_id=self._room_id, reason=pb.GAP_REASON_RESTORED):
                print("restored")
                self._printed = self._highest_sent = 0
            case pb.Gap(room_id=self._room_id) if update.to_seq:
                self._printed = update.to_seq
        self._progress.set()
