"""Reads the events of all rooms from Kafka, each once and in order, and proves that none is missing.

    python from_kafka.py --brokers localhost:9092 --topic parlance.events --database seen.db

The work on an event and the note that it is done are one transaction, so that a crash repeats nothing.
"""

import argparse
import sqlite3
import sys

from confluent_kafka import Consumer

arguments = argparse.ArgumentParser()
arguments.add_argument("--brokers", required=True)
arguments.add_argument("--topic", required=True)
arguments.add_argument("--database", default="seen.db")
arguments.add_argument("--print", action="store_true", help="print each event")
arguments.add_argument("--until", type=int, help="end after so many events, those of earlier runs included")
arguments = arguments.parse_args()

database = sqlite3.connect(arguments.database)
database.execute("create table if not exists rooms (id text primary key, epoch integer, seq integer)")
database.execute("create table if not exists events (id text primary key, type text, value blob)")
consumer = Consumer({
    "bootstrap.servers": arguments.brokers,
    "group.id": "example",
    "auto.offset.reset": "earliest",
    # Offsets are committed explicitly, once their effects are in the database.
    "enable.auto.commit": False,
    "session.timeout.ms": 6000,
})
consumer.subscribe([arguments.topic])


def seen():
    return database.execute("select count(*) from events").fetchone()[0]


while arguments.until is None or seen() < arguments.until:
    message = consumer.poll(1.0)
    if message is None or message.error():
        continue
    event = {name: value.decode() for name, value in message.headers() if name.startswith("ce_")}
    room, key = message.key().decode(), (int(event["ce_epoch"]), int(event["ce_seq"]))
    known = database.execute("select epoch, seq from rooms where id = ?", [room]).fetchone()
    last = known or (0, 0)
    if key > last:
        # Within an epoch no event is missing, unless the room was deleted; a new epoch starts with the first event. A topic
        # that started with new events begins somewhere in a room. What an operator skips is missing: then this ends.
        expected = last[1] + 1 if key[0] == last[0] else 1
        if known and key[1] != expected and event["ce_type"] != "parlance.room.deleted.v1":
            sys.exit(f"room {room} goes on with {key} after {last}")
        with database:
            database.execute("insert into events values (?, ?, ?)", [event["ce_id"], event["ce_type"], message.value()])
            database.execute("insert or replace into rooms values (?, ?, ?)", [room, *key])
        if arguments.print:
            print(event["ce_id"], event["ce_type"])
    consumer.commit(message, asynchronous=False)
consumer.close()
