"""What a session says of its rooms: `python -m unittest`."""

import unittest

from rooms import Rooms
from stubs import pb


class CursorTest(unittest.TestCase):
    def test_a_cursor_has_the_epoch_of_its_room(self) -> None:
        rooms = Rooms([])
        self.assertIsNone(rooms.cursor("r"))
        rooms.welcomed(pb.Welcome(heads=[pb.Cursor(room_id="r", seq=9, epoch=3)]))
        self.assertIsNone(rooms.cursor("r"))
        rooms.advance("r", 7)
        cursor = pb.Cursor(room_id="r", seq=7, epoch=3)
        self.assertEqual(rooms.cursor("r"), cursor)
        # The next session sends the same cursor, and does not mistake the epoch of another log
        # for its own.
        later = Rooms([cursor])
        later.welcomed(pb.Welcome(heads=[pb.Cursor(room_id="r", seq=20, epoch=4)]))
        self.assertEqual(later.cursors(1_000), [cursor])


if __name__ == "__main__":
    unittest.main()
