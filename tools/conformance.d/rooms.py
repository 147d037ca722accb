"""Very many rooms, and rooms that are no longer what they were."""

import asyncio
import json
import shutil
import signal

from stage import Stage, case

MANY = 2_500


async def create_rooms(stage: Stage, count: int) -> None:
    """Rooms of alice alone, over a few connections of their own."""
    host, port = stage.server.address.split(":")
    numbers = iter(range(count))

    async def create() -> None:
        reader, writer = await asyncio.open_connection(host, port)
        for number in numbers:
            body = json.dumps({"kind": "ROOM_KIND_GROUP", "settings": {"title": f"room {number}"}, "requestId": f"{number}"})
            head = f"POST /v1/rooms HTTP/1.1\r\nhost: {stage.server.address}\r\ncontent-type: application/json\r\n"
            head += f"authorization: Bearer {stage.tokens['alice']}\r\ncontent-length: {len(body)}\r\n\r\n"
            writer.write((head + body).encode())
            answer = (await reader.readuntil(b"\r\n\r\n")).decode().lower()
            assert answer.startswith("http/1.1 200"), answer
            await reader.readexactly(int(answer.partition("content-length: ")[2].partition("\r\n")[0]))
        writer.close()

    await asyncio.gather(*(create() for _ in range(16)))


@case(f"one is in {MANY:,} rooms, and connects again", 120, starts=True)
async def many_rooms(stage: Stage) -> None:
    alice, bob = stage.clients
    await stage.open()
    await create_rooms(stage, MANY)
    await stage.start_clients()
    for turn in range(2):
        stage.say(alice, f"a{turn}")
        stage.say(bob, f"b{turn}")
        await stage.all_see()
        # Each room has received something by then.
        await asyncio.sleep(1)
        before = len(alice.proxy.welcomed)
        alice.proxy.cut()
        stage.say(bob, f"away-{turn}")
        await stage.all_see()
        connections = len(alice.proxy.welcomed) - before
        assert connections == 1, f"it took {connections} connections"


async def back_up(stage: Stage) -> None:
    await stage.server.end(signal.SIGTERM)
    shutil.copytree(stage.server.data, f"{stage.server.data}.copy")
    await stage.server.start()


async def restore(stage: Stage) -> None:
    await stage.server.end(signal.SIGTERM)
    shutil.rmtree(stage.server.data)
    shutil.copytree(f"{stage.server.data}.copy", stage.server.data)
    await stage.server.start()


async def talk_around_a_backup(stage: Stage) -> None:
    """Backs up between messages that a restore keeps and messages that it loses."""
    alice, bob = stage.clients
    stage.say(alice, *(f"kept-{number}" for number in range(5)))
    await stage.all_see()
    await back_up(stage)
    stage.say(bob, *(f"lost-{number}" for number in range(20)))
    await stage.all_see()


async def agree(stage: Stage, *texts: str) -> None:
    """What each client shows in the end is what the server has."""
    for client in stage.clients:
        await client.until(f"it sees {', '.join(texts)}", lambda: set(texts) <= set(client.texts))
        await client.finish()
        shown = {seq: text for seq, _, text in client.events}
        stored = await stage.messages()
        assert shown == stored, f"{client.name} shows {shown}, the server has {stored}"
        assert client.restored == 1, f"{client.name} says {client.restored} times that the room was restored"


@case("an older copy of the server's data is put back", 90, idle=True, checks=False)
async def restored(stage: Stage) -> None:
    alice, bob = stage.clients
    await talk_around_a_backup(stage)
    # Sent before, with an obsolete `after_seq`, and not stored.
    alice.proxy.swallow_requests()
    alice.send("pending", "pending")
    await restore(stage)
    alice.send("after-a", "after-a")
    bob.send("after-b", "after-b")
    await agree(stage, "kept-0", "pending", "after-a", "after-b")


@case("the same, and the room grows past where one was before one is back", 90, idle=True, checks=False)
async def restored_past(stage: Stage) -> None:
    alice, bob = stage.clients
    await talk_around_a_backup(stage)
    alice.proxy.cut(refuse=True)
    await restore(stage)
    for number in range(40):
        bob.send(f"new-{number}", f"new-{number}")
    await bob.until("all of it is stored", lambda: "new-39" in bob.sent)
    alice.proxy.let()
    await agree(stage, "kept-0", "new-0", "new-39")
