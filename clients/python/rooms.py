"""How far the application has each room."""

from collections.abc import Iterable
from dataclasses import dataclass

from stubs import pb

# Cursors in one hello, according to the contract.
MAX_CURSORS = 2_000

# Maximum size of a hello without its cursors, bytes.
HELLO_OVERHEAD = 512


@dataclass
class Room:
    """A position in a room's log."""

    # The application has everything up to here; None before the first event.
    cursor: int | None = None
    # Changes when the room is restored from a backup; 0 while unknown.
    epoch: int = 0
    # The highest known seq.
    head: int = 0
    # After an open-ended gap: any event may follow.
    open_ended: bool = False
    # Acknowledged as delivered up to here, on this connection.
    acknowledged: int = 0

    def advance(self, seq: int) -> None:
        self.cursor = seq
        self.head = max(self.head, seq)
        self.open_ended = False

    def restart(self, gap: pb.Gap) -> None:
        """Seqs mean other events now; nothing held before counts."""
        self.cursor = max(gap.from_seq, 1) - 1
        self.head = gap.to_seq
        self.acknowledged = 0

    def follows(self, seq: int) -> bool:
        """Whether `seq` is what has to come next."""
        return self.cursor is None or self.open_ended or seq == self.cursor + 1


class Rooms:
    def __init__(self, cursors: Iterable[pb.Cursor]) -> None:
        self._rooms = {c.room_id: Room(c.seq, c.epoch, c.seq) for c in cursors}

    def __getitem__(self, room_id: str) -> Room:
        return self._rooms.setdefault(room_id, Room())

    def advance(self, room_id: str, seq: int) -> None:
        """The application has a room up to `seq`."""
        # Rooms are kept in order of their last event.
        room = self._rooms[room_id] = self._rooms.pop(room_id, None) or Room()
        room.advance(seq)

    def cursor(self, room_id: str) -> pb.Cursor | None:
        """How far the application has a room, with the epoch that the seq belongs to."""
        room = self._rooms.get(room_id)
        if room is None or room.cursor is None:
            return None
        return pb.Cursor(room_id=room_id, seq=room.cursor, epoch=room.epoch)

    def cursors(self, max_bytes: int) -> list[pb.Cursor]:
        """What to say in a hello of at most `max_bytes`: of which rooms something came last.
        The others begin with a gap, which is right too."""
        cursors: list[pb.Cursor] = []
        left = max_bytes - HELLO_OVERHEAD
        for room_id in reversed(self._rooms):
            cursor = self.cursor(room_id)
            if cursor is None:
                continue
            # Including its tag and length.
            left -= cursor.ByteSize() + 3
            if left < 0 or len(cursors) == MAX_CURSORS:
                break
            cursors.append(cursor)
        return cursors

    def welcomed(self, welcome: pb.Welcome) -> None:
        for room in self._rooms.values():
            # The last one may have been lost with the connection.
            room.acknowledged = 0
        for head in welcome.heads:
            room = self[head.room_id]
            # A changed epoch is taken from the following gap, not here: a
            # connection lost in between would hide it.
            room.epoch = room.epoch or head.epoch
            room.head = max(room.head, head.seq)

    def to_acknowledge(self) -> list[tuple[str, int]]:
        """Rooms that came further since they were last acknowledged, and how far."""
        moved = []
        for room_id, room in self._rooms.items():
            if room.cursor is not None and room.cursor > room.acknowledged:
                room.acknowledged = room.cursor
                moved.append((room_id, room.cursor))
        return moved
