"""Reads the events of all rooms from StreamEvents, each once and in order, and proves that none is missing:
    ./generate && python events/from_stream.py --server localhost:8080 --token-file service.token

The work on events, how far each room is and the cursor are one transaction, so that a crash repeats nothing.
"""

import argparse
import sqlite3
import sys
import time
from pathlib import Path

import grpc
sys.path.insert(0, str(Path(__file__).parent.parent / "gen"))
import events_pb2 as pb  # noqa: E402
import events_pb2_grpc as services  # noqa: E402

arguments = argparse.ArgumentParser()
arguments.add_argument("--server", default="localhost:8080")
arguments.add_argument("--token-file", required=True, help="a token with the service scope")
arguments.add_argument("--database", default="seen.db")
arguments.add_argument("--until", type=int, help="end after so many events, those of earlier runs included")
arguments = arguments.parse_args()

database = sqlite3.connect(arguments.database)
database.execute("create table if not exists rooms (id text primary key, epoch integer, seq integer)")
database.execute("create table if not exists events (id text primary key, type text, value blob)")
database.execute("create table if not exists cursors (id integer primary key, cursor text)")
stub = services.EventServiceStub(grpc.insecure_channel(arguments.server))  # secure_channel with TLS
metadata = [("authorization", "Bearer " + Path(arguments.token_file).read_text().strip())]


def take(response):
    with database:
        for event in response.events:
            room, key = event.room_id, (event.epoch, event.seq)
            last = database.execute("select epoch, seq from rooms where id = ?", [room]).fetchone() or (0, 0)
            if key <= last:
                continue
            # Within an epoch no event is missing, unless the room was deleted; a new epoch starts with the first event.
            is_next = key[1] == (last[1] + 1 if key[0] == last[0] else 1)
            if not is_next and event.type != "parlance.room.deleted.v1":
                sys.exit(f"room {room} goes on with {key} after {last}")
            database.execute("insert into events values (?, ?, ?)", [event.id, event.type, event.SerializeToString()])
            database.execute("insert or replace into rooms values (?, ?, ?)", [room, *key])
        database.execute("insert or replace into cursors values (0, ?)", [response.cursor])
    return arguments.until and database.execute("select count(*) from events").fetchone()[0] >= arguments.until


while True:
    (cursor,) = database.execute("select cursor from cursors").fetchone() or ("",)
    request = pb.StreamEventsRequest(cursor=cursor, start=pb.STREAM_START_BEGINNING)
    try:  # UNAVAILABLE: the server is away, or shuts down. RESOURCE_EXHAUSTED: too much is asked. The others: it was killed.
        if any(take(response) for response in stub.StreamEvents(request, metadata=metadata)):
            break
    except grpc.RpcError as error:
        if error.code().name not in ("UNAVAILABLE", "RESOURCE_EXHAUSTED", "UNKNOWN", "INTERNAL"):
            raise
    time.sleep(1)
