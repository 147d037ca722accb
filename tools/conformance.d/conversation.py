"""A conversation that is disturbed: what everyone said is there once, and in order."""

import asyncio
import signal
from collections.abc import Awaitable, Callable

from proxy import Proxy
from stage import Stage, case

# More than the server pushes at once, and more than it searches for a repeat.
LONG = 10_100


@case("they talk, and what is refused is told", 60)
async def talk(stage: Stage) -> None:
    alice, bob = stage.clients
    for number in range(100):
        stage.say(alice, f"a{number}")
        stage.say(bob, f"b{number}")
    alice.send("blank", " ")
    await alice.until("a blank text is refused", lambda: bool(alice.failed))
    assert alice.failed == {"blank": "invalid_field"}, alice.failed


async def struck(stage: Stage, strike: Callable[[], Awaitable[None]], before: Callable[[Proxy], None] | None) -> None:
    """Something happens while both are sending, three times over."""
    for _ in range(3):
        await stage.all_see()
        count = sum(map(len, stage.said.values()))
        for client in stage.clients:
            if before:
                before(client.proxy)
            stage.say(client, *(f"{client.name}-{count}-{number}" for number in range(50)))
        if before is Proxy.swallow_answers:
            # Stored, but the client was not told: it has to be sent again.
            await stage.stored(count + 2)
        await strike()


@case("connections are cut before requests arrive, and before answers do", 120, idle=True)
async def cuts(stage: Stage) -> None:
    async def cut() -> None:
        for client in stage.clients:
            client.proxy.cut()

    await struck(stage, cut, Proxy.swallow_answers)
    await struck(stage, cut, Proxy.swallow_requests)


@case("the server is killed", 120, idle=True)
async def kills(stage: Stage) -> None:
    async def kill() -> None:
        await stage.server.end()
        await stage.server.start()

    await struck(stage, kill, Proxy.swallow_answers)


@case("the server drains", 120, idle=True)
async def drains(stage: Stage) -> None:
    async def drain() -> None:
        await stage.server.end(signal.SIGTERM)
        await stage.server.start()

    await struck(stage, drain, None)


@case("more happens while one is away than is pushed at once, or looked through for a repeat", 300, loud=("bob",))
async def absence(stage: Stage) -> None:
    alice, bob = stage.clients
    stage.say(bob, "before")
    await stage.all_see()
    alice.proxy.swallow_answers()
    stage.say(alice, "arrived")
    await stage.stored(2)
    alice.proxy.cut(refuse=True)
    stage.say(bob, *(f"b{number}" for number in range(LONG)))
    await bob.until("all of it is stored", lambda: len(bob.sent) == LONG + 1)
    alice.proxy.let()


@case("the gap of a long absence is paged while the connection breaks and others go on talking", 300, loud=("bob",))
async def gap_races(stage: Stage) -> None:
    alice, bob = stage.clients
    stage.say(bob, "before")
    await stage.all_see()
    alice.proxy.swallow_requests()
    stage.say(alice, "never-arrived")
    alice.proxy.cut(refuse=True)
    stage.say(bob, *(f"b{number}" for number in range(LONG)))
    await bob.until("all of it is stored", lambda: len(bob.sent) == LONG + 1)
    alice.proxy.let()
    for number in range(4):
        known = len(alice.events)
        stage.say(bob, *(f"meanwhile-{number}-{i}" for i in range(50)))
        stage.say(alice, f"a{number}")
        await alice.until("some of the gap is paged", lambda: len(alice.events) >= min(known + 500, LONG))
        alice.proxy.cut()


@case("two clients of one user talk at once", 60, names=("alice", "alice/2", "bob"))
async def two_at_once(stage: Stage) -> None:
    one, two, bob = stage.clients
    for turn in range(3):
        for number in range(20):
            for client, prefix in ((one, "one"), (two, "two"), (bob, "bob")):
                stage.say(client, f"{prefix}-{turn}-{number}")
        await two.until("some of it is there", lambda: len(two.events) > 60 * turn)
        two.proxy.cut()
    await stage.all_see()
    # Messages read by one are still delivered to the other, however far apart they
    # are.
    one.proxy.cut(refuse=True)
    stage.say(bob, *(f"away-{number}" for number in range(100)))
    await two.until("what was said meanwhile", lambda: len(two.events) >= 280)
    one.proxy.let()
