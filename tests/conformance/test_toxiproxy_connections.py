"""Connections through a proxy: changed while they live, ended from every side."""

import hashlib
import random
import socket
import struct
import threading
import time
from contextlib import suppress

import pytest
from proxy_servers import Http
from upstreams import (
    connect,
    has_ended,
    is_silent,
    receive,
    receive_all,
    round_trip,
)

MINUTE_MS = 60_000


class TestLiveChanges:
    def test_a_toxic_comes_changes_and_goes(self, wire, http: Http, stream):
        sender, receiver = wire.sides(stream)
        sender.sendall(b"a")
        assert receive(receiver, 1) == b"a"

        wire.proxy.add_toxic(name="t", type="bandwidth", stream=stream, attributes={"rate": 0})
        sender.sendall(b"b")
        assert is_silent(receiver)

        http("PATCH", "/proxies/wire/toxics/t", {"attributes": {"rate": 1000}})
        assert receive(receiver, 1) == b"b"

        http("PATCH", "/proxies/wire/toxics/t", {"attributes": {"rate": 0}})
        sender.sendall(b"c")
        assert is_silent(receiver)

        wire.proxy.destroy_toxic("t")
        assert receive(receiver, 1) == b"c"
        sender.sendall(b"d")
        assert receive(receiver, 1) == b"d"

    def test_latency_applies_to_an_open_connection(self, echo, dial):
        connection = dial()
        round_trip(connection)
        echo.add_toxic(type="latency", attributes={"latency": 200})
        assert round_trip(connection) >= 0.2

    def test_removal_sends_what_waits_in_order(self, wire, stream):
        wire.proxy.add_toxic(
            name="t", type="latency", stream=stream, attributes={"latency": MINUTE_MS}
        )
        sender, receiver = wire.sides(stream)
        for number in range(50):
            sender.sendall(bytes([number]))
            time.sleep(0.001)  # apart, so that they are many chunks
        assert is_silent(receiver, 0.1)
        wire.proxy.destroy_toxic("t")
        assert receive(receiver, 50) == bytes(range(50))

    def test_removal_from_the_middle_of_a_chain(self, wire, stream):
        for name in ("a", "b", "c"):
            wire.proxy.add_toxic(
                name=name, type="latency", stream=stream, attributes={"latency": 1}
            )
        sender, receiver = wire.sides(stream)
        for name in ("b", "c", "a"):
            sender.sendall(name.encode())
            assert receive(receiver, 1) == name.encode()
            wire.proxy.destroy_toxic(name)
        sender.sendall(b"z")
        assert receive(receiver, 1) == b"z"

    def test_removal_of_slow_close_ends_the_wait(self, wire, stream):
        wire.proxy.add_toxic(
            name="t", type="slow_close", stream=stream, attributes={"delay": MINUTE_MS}
        )
        sender, receiver = wire.sides(stream)
        sender.close()
        assert is_silent(receiver)
        wire.proxy.destroy_toxic("t")
        assert receive_all(receiver) == b""

    def test_reset_lifts_toxics_from_open_connections(self, toxi, wire, stream):
        for kind, attributes in [("latency", {"latency": MINUTE_MS}), ("bandwidth", {})]:
            wire.proxy.add_toxic(type=kind, stream=stream, attributes=attributes)
        sender, receiver = wire.sides(stream)
        sender.sendall(b"hello")
        assert is_silent(receiver)
        toxi.reset()
        assert wire.proxy.toxics() == {}
        assert receive(receiver, 5) == b"hello"

    def test_changes_under_load_lose_and_swap_nothing(self, wire, http: Http, stream):
        sender, receiver = wire.sides(stream)
        message = random.Random(1).randbytes(8 * 1024 * 1024)
        received = []
        reading = threading.Thread(target=lambda: received.append(receive_all(receiver)))
        writing = threading.Thread(target=_send_and_close, args=(sender, message))
        reading.start()
        writing.start()
        toxics = [
            ("latency", {"latency": 20, "jitter": 10}),
            ("slicer", {"average_size": 2000, "size_variation": 500, "delay": 5}),
            ("bandwidth", {"rate": 20_000}),
        ]
        for kind, attributes in toxics:
            wire.proxy.add_toxic(name=kind, type=kind, stream=stream, attributes=attributes)
            time.sleep(0.05)
        for kind, attributes in toxics:
            http("PATCH", f"/proxies/wire/toxics/{kind}", {"attributes": attributes})
        for kind, _ in toxics:
            wire.proxy.destroy_toxic(kind)
            time.sleep(0.02)
        writing.join()
        reading.join()
        assert hashlib.sha256(received[0]).digest() == hashlib.sha256(message).digest()


class TestEnds:
    def test_end_of_either_side_ends_the_other(self, wire, stream):
        sender, receiver = wire.sides(stream)
        sender.sendall(b"bye")
        sender.close()
        assert receive_all(receiver) == b"bye"

    def test_half_close_delivers_all_then_closes_both_ways(self, wire, stream):
        sender, receiver = wire.sides(stream)
        sender.sendall(b"bye")
        sender.shutdown(socket.SHUT_WR)
        assert receive_all(receiver) == b"bye"
        assert has_ended(sender)

    def test_reset_by_one_side_ends_the_other(self, wire, stream):
        sender, receiver = wire.sides(stream)
        sender.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        sender.close()
        assert has_ended(receiver)

    def test_upstream_that_is_away_closes_the_client(self, toxi):
        proxy = toxi.create(name="dead", upstream="127.0.0.1:1")
        with connect(proxy.listen) as client:
            assert has_ended(client)

    @pytest.mark.parametrize("upstream", ["nowhere", "no-such-host.invalid:1", "a..b:1"])
    def test_upstream_that_cannot_be_closes_the_client(self, toxi, upstream):
        proxy = toxi.create(name="dead", upstream=upstream)
        for _ in range(2):
            with connect(proxy.listen) as client:
                assert has_ended(client)

    def test_idle_connection_stays(self, echo, dial):
        connection = dial()
        round_trip(connection)
        assert is_silent(connection, 0.3)
        round_trip(connection)


