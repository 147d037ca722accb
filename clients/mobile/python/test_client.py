"""What the bindings add to the Rust client, against a server: lifecycle, database, listeners that fail.

Needs PARLANCE_BIN, a server, and the generated module on PYTHONPATH: see `tools/check-mobile`."""

import asyncio
import json
import os
import sys
import tempfile
import threading
import time
import unittest
from pathlib import Path

import parlance
from parlance import Client, ClientError, CommandState, ConnectionState, EventBody, Options, OutgoingMessage

sys.path.insert(0, str(Path(__file__).parents[3] / "tools" / "conformance.d"))

from processes import Server

DEADLINE = 60
# Of every event.
ENVELOPE = {"roomId", "seq", "at", "actorId", "requestId", "messageCount", "deletedCount"}


class Tokens(parlance.TokenProvider):
    def __init__(self, token: str) -> None:
        self.value = token

    async def token(self, rejected: bool) -> str:
        return self.value


class Recorder(parlance.Listener):
    """Keeps what was reported, for other threads to wait for."""

    def __init__(self) -> None:
        self.changed = threading.Condition()
        self.texts: list[str] = []
        # What has no type of its own: the kinds of events and signals.
        self.others: list[str] = []
        self.states: list[ConnectionState] = []
        self.failing = False

    def on_event(self, event: parlance.Event) -> None:
        if self.failing:
            raise ValueError("a mistake of the app")
        if isinstance(event.body, EventBody.MESSAGE):
            self._add(self.texts, event.body.text)
        elif isinstance(event.body, EventBody.OTHER):
            fields = json.loads(event.body.json)
            self.others.extend(sorted(fields.keys() - ENVELOPE))

    def on_connection(self, state: ConnectionState) -> None:
        self._add(self.states, state)

    def _add(self, where: list, what: object) -> None:
        with self.changed:
            where.append(what)
            self.changed.notify_all()

    async def until(self, what: str, done) -> None:
        def wait() -> bool:
            with self.changed:
                # What is not reported here is looked at again now and then.
                deadline = time.monotonic() + DEADLINE
                while not done() and time.monotonic() < deadline:
                    self.changed.wait(0.1)
                return done()

        assert await asyncio.to_thread(wait), f"{what}: {self.texts} {self.states}"

    def on_gap(self, gap: parlance.Gap) -> None:
        pass

    def on_signal(self, signal: parlance.Signal) -> None:
        if isinstance(signal, parlance.Signal.OTHER):
            self.others.extend(json.loads(signal.json))

    def on_command(self, update: parlance.CommandUpdate) -> None:
        pass

    def on_storage(self, error: str | None) -> None:
        pass


def has_ended(recorder: Recorder) -> bool:
    return bool(recorder.states) and isinstance(recorder.states[-1], ConnectionState.ENDED)


