"""Messages that are too large, or odd: refused each by itself, and nothing else with them."""

from processes import Client
from stage import Stage, case

TEXT_LIMIT = 16_384

# By id. No server accepts these.
POISON = {
    "text-over-the-limit": "x" * (TEXT_LIMIT + 1),
    "frame-over-the-limit": "x" * 200_000,
    "much-over-the-limit": "x" * 3_000_000,
    # Twice as long in JSON, which exceeds the maximum frame size.
    "quotes": '"' * 70_000,
    "letters-of-three-bytes": "\u20ac" * 50_000,
    "control-characters": "a\x00b\x1bc",
    "separators": "a\u2028b\u2029c",
    "blank": "\u200b\u3164 ",
    "empty": "",
}


def send_poison(client: Client) -> None:
    for message, text in POISON.items():
        client.send_json(message, text)


async def refused(client: Client) -> None:
    await client.until("each of them is refused", lambda: client.failed.keys() >= POISON.keys())
    assert client.failed.keys() == POISON.keys(), client.failed


@case("what is too large or odd is refused, without a new connection", 60)
async def poison(stage: Stage) -> None:
    alice, bob = stage.clients
    stage.say(alice, "before")
    await stage.all_see()
    welcomes = len(alice.proxy.welcomed)
    send_poison(alice)
    stage.say(alice, *(f"after-{number}" for number in range(20)))
    await refused(alice)
    await stage.all_see()
    connections = len(alice.proxy.welcomed) - welcomes
    assert connections == 0, f"it took {connections} more connections"


@case("the same, queued while there is no connection", 60)
async def poison_queued(stage: Stage) -> None:
    alice, bob = stage.clients
    alice.proxy.cut(refuse=True)
    stage.say(alice, "before")
    send_poison(alice)
    stage.say(alice, *(f"after-{number}" for number in range(20)))
    alice.proxy.let()
    await refused(alice)
    await stage.all_see()
    connections = len(alice.proxy.welcomed) - 1
    assert connections == 1, f"it took {connections} connections"


@case("texts at the limit, in all scripts, and with half a surrogate pair", 60, checks=False)
async def odd_texts(stage: Stage) -> None:
    alice, bob = stage.clients
    # They exceed the maximum length of ids.
    texts = {
        "at-the-limit": "x" * TEXT_LIMIT,
        "all-quotes": '"' * TEXT_LIMIT,
        "backslashes": "\\n\\u0000\\" * 1_000,
        "scripts": "e\u0301 \u4f60\u597d \U0001f469\u200d\U0001f680 \u0645\u0631\u062d\u0628\u0627 \ufdfd",
        "no-break": "a\u00a0b\u2011c\u2060d",
        "markup": "<script>alert(1)</script> %s %00 {{x}} ${x} \ufeff",
        "blanks-around": "  two before, one behind ",
        "tab": "a\tb",
    }
    for message, text in texts.items():
        alice.send(message, text)
    await alice.until("all are answered", lambda: alice.sent.keys() | alice.failed.keys() >= texts.keys())
    assert not alice.failed, alice.failed
    for client in stage.clients:
        await client.until("all have come", lambda: len(client.events) >= len(texts))
        seen = {seq: text for seq, _, text in client.events}
        for message, text in texts.items():
            assert seen[alice.sent[message]] == text, f"{client.name} sees another text as {message}"
    alice.send_json("surrogate", "a\ud800b")
    await alice.until("an answer to half a surrogate pair", lambda: "surrogate" in alice.sent | alice.failed)
    if seq := alice.sent.get("surrogate"):
        for client in stage.clients:
            await client.until("it has come", lambda: client.events[-1][0] >= seq)
            assert client.texts[-1] == "a\ufffdb", f"{client.name} sees {client.texts[-1]!r}"
    assert not alice.failed.keys() - {"surrogate"}, alice.failed
    count = len(alice.events)
    alice.send("good", "good")
    for client in stage.clients:
        await client.until("what is sent afterwards", lambda: len(client.events) == count + 1)
        await client.finish()
    assert len(alice.proxy.welcomed) == 1, "it took more than one connection"