class TestEnabled:
    def test_disabling_drops_and_refuses(self, echo, dial):
        connection = dial()
        round_trip(connection)
        echo.disable()
        assert has_ended(connection)
        with pytest.raises(ConnectionRefusedError):
            connect(echo.listen)

    def test_enabling_listens_on_the_same_address(self, toxi, echo):
        listen = echo.listen
        with echo.down():
            assert toxi.get_proxy("echo").enabled is False
            assert toxi.get_proxy("echo").listen == listen
        assert toxi.get_proxy("echo").enabled is True
        with connect(listen) as connection:
            round_trip(connection)

    def test_toxics_outlive_it(self, echo, dial):
        echo.add_toxic(type="latency", attributes={"latency": 100})
        with echo.down():
            pass
        assert round_trip(dial()) >= 0.1

    def test_reset_enables(self, toxi, echo, dial):
        echo.disable()
        toxi.reset()
        assert toxi.get_proxy("echo").enabled is True
        round_trip(dial())

    def test_disabling_frees_what_a_toxic_holds(self, wire, stream):
        wire.proxy.add_toxic(type="timeout", stream=stream, attributes={"timeout": 0})
        sender, receiver = wire.sides(stream)
        sender.sendall(b"lost")
        wire.proxy.disable()
        assert has_ended(sender)
        assert has_ended(receiver)

    def test_enabling_where_another_listens_fails(self, echo, http: Http):
        echo.disable()
        host, port = echo.listen.split(":")
        with socket.create_server((host, int(port))):
            response = http("PATCH", "/proxies/echo", {"enabled": True})
        assert response.status_code == 500
        assert response.json()["error"] == (
            f"listen tcp {echo.listen}: bind: address already in use"
        )
        assert http("GET", "/proxies/echo").json()["enabled"] is False
        assert http("PATCH", "/proxies/echo", {"enabled": True}).status_code == 200

    def test_new_upstream_drops_old_connections(self, wire, echo_server, http: Http):
        client, server = wire.connect()
        http("PATCH", "/proxies/wire", {"upstream": echo_server.address})
        assert has_ended(client)
        assert has_ended(server)
        with connect(wire.proxy.listen) as connection:
            round_trip(connection)

    def test_deleting_drops_and_refuses(self, echo, dial):
        connection = dial()
        round_trip(connection)
        echo.destroy()
        assert has_ended(connection)
        with pytest.raises(ConnectionRefusedError):
            connect(echo.listen)


class TestLoad:
    def test_fast_stream(self, wire, stream):
        sender, receiver = wire.sides(stream)
        message = random.Random(2).randbytes(32 * 1024 * 1024)
        writing = threading.Thread(target=_send_and_close, args=(sender, message))
        writing.start()
        received = receive_all(receiver)
        writing.join()
        assert hashlib.sha256(received).digest() == hashlib.sha256(message).digest()

    def test_many_connections(self, dial):
        connections = [dial() for _ in range(200)]
        for number, connection in enumerate(connections):
            connection.sendall(b"%03d" % number)
        for number, connection in enumerate(connections):
            assert receive(connection, 3) == b"%03d" % number

    @pytest.mark.racing
    def test_many_connections_share_a_toxic(self, echo, dial):
        """One after the other, a hundred would take a hundred times as long as one."""
        echo.add_toxic(type="latency", attributes={"latency": 100})
        connections = [dial() for _ in range(100)]
        alone = round_trip(connections[0])
        started = time.monotonic()
        for connection in connections:
            connection.sendall(b"x")
        assert all(receive(connection, 1) == b"x" for connection in connections)
        assert 0.1 <= time.monotonic() - started < 100 * alone

    def test_receiver_that_does_not_read_stops_the_sender(self, wire, stream):
        """Then nothing is lost: back pressure crosses the proxy, buffers are bounded."""
        sender, receiver = wire.sides(stream)
        sent = _send_until_stuck(sender, limit=64 * 1024 * 1024)
        assert 0 < sent < 64 * 1024 * 1024
        sender.shutdown(socket.SHUT_WR)
        assert len(receive_all(receiver)) == sent

    @pytest.mark.racing
    def test_toxic_in_front_of_a_receiver_that_does_not_read(self, wire, stream):
        """What it gets is dropped, not kept: the sender never waits for good."""
        wire.proxy.add_toxic(type="timeout", stream=stream, attributes={"timeout": 0})
        sender, receiver = wire.sides(stream)
        for _ in range(64):
            sender.sendall(b"x" * 65536)
        assert is_silent(receiver, 0.1)


def _send_and_close(sender: socket.socket, message: bytes) -> None:
    sender.sendall(message)
    sender.shutdown(socket.SHUT_WR)


def _send_until_stuck(sender: socket.socket, limit: int) -> int:
    """Sends until nothing more is taken for a while, or up to the limit in bytes."""
    sender.settimeout(0.3)
    sent = 0
    with suppress(TimeoutError):
        while sent < limit:
            sent += sender.send(b"x" * 65536)
    return sent
