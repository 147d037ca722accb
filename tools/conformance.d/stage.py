"""A server, a room, and clients in it: what every case begins with."""

import asyncio
import contextlib
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from processes import Client, Server, sign

# Maximum time for which answers are swallowed: unanswered requests arrive within less.
SWALLOWED = 3.0


class Stage:
    def __init__(self, program: str, command: list[str], folder: str, case: "Case") -> None:
        self._signed = case.signed
        self.server = Server(program, folder, case.signed)
        # "alice" and "alice/2" are two clients of one user.
        self.clients = [Client(name, name.partition("/")[0], command, self.server) for name in case.names]
        for client in self.clients:
            client.is_loud = client.name in case.loud
        self.said: dict[str, list[str]] = {client.user: [] for client in self.clients}
        # The initial tokens of clients, if a case needs special ones.
        self.first_token: Callable[[str], str] | None = None

    async def open(self) -> None:
        """The server, the users and their room."""
        await self.server.start()
        self.tokens: dict[str, str] = {}
        for user in self.said:
            admin = sign("driver", 3_600, "service") if self._signed else ""
            answer = await self.server.call("/v1/users", admin, {"userId": user})
            self.tokens[user] = sign(user, 3_600) if self._signed else answer["token"]
        first, *others = self.said
        group = {"kind": "ROOM_KIND_GROUP", "settings": {"title": "conformance"}, "requestId": "room"}
        room = await self.server.call("/v1/rooms", self.tokens[first], group | {"memberIds": others})
        self.room = room["room"]["roomId"]

    async def start(self) -> None:
        await self.open()
        await self.start_clients()

    async def start_clients(self, awaits_ready: bool = True) -> None:
        for client in self.clients:
            token = self.first_token(client.user) if self.first_token else self.tokens[client.user]
            await client.start(token, self.room)
        for client in self.clients if awaits_ready else []:
            await client.until("it is ready", lambda: client.ready > 0)

    def say(self, client: Client, *texts: str) -> None:
        """Has it send texts that are their own ids."""
        self.said[client.user] += texts
        for text in texts:
            client.send(text, text)

    async def all_see(self) -> None:
        count = sum(map(len, self.said.values()))
        for client in self.clients:
            await client.until(f"{count} events", lambda: len(client.events) >= count)

    async def stored(self, at_least: int) -> None:
        """Gives the server a while to have so many messages, whoever knows of it. Fewer come
        from a client that sends one after the other, and is not answered."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(SWALLOWED):
                while await self._count() < at_least:
                    await asyncio.sleep(0.02)

    async def messages(self) -> dict[int, str]:
        """The newest messages that the server has, by seq."""
        token = self.tokens[self.clients[0].user]
        page = await self.server.call(f"/v1/rooms/{self.room}/messages?pageSize=200", token)
        return {int(event["seq"]): event["message"]["text"] for event in page["messages"]}

    async def _count(self) -> int:
        answer = await self.server.call(f"/v1/rooms/{self.room}", self.tokens[self.clients[0].user])
        return int(answer["room"].get("messageCount", 0))

    async def check(self) -> None:
        """Nothing is lost, doubled or out of order, and everyone was answered."""
        await self.all_see()
        sent = {}
        for client in self.clients:
            await client.finish()
            name, seqs = client.name, [seq for seq, _, _ in client.events]
            assert seqs == sorted(set(seqs)), f"{name}: events out of order or doubled: {seqs}"
            for user, said in self.said.items():
                seen = sorted(text for _, by, text in client.events if by == user)
                assert seen == sorted(said), f"{name} does not have what {user} said: {set(seen) ^ set(said)}"
            seqs_of = {text: seq for seq, _, text in client.events}
            differing = {text for text, seq in client.sent.items() if seqs_of.get(text) != seq}
            assert not differing, f"{name}: answers and events differ: {differing}"
            sent |= client.sent
            assert client.ready == 1, f"{name} says ready {client.ready} times"
        unanswered = {text for said in self.said.values() for text in said} - set(sent)
        assert not unanswered, f"not answered: {unanswered}"
        assert all(client.events == self.clients[0].events for client in self.clients)
        count = sum(map(len, self.said.values()))
        assert await self._count() == count, f"{await self._count()} messages are stored, {count} were said"

    async def end(self) -> None:
        for client in self.clients:
            client.kill()
        await self.server.end()


@dataclass(frozen=True)
class Case:
    name: str
    what: str
    act: Callable[[Stage], Awaitable[None]]
    # Timeout of the whole case, in seconds.
    deadline: float
    names: tuple[str, ...] = ("alice", "bob")
    # Clients that only send many messages.
    loud: tuple[str, ...] = ()
    # Whether tokens are signed by the driver.
    signed: bool = False
    # Whether it mostly waits, so that others can run concurrently.
    idle: bool = False
    # Whether `act` starts the clients itself.
    starts: bool = False
    # Whether the conditions of `Stage.check` hold at the end.
    checks: bool = True


CASES: list[Case] = []


def case(what: str, deadline: float, **options: object) -> Callable:
    """Registers a function as the case of its name."""

    def register(act: Callable[[Stage], Awaitable[None]]) -> Callable:
        CASES.append(Case(act.__name__.replace("_", "-"), what, act, deadline, **options))
        return act

    return register