class ClientTest(unittest.IsolatedAsyncioTestCase):
    async def asyncSetUp(self) -> None:
        parlance.uniffi_set_event_loop(asyncio.get_running_loop())
        self.folder = self.enterContext(tempfile.TemporaryDirectory(prefix="parlance-mobile-"))
        self.server = Server(os.environ["PARLANCE_BIN"], self.folder)
        await self.server.start()
        self.addAsyncCleanup(self.server.end)
        names = ("alice", "bob")
        self.tokens = {name: (await self.server.call("/v1/users", "", {"userId": name}))["token"] for name in names}

    def client(self, name: str, database: bool = True) -> tuple[Client, Recorder]:
        recorder = Recorder()
        path = f"{self.folder}/{name}.db" if database else None
        client = Client(Options(server=self.server.address, database=path), Tokens(self.tokens[name]), recorder)
        self.addAsyncCleanup(client.shut_down)
        return client, recorder

    async def test_messages_queued_while_the_server_is_away_survive_the_client(self) -> None:
        await self.server.end()
        client, _ = self.client("alice")
        ids = [await client.queue_message(OutgoingMessage(to_user="bob", text=text)) for text in ("one", "two")]
        self.assertEqual([command.id for command in client.pending()], ids)
        self.assertEqual({command.state for command in client.pending()}, {CommandState.WAITING})
        await client.shut_down()
        await self.server.start()
        _, bob = self.client("bob", database=False)
        self.client("alice")
        await bob.until("both messages, once and in order", lambda: bob.texts == ["one", "two"])
        # Two clients that send one queue would do so twice.
        with self.assertRaises(ClientError.Storage):
            self.client("alice")

    async def test_a_client_in_the_background_is_disconnected_and_catches_up(self) -> None:
        bob, inbox = self.client("bob")
        alice, _ = self.client("alice")
        await alice.send_message(OutgoingMessage(to_user="bob", text="before"))
        await inbox.until("the first message", lambda: inbox.texts == ["before"])
        await bob.enter_background(0)
        self.assertEqual(bob.state(), ConnectionState.BACKGROUND())
        with self.assertRaises(ClientError.NotRunning):
            await bob.send_message(OutgoingMessage(to_user="alice", text="asleep"))
        await alice.send_message(OutgoingMessage(to_user="bob", text="meanwhile"))
        bob.enter_foreground()
        await inbox.until("what was missed, and nothing twice", lambda: inbox.texts == ["before", "meanwhile"])

    async def test_going_to_the_background_waits_for_what_is_queued(self) -> None:
        alice, _ = self.client("alice")
        _, inbox = self.client("bob", database=False)
        await alice.queue_message(OutgoingMessage(to_user="bob", text="quick"))
        await alice.enter_background(DEADLINE * 1_000)
        await inbox.until("the message", lambda: inbox.texts == ["quick"])

    async def test_an_update_that_the_app_failed_on_is_delivered_again(self) -> None:
        bob, inbox = self.client("bob")
        await inbox.until("the connection", lambda: any(isinstance(s, ConnectionState.ONLINE) for s in inbox.states))
        inbox.failing = True
        alice, _ = self.client("alice")
        await alice.send_message(OutgoingMessage(to_user="bob", text="hello"))
        await inbox.until("the end", lambda: has_ended(inbox))
        self.assertIn("a mistake of the app", inbox.states[-1].error)
        inbox.failing = False
        bob.enter_foreground()
        await inbox.until("the message", lambda: inbox.texts == ["hello"])

    async def test_a_listener_that_throws_where_it_must_not_ends_the_session_and_nothing_else(self) -> None:
        client, recorder = self.client("alice")
        await recorder.until("the connection", lambda: any(isinstance(s, ConnectionState.ONLINE) for s in recorder.states))
        await client.enter_background(0)

        def thrown(state: ConnectionState) -> None:
            raise ValueError("another mistake")

        recorder.on_connection = thrown
        client.enter_foreground()
        await recorder.until("the end", lambda: isinstance(client.state(), ConnectionState.ENDED))
        del recorder.on_connection
        client.enter_foreground()
        await recorder.until("a connection", lambda: isinstance(client.state(), ConnectionState.ONLINE))
        await client.sign_out()
        self.assertEqual(list(Path(self.folder).glob("alice.db*")), [])

    async def test_without_a_database_the_queue_survives_the_background(self) -> None:
        await self.server.end()
        client, _ = self.client("alice", database=False)
        queued = await client.queue_message(OutgoingMessage(to_user="bob", text="kept"))
        await client.enter_background(0)
        client.enter_foreground()
        for _ in range(DEADLINE * 20):
            if pending := client.pending():
                break
            await asyncio.sleep(0.05)
        self.assertEqual([command.id for command in pending], [queued])

    async def test_a_database_is_no_other_users(self) -> None:
        client, recorder = self.client("alice")
        await recorder.until("the connection", lambda: any(isinstance(s, ConnectionState.ONLINE) for s in recorder.states))
        await client.shut_down()
        self.tokens["alice"] = self.tokens["bob"]
        _, other = self.client("alice")
        await other.until("the end", lambda: has_ended(other))
        self.assertIn("belongs to alice", other.states[-1].error)

    async def test_nothing_is_left_after_signing_out(self) -> None:
        await self.server.end()
        client, recorder = self.client("alice")
        await client.queue_message(OutgoingMessage(to_user="bob", text="never"))
        await client.sign_out()
        self.assertIsInstance(recorder.states[-1], ConnectionState.ENDED)
        with self.assertRaises(ClientError.NotRunning):
            await client.call("getServer", "{}")
        self.assertEqual(list(Path(self.folder).glob("alice.db*")), [])

    async def test_operations_are_called_by_name(self) -> None:
        client, _ = self.client("alice", database=False)
        created = await client.call("createRoom", '{"kind":"ROOM_KIND_CHANNEL","settings":{"title":"News"}}')
        self.assertIn('"title":"News"', created)
        with self.assertRaises(ClientError.InvalidArgument):
            await client.call("createRooom", "{}")
        with self.assertRaises(ClientError.Rejected) as rejected:
            await client.call("getRoom", '{"roomId":"none"}')
        self.assertEqual(rejected.exception.code, "NotFound")

    async def test_what_has_no_method_of_its_own_is_called_by_name_and_arrives_as_json(self) -> None:
        (alice, news), (bob, inbox) = self.client("alice", database=False), self.client("bob", database=False)
        for recorder in (news, inbox):
            await recorder.until("a connection", lambda: any(isinstance(s, ConnectionState.ONLINE) for s in recorder.states))

        async def call(client: Client, operation: str, **request: object) -> dict:
            return json.loads(await client.call(operation, json.dumps(request)))

        settings = {"title": "Garden", "listed": True}
        room = (await call(alice, "createRoom", kind="ROOM_KIND_CHANNEL", settings=settings))["room"]["roomId"]
        found = await call(bob, "listDirectory", titlePrefix="gard")
        self.assertEqual([channel["title"] for channel in found["rooms"]], ["Garden"])

        await call(alice, "inviteMember", roomId=room, userId="bob")
        await inbox.until("the invitation", lambda: "invitationChanged" in inbox.others)
        invitations = (await call(bob, "listInvitations"))["invitations"]
        self.assertEqual([(one["roomId"], one["invitedBy"]) for one in invitations], [(room, "alice")])
        await call(bob, "acceptInvitation", roomId=room)
        sent = await bob.send_message(OutgoingMessage(room_id=room, text="buy this"))
        await news.until("the message", lambda: news.texts == ["buy this"])

        await call(alice, "reportMessage", roomId=room, seq=str(sent.seq), category="REPORT_CATEGORY_SPAM")
        await news.until("the report", lambda: "reportMade" in news.others)
        reports = (await call(alice, "listReports", roomId=room, state="REPORT_STATE_OPEN"))["reports"]
        self.assertEqual([report["category"] for report in reports], ["REPORT_CATEGORY_SPAM"])
        outcome = "REPORT_OUTCOME_DISMISSED"
        await call(alice, "resolveReport", reportId=reports[0]["reportId"], outcome=outcome, note="a joke")

        await call(alice, "updateRoom", roomId=room, archived=True)
        await inbox.until("the change", lambda: "roomChanged" in inbox.others)
        with self.assertRaises(ClientError.Rejected) as rejected:
            await bob.send_message(OutgoingMessage(room_id=room, text="too late"))
        self.assertEqual(rejected.exception.reason, "room_archived")
        self.assertEqual(await call(bob, "listInbox"), {})
        entries = (await call(bob, "listInbox", order="INBOX_ORDER_LATEST", includeArchived=True))["entries"]
        self.assertEqual([entry["room"]["settings"]["archived"] for entry in entries], [True])


if __name__ == "__main__":
    result = unittest.main(exit=False).result
    sys.stderr.flush()
    # See `end` in lines.py.
    os._exit(0 if result.wasSuccessful() else 1)
