"""Headers that were parsed before are the same as headers parsed anew."""

from io import BufferedReader, BytesIO

from gevent.pywsgi import headers_factory
from hypothesis import given
from hypothesis import strategies as st

from services.producer import server

FRAGMENTS = [b"Host: a", b"Content-Length: 3", b"Content-Length: 30", b"Transfer-Encoding: chunked", b"X:", b" folded",
             b"no colon", b"\r\n", b"\r\n", b"\n", b"\r", b"\r\n\r\n", b"body"]


def parsed(parse, data: bytes) -> tuple[list, bytes]:
    """The headers, and what is left to be read: where the body begins decides what the next request is."""
    reader = BufferedReader(BytesIO(data))
    return parse(reader).items(), reader.read()


@given(st.lists(st.sampled_from(FRAGMENTS), max_size=12).map(b"".join))
def test_the_same_headers_and_the_same_body_as_without_a_memory(data):
    handler = object.__new__(server._Handler)
    for _again in range(2):
        assert parsed(lambda reader: handler.MessageClass(reader, 0), data) == parsed(headers_factory, data)


def test_what_comes_in_pieces_is_waited_for():
    class Pieces(BytesIO):
        def read1(self, _size=-1) -> bytes:
            return super().read(7)

        def readinto(self, buffer) -> int:
            piece = super().read(min(7, len(buffer)))
            buffer[:len(piece)] = piece
            return len(piece)

    handler = object.__new__(server._Handler)
    headers = handler.MessageClass(BufferedReader(Pieces(b"Host: somewhere\r\nContent-Length: 3\r\n\r\nabc")), 0)
    assert headers.items() == [("Host", "somewhere"), ("Content-Length", "3")]
