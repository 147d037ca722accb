#!/usr/bin/env python3
"""One room as plain lines, through the bindings for Python: see `tools/conformance` for what is read and printed."""

import asyncio
import json
import os
import sys
import threading
from typing import NoReturn

import parlance
from parlance import (
    Client,
    ClientError,
    ConnectionState,
    EventBody,
    Gap,
    GapReason,
    Listener,
    Options,
    OutgoingMessage,
    TokenError,
    TokenProvider,
    Transport,
)

PAGE_SIZE = 200
TRANSPORTS = {"grpc": Transport.GRPC, "websocket": Transport.WEB_SOCKET}


class Tokens(TokenProvider):
    """A token until it is rejected, then those that the input gives."""

    def __init__(self, first: str) -> None:
        self._last = first
        self.fresh: asyncio.Queue[str] = asyncio.Queue()

    async def token(self, rejected: bool) -> str:
        if rejected:
            print("token", flush=True)
            self._last = await self.fresh.get()
        return self._last


class Updates(Listener):
    """Passes what the client reports to the event loop, in order."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self.queue: asyncio.Queue = asyncio.Queue()

    def _put(self, update: object) -> None:
        self._loop.call_soon_threadsafe(self.queue.put_nowait, update)

    def on_event(self, event: parlance.Event) -> None:
        self._put(event)

    def on_gap(self, gap: Gap) -> None:
        self._put(gap)

    def on_connection(self, state: ConnectionState) -> None:
        self._put(state)

    def on_signal(self, signal: parlance.Signal) -> None:
        pass

    def on_command(self, update: parlance.CommandUpdate) -> None:
        pass

    def on_storage(self, error: str | None) -> None:
        pass


class Lines:
    def __init__(self, room: str, client: Client, updates: asyncio.Queue) -> None:
        self.room, self.client, self.updates = room, client, updates
        self.printed = self.own = 0
        self.progress = asyncio.Condition()

    async def print_all(self) -> None:
        ready = False
        while True:
            update = await self.updates.get()
            if isinstance(update, ConnectionState.ONLINE) and not ready:
                ready = True
                print("ready", flush=True)
            elif isinstance(update, ConnectionState.ENDED):
                sys.exit(update.error)
            elif isinstance(update, parlance.Event) and update.room_id == self.room:
                await self.print(update)
            elif isinstance(update, Gap) and update.room_id == self.room:
                await self.page(update)

    async def print(self, event: parlance.Event) -> None:
        if isinstance(event.body, EventBody.MESSAGE):
            print("event", event.seq, event.actor_id, event.body.text, flush=True)
        await self.reached(event.seq)

    async def reached(self, seq: int) -> None:
        async with self.progress:
            self.printed = seq
            self.progress.notify_all()

    async def page(self, gap: Gap) -> None:
        if gap.reason == GapReason.RESTORED:
            print("restored", flush=True)
            self.printed = self.own = 0
        start = gap.from_seq
        # Without an end there is nothing to read for now.
        while 0 < start <= gap.to_seq:
            page = await self.client.list_events(self.room, start, gap.to_seq, PAGE_SIZE)
            for event in page.events:
                await self.print(event)
            start = page.next_from_seq
        if gap.to_seq:
            await self.reached(gap.to_seq)

    async def talk(self, lines: asyncio.Queue, tokens: asyncio.Queue) -> None:
        sending = set()
        while line := await lines.get():
            command, _, rest = line.partition(" ")
            message_id, _, text = rest.partition(" ")
            if command == "token":
                tokens.put_nowait(message_id)
                continue
            if command == "json":
                text = json.loads(text)
            task = asyncio.create_task(self.send(message_id, text))
            sending.add(task)
            task.add_done_callback(sending.discard)
        await asyncio.gather(*sending)
        async with self.progress:
            await self.progress.wait_for(lambda: self.printed >= self.own)

    async def send(self, message_id: str, text: str) -> None:
        try:
            text.encode()
        except UnicodeEncodeError:
            print("failed", message_id, "malformed_text", flush=True)
            return
        message = OutgoingMessage(room_id=self.room, text=text, client_message_id=message_id)
        try:
            sent = await self.client.send_message(message)
        except ClientError.Rejected as rejected:
            print("failed", message_id, rejected.reason, flush=True)
            return
        self.own = max(self.own, sent.seq)
        print("sent", message_id, sent.seq, flush=True)


def read(lines: asyncio.Queue, loop: asyncio.AbstractEventLoop) -> None:
    for line in sys.stdin:
        loop.call_soon_threadsafe(lines.put_nowait, line.rstrip("\n"))
    loop.call_soon_threadsafe(lines.put_nowait, None)


async def main() -> None:
    loop = asyncio.get_running_loop()
    # Tokens are asked for by threads of the client, which have no loop of their own.
    parlance.uniffi_set_event_loop(loop)
    tokens, updates = Tokens(os.environ["PARLANCE_TOKEN"]), Updates(loop)
    options = Options(
        server=os.environ["PARLANCE_SERVER"],
        transport=TRANSPORTS[os.environ.get("PARLANCE_TRANSPORT", "websocket")],
        # Several clients of a test have the same environment.
        database=f"{os.environ['PARLANCE_DATABASE']}.{os.getpid()}" if "PARLANCE_DATABASE" in os.environ else None,
    )
    client = Client(options, tokens, updates)
    lines: asyncio.Queue = asyncio.Queue()
    threading.Thread(target=read, args=(lines, loop), daemon=True).start()
    chat = Lines(os.environ["PARLANCE_ROOM"], client, updates.queue)
    printing = asyncio.create_task(chat.print_all())
    talking = asyncio.create_task(chat.talk(lines, tokens.fresh))
    done, _ = await asyncio.wait({printing, talking}, return_when=asyncio.FIRST_COMPLETED)
    for task in done:
        task.result()
    printing.cancel()
    await client.shut_down()


def end(status: int) -> NoReturn:
    """Ends without waiting for threads of the client that are about to return from a call into Python: until Python 3.14
    the interpreter ends such threads while it shuts down, which aborts the process."""
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(status)


if __name__ == "__main__":
    try:
        asyncio.run(main())
    except SystemExit as ended:
        print(ended, file=sys.stderr)
        end(1)
    end(0)
