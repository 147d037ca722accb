"""What a proxy has to know of the protocols that clients speak: where frames with data begin and
end, and how to answer a request in the server's place."""

from collections.abc import Iterator

HTTP2_PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
SUBSCRIBE = b"ChatService/Subscribe"

# HTTP/2 frame types.
DATA, HEADERS, SETTINGS, PING, GOAWAY, WINDOW_UPDATE = 0, 1, 4, 6, 7, 8
END_STREAM, END_HEADERS, ACK = 1, 4, 1


class Http2:
    """Frames of an HTTP/2 server."""

    def __init__(self) -> None:
        self._buffer = b""

    def feed(self, data: bytes) -> Iterator[tuple[bytes, str]]:
        """Whole frames with their kind: "control" ones belong to the connection, such as pings."""
        self._buffer += data
        while frame := take_http2_frame(self._buffer):
            self._buffer = self._buffer[len(frame) :]
            kind = frame[3]
            if kind in (SETTINGS, PING, GOAWAY, WINDOW_UPDATE):
                yield frame, "control"
            else:
                yield frame, "data" if kind == DATA and len(frame) > 9 else "other"


class WebSocket:
    """Frames of a WebSocket server, after its handshake."""

    def __init__(self) -> None:
        self._buffer = b""
        self._is_open = False

    def feed(self, data: bytes) -> Iterator[tuple[bytes, str]]:
        self._buffer += data
        if not self._is_open:
            head, end, rest = self._buffer.partition(b"\r\n\r\n")
            if not end:
                return
            self._is_open, self._buffer = True, rest
            yield head + end, "other"
        while frame := self._take():
            self._buffer = self._buffer[len(frame) :]
            is_ping = frame[0] & 0x0F in (9, 10)
            yield frame, "control" if is_ping else "data" if frame[0] & 0x0F < 8 else "other"

    def _take(self) -> bytes:
        if len(self._buffer) < 2:
            return b""
        length, at = self._buffer[1] & 0x7F, 2
        if length > 125:
            size = 2 if length == 126 else 8
            length, at = int.from_bytes(self._buffer[2 : 2 + size]), 2 + size
        return self._buffer[: at + length] if len(self._buffer) >= at + length else b""


class Http1:
    """Answers of an HTTP/1.1 server. The body of the answer to `Subscribe` counts as data."""

    def __init__(self) -> None:
        self.subscribed = False
        self._head = b""

    def feed(self, data: bytes) -> Iterator[tuple[bytes, str]]:
        kind = "other"
        if self.subscribed:
            self._head += data
            if self._head.partition(b"\r\n\r\n")[2]:
                kind = "data"
        yield data, kind


def answers_of_server(first: bytes) -> Http2 | WebSocket | Http1:
    """What parses the server's side of a connection that a client has begun with `first`."""
    if first.startswith(HTTP2_PREFACE[:4]):
        return Http2()
    return WebSocket() if first.startswith(b"GET /ws") else Http1()


def take_http2_frame(buffer: bytes) -> bytes:
    size = 9 + int.from_bytes(buffer[:3])
    return buffer[:size] if 9 <= size <= len(buffer) else b""


def http2_frame(kind: int, flags: int, stream: int, payload: bytes) -> bytes:
    return len(payload).to_bytes(3) + bytes([kind, flags]) + stream.to_bytes(4) + payload


class HttpAnswer:
    """Answers each request of a connection with a page, as a proxy does that has no server behind
    it. `feed` takes what the client sends and returns what to write."""

    def __init__(self, status: int) -> None:
        self._status = status
        self._page = b"<html><h1>%d</h1></html>\n" % status
        self._buffer = b""
        self._has_begun = False

    def feed(self, data: bytes) -> bytes:
        self._buffer += data
        if self._buffer.startswith(HTTP2_PREFACE[:4]) or self._has_begun:
            return self._http2()
        _, end, rest = self._buffer.partition(b"\r\n\r\n")
        if not end:
            return b""
        self._buffer = b""
        head = "HTTP/1.1 %d Page\r\ncontent-type: text/html\r\ncontent-length: %d\r\nconnection: close\r\n\r\n"
        return (head % (self._status, len(self._page))).encode() + self._page

    def _http2(self) -> bytes:
        answer = b""
        if not self._has_begun:
            if len(self._buffer) < len(HTTP2_PREFACE):
                return b""
            self._buffer, self._has_begun = self._buffer[len(HTTP2_PREFACE) :], True
            answer += http2_frame(SETTINGS, 0, 0, b"")
        while frame := take_http2_frame(self._buffer):
            self._buffer = self._buffer[len(frame) :]
            kind, flags, stream = frame[3], frame[4], int.from_bytes(frame[5:9])
            if kind in (SETTINGS, PING) and not flags & ACK:
                answer += http2_frame(kind, ACK, 0, frame[9:] if kind == PING else b"")
            elif kind == HEADERS:
                # Literals without indexing, with the name indices 8 (:status) and 31
                # (content-type).
                status, kind_of_page = str(self._status).encode(), b"text/html"
                fields = b"\x08" + bytes([len(status)]) + status
                fields += b"\x0f\x10" + bytes([len(kind_of_page)]) + kind_of_page
                answer += http2_frame(HEADERS, END_HEADERS, stream, fields)
                answer += http2_frame(DATA, END_STREAM, stream, self._page)
        return answer
