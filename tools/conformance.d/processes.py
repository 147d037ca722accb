"""The server, and clients of it, as processes."""

import asyncio
import base64
import contextlib
import hashlib
import hmac
import itertools
import json
import os
import random
import re
import signal
import socket
import time
import urllib.error
import urllib.request
from collections.abc import Callable

from proxy import Proxy

# No awaited operation takes nearly as long, unless something is wrong.
DEADLINE = 120.0

# The longest line printed by a client: a text of 16 KiB, with slack.
LINE_LIMIT = 1 << 20

SECRET = b"a secret that only the driver and its servers share"


def sign(user: str, expires_in: float, scope: str = "", secret: bytes = SECRET) -> str:
    """A token for `user`, as an app's own backend makes one."""
    claims = {"sub": user, "exp": int(time.time() + expires_in), "scope": scope}
    parts = [base64.urlsafe_b64encode(json.dumps(part).encode()).rstrip(b"=") for part in ({"alg": "HS256"}, claims)]
    signature = hmac.new(secret, b".".join(parts), hashlib.sha256).digest()
    return b".".join([*parts, base64.urlsafe_b64encode(signature).rstrip(b"=")]).decode()


# Servers of several cases run at once.
PORTS = itertools.count(random.randrange(2_000))
ALL_PORTS = range(10_000, 12_000)
# Where several of these programs run at once, each has its own.
SHARES = 6
SHARE = os.environ.get("PARLANCE_PORTS_SHARE")


def free_port() -> int:
    """A port below the ephemeral ones: of a server that is started again it must not become that of
    an outgoing connection."""
    ports = ALL_PORTS if SHARE is None else ALL_PORTS[int(SHARE) :: SHARES]
    while True:
        port = ports[next(PORTS) % len(ports)]
        with socket.socket() as probe:
            with contextlib.suppress(OSError):
                probe.bind(("127.0.0.1", port))
                return port


class Server:
    """A server that can be ended and started again where it was. With `signed`, tokens are those
    that `sign` makes; otherwise it makes its own for anyone."""

    def __init__(self, program: str, folder: str, signed: bool = False) -> None:
        self._program, self.data = program, f"{folder}/data"
        self._addresses = {name: f"127.0.0.1:{free_port()}" for name in ("open", "admin")}
        self._process: asyncio.subprocess.Process | None = None
        self._options = ["--user-rate", "0", "--drain-seconds", "2", "--sync", "off", "--log", "error"]
        if signed:
            with open(f"{folder}/secret", "wb") as file:
                file.write(SECRET)
            self._options += ["--jwt-secret-file", f"{folder}/secret"]

    @property
    def address(self) -> str:
        return self._addresses["open"]

    async def start(self) -> None:
        options = ["--listen", self.address, "--admin-listen", self._addresses["admin"], "--data-dir", self.data]
        pipe = asyncio.subprocess.PIPE
        # Variables that configure clients must not affect it.
        environment = {name: value for name, value in os.environ.items() if not name.startswith("PARLANCE_")}
        self._process = await asyncio.create_subprocess_exec(
            self._program, "serve", *options, *self._options, env=environment, stdout=pipe
        )
        async with asyncio.timeout(DEADLINE):
            async for line in self._process.stdout:
                if found := re.match(r"\s+(open|admin)\s+http://([\d.:]+)/", line.decode()):
                    self._addresses[found[1]] = found[2]
                    if found[1] == "admin":
                        return
        raise AssertionError("the server did not start")

    async def end(self, how: signal.Signals = signal.SIGKILL) -> None:
        if self._process and self._process.returncode is None:
            self._process.send_signal(how)
            async with asyncio.timeout(DEADLINE):
                await self._process.wait()

    async def call(self, path: str, token: str = "", body: dict | None = None) -> dict:
        """A REST call: GET, or POST where there is a body."""
        headers = {"content-type": "application/json"} | ({"authorization": f"Bearer {token}"} if token else {})
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(f"http://{self.address}{path}", data, headers)

        def exchange() -> dict:
            try:
                with urllib.request.urlopen(request, timeout=30) as answer:
                    return json.load(answer)
            except urllib.error.HTTPError as error:
                raise AssertionError(f"{path}: {error.read().decode()}") from None

        return await asyncio.to_thread(exchange)


