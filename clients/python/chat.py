#!/usr/bin/env python3
"""A chat in the terminal, and with --lines one for other programs."""

import argparse
import asyncio
import logging
import sys
import uuid
from datetime import timezone
from pathlib import Path

import grpc

import standard_input
from connection import Lost, connect, failures, signed_in
from lines import Lines
from outbox import Refused
from session import Disconnected, Session, Update
from stubs import pb, services

# Number of past events shown at first.
HISTORY = 50


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--server", default="127.0.0.1:8080", help="host:port, or https://host:port")
    parser.add_argument("--user", help="who you are; in local mode a new name makes a new user")
    parser.add_argument("--token-file", type=Path, help="your token, unless the server is in local mode")
    target = parser.add_mutually_exclusive_group()
    target.add_argument("--to", metavar="USER", help="talk to a person")
    target.add_argument("--room", metavar="ID", help="talk in a room")
    parser.add_argument("--lines", action="store_true", help="plain lines; see lines.py")
    parsed = parser.parse_args()
    if not parsed.lines and not (parsed.to or parsed.room):
        parser.error("--to or --room is needed")
    if not parsed.lines and not (parsed.user or parsed.token_file):
        parser.error("--user or --token-file is needed")
    return parsed


async def terminal(args: argparse.Namespace) -> None:
    async def fresh_token() -> str:
        if args.token_file:
            return args.token_file.read_text().strip()
        async with connect(args.server) as channel:
            with failures():
                return await sign_up(channel, args.user)

    token = await fresh_token()
    async with connect(args.server) as channel:
        with failures():
            room = await find_room(channel, token, args)
    # Already visible as typed.
    typed: set[str] = set()

    async def show(update: Update) -> None:
        match update:
            case pb.Event(room_id=room.room_id) if update.request_id in typed:
                typed.discard(update.request_id)
            case pb.Event(room_id=room.room_id) if update.HasField("message"):
                time = update.at.ToDatetime(timezone.utc).astimezone().strftime("%H:%M")
                print(f"{time} {update.actor_id}: {update.message.text or '(deleted)'}")
            case Disconnected():
                print(f"* {update.reason}; again in {update.retry_in:.1f} s")

    cursor = pb.Cursor(room_id=room.room_id, seq=max(room.head_seq - HISTORY, 0), epoch=room.epoch)
    session = Session(args.server, token, show, cursors=[cursor], fresh_token=fresh_token)

    async def send(text: str) -> None:
        message_id = uuid.uuid4().hex
        typed.add(message_id)
        try:
            await session.send(room.room_id, text, message_id)
        except Refused as refused:
            print(f"* not sent: {refused}")

    async def talk() -> None:
        sending = []
        async for line in standard_input.lines():
            if line.strip():
                sending.append(asyncio.create_task(send(line)))
        await asyncio.gather(*sending)

    await session.run_while(talk())


async def sign_up(channel: grpc.aio.Channel, user_id: str) -> str:
    """A token for `user_id`; a server in local mode makes one for anyone."""
    response = await services.UserServiceStub(channel).CreateUser(pb.CreateUserRequest(user_id=user_id))
    if not response.token:
        raise Refused("token_missing", "this server makes no tokens: --token-file is needed")
    return response.token


async def find_room(channel: grpc.aio.Channel, token: str, args: argparse.Namespace) -> pb.Room:
    """The room as it is now."""
    rooms = services.RoomServiceStub(channel)
    if args.room:
        response = await rooms.GetRoom(pb.GetRoomRequest(room_id=args.room), metadata=signed_in(token))
    else:
        # The same two users always yield the same room.
        request = pb.CreateRoomRequest(kind=pb.ROOM_KIND_DIRECT, member_ids=[args.to])
        response = await rooms.CreateRoom(request, metadata=signed_in(token))
    return response.room


def main() -> int:
    args = arguments()
    logging.basicConfig(format="parlance: %(message)s")
    sys.stdout.reconfigure(encoding="utf-8", errors="replace", line_buffering=True)
    try:
        asyncio.run(Lines().run() if args.lines else terminal(args))
    except (Refused, Lost) as failed:
        print(f"parlance: {failed}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130
    return 0


if __name__ == "__main__":
    sys.exit(main())
