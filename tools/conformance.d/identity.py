"""Tokens that end, and clocks that are wrong. The server grants 60 s beyond the end of a token."""

import asyncio

from processes import sign
from stage import Stage, case

LEEWAY = 60

# The remaining lifetime of a short-lived token, in seconds: a client has to start
# within it.
SHORT = 6

# Observation time in seconds, and the number of tokens that a client may request
# within it.
WINDOW, CALM = 10.0, 6


def soon_over_for_alice(user: str) -> str:
    return sign(user, SHORT - LEEWAY if user == "alice" else 3_600)


@case("a token ends, and a fresh one is given", 60, signed=True, starts=True, idle=True)
async def token_expires(stage: Stage) -> None:
    alice, bob = stage.clients
    stage.first_token = soon_over_for_alice
    alice.fresh_token = lambda: sign("alice", 3_600)
    await stage.start()
    await alice.until("it asks for another token", lambda: bool(alice.asked))
    stage.say(alice, *(f"a{number}" for number in range(10)))
    stage.say(bob, *(f"b{number}" for number in range(10)))
    await stage.all_see()
    assert len(alice.asked) <= 2, f"it asked {len(alice.asked)} times"


@case("a token ends while there is no connection", 60, signed=True, starts=True, idle=True)
async def token_expires_away(stage: Stage) -> None:
    alice, bob = stage.clients
    stage.first_token = soon_over_for_alice
    alice.fresh_token = lambda: sign("alice", 3_600)
    await stage.start()
    alice.proxy.cut(refuse=True)
    stage.say(alice, *(f"a{number}" for number in range(10)))
    await asyncio.sleep(SHORT + 1)
    alice.proxy.let()
    await stage.all_see()


@case("each token is over by one's own clock, and good by the server's", 60, signed=True, starts=True, idle=True)
async def wrong_clock(stage: Stage) -> None:
    """As with a clock that is ahead: who looks at it gets no token that is good for a second."""
    alice, bob = stage.clients
    stage.first_token = soon_over_for_alice
    # Valid for 25 s.
    alice.fresh_token = lambda: sign("alice", 25 - LEEWAY)
    await stage.start()
    for number in range(int(WINDOW)):
        stage.say(alice, f"a{number}")
        stage.say(bob, f"b{number}")
        await asyncio.sleep(1)
    await stage.all_see()
    assert len(alice.asked) <= CALM, f"it asked {len(alice.asked)} times within {WINDOW:.0f} s"
    assert len(alice.proxy.welcomed) <= CALM, f"it connected {len(alice.proxy.welcomed)} times"


@case("the first fresh token is refused too, the second is good", 60, signed=True, starts=True, idle=True)
async def stale_token(stage: Stage) -> None:
    """As from whoever keeps tokens a little too long."""
    alice, bob = stage.clients
    stage.first_token = soon_over_for_alice
    alice.fresh_token = lambda: sign("alice", -LEEWAY - 5 if len(alice.asked) < 2 else 3_600)
    await stage.start()
    await alice.until("it asks for another token", lambda: bool(alice.asked))
    stage.say(alice, *(f"a{number}" for number in range(10)))
    await stage.all_see()


@case("a fresh token is asked for, and there is none at first", 100, signed=True, starts=True, idle=True)
async def token_hangs(stage: Stage) -> None:
    """As from a sign-in service that hangs: a client waits 30 s for it, and asks again."""
    alice, bob = stage.clients
    stage.first_token = soon_over_for_alice
    alice.fresh_token = lambda: sign("alice", 3_600) if len(alice.asked) > 1 else None
    await stage.start()
    stage.say(bob, *(f"b{number}" for number in range(10)))
    await alice.until("it asks for another token", lambda: bool(alice.asked))
    stage.say(alice, *(f"a{number}" for number in range(10)))
    await stage.all_see()


@case("no token is good: no storm, and no end before a fresh one was refused", 60, signed=True, starts=True, idle=True, checks=False)
async def no_good_token(stage: Stage) -> None:
    alice, bob = stage.clients
    stage.first_token = soon_over_for_alice
    alice.fresh_token = lambda: sign("alice", 3_600, secret=b"another")
    await stage.open()
    await stage.start_clients(awaits_ready=False)
    await alice.until("it asks for another token", lambda: bool(alice.asked))
    before = len(alice.proxy.opened)
    await asyncio.sleep(WINDOW)
    assert len(alice.asked) <= CALM, f"it asked {len(alice.asked)} times within {WINDOW:.0f} s"
    tries = len(alice.proxy.opened) - before
    assert tries <= 2 * CALM, f"it connected {tries} times within {WINDOW:.0f} s"
