"""Connections that are of no use, in all the ways there are. A client notices, and comes back."""

import asyncio
import time

from proxy import HANG_UP, MUTE, Sequence
from stage import Stage, case

# Seconds until everyone has everything again. A client probes after 30 s of silence and waits 10 s
# for the answer; an answer may take 25 s, a connection 15. A process may wait another 30 s before it
# ends, for a WebSocket that does not answer its close.
NOTICED = 100

# How long a storm is observed, in seconds, and how many connections are acceptable: with delays
# doubling from 50 ms there are nine.
WINDOW, CALM = 10.0, 12


async def listens_after(stage: Stage, harm: str) -> None:
    """Nobody sends but bob; alice is the one whose connection goes bad."""
    alice, bob = stage.clients
    stage.say(bob, "before")
    await stage.all_see()
    getattr(alice.proxy, harm)()
    stage.say(bob, *(f"b{number}" for number in range(10)))
    await stage.all_see()


@case("nothing passes and nothing closes, and one only listens", NOTICED, idle=True)
async def half_open(stage: Stage) -> None:
    await listens_after(stage, "freeze")


@case("only pings are answered, and one only listens", NOTICED, idle=True)
async def silent(stage: Stage) -> None:
    await listens_after(stage, "silence")


@case("only pings are answered, and one sends", NOTICED, idle=True)
async def silent_sender(stage: Stage) -> None:
    alice, bob = stage.clients
    stage.say(bob, "before")
    await stage.all_see()
    alice.proxy.silence()
    stage.say(alice, *(f"a{number}" for number in range(10)))
    await stage.all_see()


@case("requests are lost while events go on", NOTICED, idle=True)
async def lost_requests(stage: Stage) -> None:
    alice, bob = stage.clients
    stage.say(bob, "before")
    await stage.all_see()
    alice.proxy.swallow_requests()
    stage.say(alice, "swallowed")
    while not alice.sent:
        stage.say(bob, f"b{len(stage.said['bob'])}")
        await asyncio.sleep(0.5)


@case("a connection is accepted, and its hello never answered", NOTICED, idle=True)
async def mute(stage: Stage) -> None:
    alice, bob = stage.clients
    alice.proxy.next = Sequence(MUTE)
    alice.proxy.cut()
    stage.say(bob, *(f"b{number}" for number in range(10)))
    stage.say(alice, *(f"a{number}" for number in range(10)))
    await stage.all_see()


@case("connections last a moment each, then they hold", 90, idle=True)
async def flapping(stage: Stage) -> None:
    alice, bob = stage.clients
    end = time.monotonic() + 5
    while time.monotonic() < end:
        for client in stage.clients:
            stage.say(client, f"{client.name}-{len(stage.said[client.user])}")
        await asyncio.sleep(0.3)
        for client in stage.clients:
            client.proxy.cut()
    await stage.all_see()


@case("a server welcomes and hangs up, again and again: no storm", 60, idle=True)
async def hang_ups(stage: Stage) -> None:
    alice, bob = stage.clients
    alice.proxy.next = lambda: HANG_UP
    alice.proxy.cut()
    stage.say(alice, "a")
    stage.say(bob, "b")
    before = len(alice.proxy.welcomed)
    await asyncio.sleep(WINDOW)
    connections = len(alice.proxy.welcomed) - before
    assert 2 <= connections <= CALM, f"{connections} connections within {WINDOW:.0f} s"
    alice.proxy.let()


@case("connections are refused: no storm", 60, idle=True)
async def refusals(stage: Stage) -> None:
    alice, bob = stage.clients
    alice.proxy.cut(refuse=True)
    before = len(alice.proxy.opened)
    stage.say(alice, "a")
    await asyncio.sleep(WINDOW)
    # Some look for the reason with another request.
    tries = len(alice.proxy.opened) - before
    assert 2 <= tries <= 2 * CALM, f"{tries} tries within {WINDOW:.0f} s"
    alice.proxy.let()


@case("a proxy answers with pages of its own, 403 and 404 among them", 60, idle=True)
async def pages(stage: Stage) -> None:
    alice, bob = stage.clients
    alice.proxy.next = Sequence(403, 404, 502, 200, 429)
    alice.proxy.cut()
    stage.say(alice, *(f"a{number}" for number in range(10)))
    stage.say(bob, *(f"b{number}" for number in range(10)))
    await stage.all_see()
