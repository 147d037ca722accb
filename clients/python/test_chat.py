"""Two people chat through a proxy that cuts their connections, and a server that dies."""

import asyncio
import tempfile
import unittest

from connection import connect, signed_in
from harness import DEADLINE, Person, Proxy, Server
from session import Session
from stubs import pb, services


class ChatTest(unittest.IsolatedAsyncioTestCase):
    async def asyncSetUp(self) -> None:
        # Which slows it down several times.
        asyncio.get_running_loop().set_debug(False)
        data_dir = self.enterContext(tempfile.TemporaryDirectory())
        self.server = Server(data_dir)
        await self.server.start()
        self.addAsyncCleanup(self.server.kill_if_running)
        self.tokens = {name: await self.create_user(name) for name in ("alice", "bob")}
        self.room_id = (await self.direct_room()).room_id

    async def create_user(self, name: str) -> str:
        async with connect(self.server.address) as channel:
            users = services.UserServiceStub(channel)
            return (await users.CreateUser(pb.CreateUserRequest(user_id=name))).token

    async def direct_room(self) -> pb.Room:
        """The room of the two, as it is now."""
        async with connect(self.server.address) as channel:
            request = pb.CreateRoomRequest(kind=pb.ROOM_KIND_DIRECT, member_ids=["bob"])
            rooms = services.RoomServiceStub(channel)
            return (await rooms.CreateRoom(request, metadata=signed_in(self.tokens["alice"]))).room

    async def start(self, name: str, address: str) -> Person:
        person = Person(name)
        self.addCleanup(person.kill)
        await person.start(address, self.tokens[name], self.room_id)
        return person

    async def stored(self, at_least: int) -> None:
        """Waits until the server has so many messages."""
        async with asyncio.timeout(DEADLINE):
            while (await self.direct_room()).message_count < at_least:
                pass

    def check(self, person: Person, texts: dict[str, list[str]]) -> None:
        """All that was said is there, once and in order, and where the answers say."""
        seqs = [seq for seq, _, _ in person.events]
        self.assertEqual(seqs, sorted(set(seqs)))
        for name, said in texts.items():
            self.assertEqual(sorted(text for _, user, text in person.events if user == name), sorted(said))
        own = {text: seq for seq, user, text in person.events if user == person.name}
        self.assertEqual(person.sent, own)
        self.assertEqual(person.other, ["ready"])

    async def test_nothing_is_lost_doubled_or_reordered(self) -> None:
        proxy = Proxy(self.server)
        address = await proxy.start()
        self.addCleanup(proxy.close)
        people = [await self.start(name, address) for name in ("alice", "bob")]
        texts: dict[str, list[str]] = {"alice": [], "bob": []}

        for number, fault in enumerate(["cut", "cut", "kill", "cut", "drain", "cut"]):
            before = 200 * number
            for person in people:
                await person.until_events(before)
            if fault != "drain":
                # What is stored now, nobody is told of: it has to be sent again.
                proxy.swallow_answers()
            for person in people:
                said = [f"{person.name}-{number}-{n}" for n in range(100)]
                texts[person.name] += said
                person.say(said)
            match fault:
                case "cut":
                    await self.stored(before + 20)
                    self.assertEqual(proxy.cut(), 2)
                case "kill":
                    await self.stored(before + 20)
                    await self.server.kill()
                    await self.server.start()
                case "drain":
                    await self.server.drain()
                    await self.server.start()

        for person in people:
            await person.until_events(1200)
        for person in people:
            self.assertEqual(await person.finish(), 0)
            self.check(person, texts)
        self.assertEqual(people[0].events, people[1].events)
        self.assertEqual((await self.direct_room()).message_count, 1200)

    async def test_a_long_absence(self) -> None:
        """More has happened than the server pushes at once, or looks through for a repeat."""

        async def ignore(_update: object) -> None:
            pass

        session = Session(self.server.address, self.tokens["alice"], ignore)
        texts = [f"a{n}" for n in range(10_100)]

        async def talk() -> None:
            first = await session.send(self.room_id, "a0", "a0")
            await asyncio.gather(*(session.send(self.room_id, text, text) for text in texts[1:]))
            again = await session.send(self.room_id, "a0", "a0", after_seq=first.seq - 1)
            self.assertEqual((again.seq, again.is_repeat), (first.seq, True))
            late = await session.send(self.room_id, "late", "late", after_seq=first.seq)
            self.assertFalse(late.is_repeat)

        async with asyncio.timeout(DEADLINE):
            await session.run_while(talk())
        bob = await self.start("bob", self.server.address)
        bob.say(["hello"])
        self.assertEqual(await bob.finish(), 0)
        self.check(bob, {"alice": [*texts, "late"], "bob": ["hello"]})


if __name__ == "__main__":
    unittest.main()