class Client:
    """A process of the client under test, with a way of its own to the server."""

    def __init__(self, name: str, user: str, command: list[str], server: Server) -> None:
        self.name, self.user, self._command = name, user, command
        # It only makes the room long, and may do so in the fastest way.
        self.is_loud = False
        self.proxy = Proxy(lambda: server.address)
        self.events: list[tuple[int, str, str]] = []
        self.sent: dict[str, int] = {}
        self.failed: dict[str, str] = {}
        self.ready = self.restored = 0
        # When it requested a token, and the token it gets.
        self.asked: list[float] = []
        self.fresh_token: Callable[[], str | None] | None = None
        # What is being waited for, to be reported on a timeout.
        self.awaited = ""
        self._said = asyncio.Event()
        self._process: asyncio.subprocess.Process | None = None

    async def start(self, token: str, room: str) -> None:
        environment = {"PARLANCE_SERVER": await self.proxy.start(), "PARLANCE_TOKEN": token, "PARLANCE_ROOM": room}
        if self.is_loud:
            environment["PARLANCE_LOUD"] = "1"
        pipe = asyncio.subprocess.PIPE
        self._process = await asyncio.create_subprocess_exec(
            *self._command, env=os.environ | environment, stdin=pipe, stdout=pipe, limit=LINE_LIMIT
        )
        self._reading = asyncio.create_task(self._read())

    async def _read(self) -> None:
        async for line in self._process.stdout:
            match line.decode().rstrip("\n").split(" ", 3):
                case ["ready"]:
                    self.ready += 1
                case ["restored"]:
                    self.restored += 1
                    self.events.clear()
                case ["token"]:
                    self.asked.append(time.monotonic())
                    assert self.fresh_token, f"{self.name} asks for another token for no reason"
                    if token := self.fresh_token():
                        self._process.stdin.write(f"token {token}\n".encode())
                case ["event", seq, user, text]:
                    self.events.append((int(seq), user, text))
                case ["sent", message, seq]:
                    self.sent[message] = int(seq)
                case ["failed", message, reason]:
                    self.failed[message] = reason
                case other:
                    raise AssertionError(f"{self.name} prints {other}")
            self._said.set()

    def send(self, message: str, text: str) -> None:
        self._process.stdin.write(f"send {message} {text}\n".encode())

    def send_json(self, message: str, text: str) -> None:
        """For what is no line. `text` may hold half a surrogate pair."""
        self._process.stdin.write(f"json {message} {json.dumps(text)}\n".encode())

    @property
    def texts(self) -> list[str]:
        return [text for _, _, text in self.events]

    async def until(self, what: str, condition: Callable[[], bool]) -> None:
        self.awaited = what
        while not condition():
            if self._reading.done():
                self._reading.result()
                raise AssertionError(f"{self.name} ended before: {what}")
            self._said.clear()
            said = asyncio.ensure_future(self._said.wait())
            await asyncio.wait([self._reading, said], return_when="FIRST_COMPLETED")
            said.cancel()
        self.awaited = ""

    async def finish(self) -> None:
        """Ends its input, and awaits its end in good order."""
        self.awaited = "its end"
        self._process.stdin.close()
        await self._reading
        status = await self._process.wait()
        assert status == 0, f"{self.name} exits with {status}"
        self.awaited = ""

    def kill(self) -> None:
        if self._process and self._process.returncode is None:
            self._process.kill()

    def __str__(self) -> str:
        waits = f" waits for: {self.awaited};" if self.awaited else ""
        return f"{self.name}:{waits} {len(self.events)} events, {len(self.sent)} sent, failed: {self.failed or 'none'}"
