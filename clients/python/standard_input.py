"""Standard input, line by line, without holding up the event loop."""

import asyncio
import os
import threading
from collections.abc import AsyncIterator
from contextlib import suppress


async def lines() -> AsyncIterator[str]:
    """The lines of standard input, without their ends."""
    loop = asyncio.get_running_loop()
    # One at a time: unread input waits in the pipe.
    queue: asyncio.Queue[str | None] = asyncio.Queue(1)

    def hand_over(line: str | None) -> None:
        asyncio.run_coroutine_threadsafe(queue.put(line), loop).result()

    def read() -> None:
        rest = b""
        # The loop may end while this waits for input or for its reader.
        with suppress(RuntimeError, asyncio.CancelledError):
            while chunk := os.read(0, 65_536):
                *complete, rest = (rest + chunk).split(b"\n")
                for line in complete:
                    hand_over(line.decode(errors="replace"))
            if rest:
                hand_over(rest.decode(errors="replace"))
            hand_over(None)

    # A separate thread, because not every kind of standard input supports asynchronous
    # reads; not one of the loop's, since the program may end during a read.
    threading.Thread(target=read, daemon=True).start()
    while (line := await queue.get()) is not None:
        yield line
