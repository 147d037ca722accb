"""What the tests run against: a server, a proxy that breaks connections, and people."""

import asyncio
import os
import re
import sys
from collections.abc import Callable
from pathlib import Path

CHAT = Path(__file__).parent / "chat.py"

# Nothing here takes nearly as long, unless something is wrong.
DEADLINE = 60.0


class Server:
    """A server of one's own, which can be killed and started again."""

    def __init__(self, data_dir: str) -> None:
        self._program = os.environ["PARLANCE_BIN"]
        self._data_dir = data_dir
        self._addresses = {"open": "127.0.0.1:0", "admin": "127.0.0.1:0"}

    @property
    def address(self) -> str:
        return self._addresses["open"]

    async def start(self) -> None:
        options = ["--listen", self._addresses["open"], "--admin-listen", self._addresses["admin"]]
        options += ["--data-dir", self._data_dir, "--user-rate", "0", "--drain-seconds", "2", "--log", "warn"]
        self._process = await asyncio.create_subprocess_exec(
            self._program, "serve", *options, stdout=asyncio.subprocess.PIPE
        )
        async with asyncio.timeout(DEADLINE):
            async for line in self._process.stdout:
                if found := re.match(r"\s+(open|admin)\s+http://([\d.:]+)/", line.decode()):
                    self._addresses[found[1]] = found[2]
                    if found[1] == "admin":
                        return
        raise AssertionError("the server did not start")

    async def kill(self) -> None:
        self._process.kill()
        await self._process.wait()

    async def kill_if_running(self) -> None:
        if self._process.returncode is None:
            await self.kill()

    async def drain(self) -> None:
        self._process.terminate()
        async with asyncio.timeout(DEADLINE):
            await self._process.wait()


class Proxy:
    """Stands before the server until it cuts all connections."""

    def __init__(self, server: Server) -> None:
        self._server = server
        self._to_clients: set[asyncio.StreamWriter] = set()
        self._to_server: set[asyncio.StreamWriter] = set()
        # To clients that hear nothing more.
        self._deaf: set[asyncio.StreamWriter] = set()

    async def start(self) -> str:
        self._listener = await asyncio.start_server(self._connected, "127.0.0.1", 0)
        return "{}:{}".format(*self._listener.sockets[0].getsockname())

    def swallow_answers(self) -> None:
        """Nothing comes back from the server any more on the connections of now."""
        self._deaf |= self._to_clients

    def cut(self) -> int:
        """Cuts all connections; how many there were."""
        cut = len(self._to_clients)
        for writer in self._to_clients | self._to_server:
            writer.transport.abort()
        return cut

    def close(self) -> None:
        self.cut()
        self._listener.close()

    async def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            host, port = self._server.address.split(":")
            server_reader, server_writer = await asyncio.open_connection(host, port)
        except OSError:
            writer.transport.abort()
            return
        self._to_clients.add(writer)
        self._to_server.add(server_writer)
        await asyncio.gather(
            self._pump(reader, server_writer),
            self._pump(server_reader, writer),
        )

    async def _pump(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while data := await reader.read(65_536):
                if writer not in self._deaf:
                    writer.write(data)
                    await writer.drain()
        except OSError:
            pass
        writer.close()
        for writers in (self._to_clients, self._to_server, self._deaf):
            writers.discard(writer)


class Person:
    """The program with --lines, as a process of its own."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.events: list[tuple[int, str, str]] = []
        self.sent: dict[str, int] = {}
        self.other: list[str] = []
        self._came = asyncio.Event()

    async def start(self, server: str, token: str, room_id: str) -> None:
        environment = {"PARLANCE_SERVER": server, "PARLANCE_TOKEN": token, "PARLANCE_ROOM": room_id}
        self._process = await asyncio.create_subprocess_exec(
            sys.executable,
            str(CHAT),
            "--lines",
            env=os.environ | environment,
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
        )
        self._reading = asyncio.create_task(self._read())
        await self.until(lambda: self.other == ["ready"])

    async def _read(self) -> None:
        async for line in self._process.stdout:
            match line.decode().rstrip("\n").split(" ", 3):
                case ["event", seq, user, text]:
                    self.events.append((int(seq), user, text))
                case ["sent", message_id, seq]:
                    self.sent[message_id] = int(seq)
                case words:
                    self.other.append(" ".join(words))
            self._came.set()

    def say(self, texts: list[str]) -> None:
        """Sends texts that are their own ids."""
        self._process.stdin.write("".join(f"send {text} {text}\n" for text in texts).encode())

    async def until_events(self, count: int) -> None:
        await self.until(lambda: len(self.events) >= count)

    async def until(self, condition: Callable[[], bool]) -> None:
        async with asyncio.timeout(DEADLINE):
            while not condition():
                self._came.clear()
                await self._came.wait()

    async def finish(self) -> int:
        """Ends the input, and waits for the program to end by itself."""
        self._process.stdin.close()
        async with asyncio.timeout(DEADLINE):
            await self._reading
            return await self._process.wait()

    def kill(self) -> None:
        if self._process.returncode is None:
            self._process.kill()
