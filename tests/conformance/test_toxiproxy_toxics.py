"""What each toxic does to bytes and to time, in both streams.

Times are only ever bounded from below, or by a multiple of what one message takes on the same
machine, so that a slow machine fails nothing. Where a test
needs "for ever", it says a minute: what arrives at all then arrived because of the change.
"""

import time

import pytest
import toxiproxy
from proxy_servers import Http
from upstreams import has_ended, is_silent, receive, receive_all, round_trip

MINUTE_MS = 60_000


def add(proxy: toxiproxy.Proxy, kind: str, stream: str, toxicity: float = 1, **attributes):
    proxy.add_toxic(
        name=kind, type=kind, stream=stream, toxicity=toxicity, attributes=attributes
    )


class TestNoToxic:
    def test_bytes_pass_unchanged(self, wire, stream):
        sender, receiver = wire.sides(stream)
        message = bytes(range(256)) * 100
        sender.sendall(message)
        assert receive(receiver, len(message)) == message

    def test_noop(self, wire, stream):
        add(wire.proxy, "noop", stream)
        sender, receiver = wire.sides(stream)
        sender.sendall(b"hello")
        assert receive(receiver, 5) == b"hello"


class TestLatency:
    def test_delays(self, wire, stream):
        add(wire.proxy, "latency", stream, latency=100)
        sender, receiver = wire.sides(stream)
        started = time.monotonic()
        sender.sendall(b"hello")
        assert receive(receiver, 5) == b"hello"
        assert time.monotonic() - started >= 0.1

    def test_spares_the_other_stream(self, wire, stream):
        add(wire.proxy, "latency", stream, latency=MINUTE_MS)
        receiver, sender = wire.sides(stream)
        sender.sendall(b"hello")
        assert receive(receiver, 5) == b"hello"

    def test_both_streams_add_up(self, echo, dial):
        echo.add_toxic(type="latency", stream="upstream", attributes={"latency": 100})
        echo.add_toxic(type="latency", stream="downstream", attributes={"latency": 100})
        assert round_trip(dial()) >= 0.2

    def test_jitter_stays_within_its_range(self, wire, stream):
        add(wire.proxy, "latency", stream, latency=40, jitter=20)
        sender, receiver = wire.sides(stream)
        for _ in range(5):
            started = time.monotonic()
            sender.sendall(b"x")
            assert receive(receiver, 1) == b"x"
            assert time.monotonic() - started >= 0.02

    @pytest.mark.racing
    def test_messages_do_not_wait_for_each_other(self, wire, stream):
        """One by one, twenty would take twenty times as long as one."""
        add(wire.proxy, "latency", stream, latency=500)
        sender, receiver = wire.sides(stream)

        def seconds_for(count: int) -> float:
            started = time.monotonic()
            for _ in range(count):
                sender.sendall(b"x")
                time.sleep(0.005)  # apart, so that they are as many chunks
            assert receive(receiver, count) == b"x" * count
            return time.monotonic() - started

        assert seconds_for(20) < 20 * seconds_for(1)

    def test_delays_the_end_of_the_stream_by_what_is_before_it(self, wire, stream):
        add(wire.proxy, "latency", stream, latency=100)
        sender, receiver = wire.sides(stream)
        started = time.monotonic()
        sender.sendall(b"bye")
        sender.close()
        assert receive_all(receiver) == b"bye"
        assert time.monotonic() - started >= 0.1


class TestBandwidth:
    @pytest.mark.parametrize("rate", [50, 1000])
    def test_limits_the_rate(self, wire, stream, rate):
        """For a rate in KB/s; the slower one is cut into slices, the faster is not."""
        add(wire.proxy, "bandwidth", stream, rate=rate)
        sender, receiver = wire.sides(stream)
        message = b"x" * rate * 200  # 0.2 s
        started = time.monotonic()
        sender.sendall(message)
        assert receive(receiver, len(message)) == message
        assert time.monotonic() - started >= 0.19

    def test_zero_holds_everything(self, wire, stream):
        add(wire.proxy, "bandwidth", stream, rate=0)
        sender, receiver = wire.sides(stream)
        sender.sendall(b"hello")
        assert is_silent(receiver)
        wire.proxy.destroy_toxic("bandwidth")
        assert receive(receiver, 5) == b"hello"


class TestSlowClose:
    def test_delays_the_end_of_the_stream(self, wire, stream):
        add(wire.proxy, "slow_close", stream, delay=150)
        sender, receiver = wire.sides(stream)
        started = time.monotonic()
        sender.sendall(b"bye")
        sender.close()
        assert receive_all(receiver) == b"bye"
        assert time.monotonic() - started >= 0.15

    def test_spares_the_data(self, wire, stream):
        add(wire.proxy, "slow_close", stream, delay=MINUTE_MS)
        sender, receiver = wire.sides(stream)
        sender.sendall(b"bye")
        sender.close()
        assert receive(receiver, 3) == b"bye"


class TestTimeout:
    def test_drops_data_and_closes(self, wire, stream):
        add(wire.proxy, "timeout", stream, timeout=150)
        started = time.monotonic()
        sender, receiver = wire.sides(stream)
        sender.sendall(b"lost")
        assert receive_all(receiver) == b""
        assert time.monotonic() - started >= 0.15
        assert has_ended(sender)

    @pytest.mark.racing
    def test_data_starts_the_time_anew(self, wire, stream):
        add(wire.proxy, "timeout", stream, timeout=1000)
        sender, receiver = wire.sides(stream)
        time.sleep(0.1)
        started = time.monotonic()
        sender.sendall(b"lost")
        assert receive_all(receiver) == b""
        assert time.monotonic() - started >= 1

    def test_zero_holds_for_ever(self, wire, stream):
        add(wire.proxy, "timeout", stream, timeout=0)
        sender, receiver = wire.sides(stream)
        sender.sendall(b"lost")
        assert is_silent(receiver)

    def test_removal_closes(self, wire, stream):
        """What came meanwhile is lost, so the stream cannot go on."""
        sender, receiver = wire.sides(stream)
        add(wire.proxy, "timeout", stream, timeout=0)
        sender.sendall(b"lost")
        wire.proxy.destroy_toxic("timeout")
        assert receive_all(receiver) == b""
        assert has_ended(sender)

    def test_end_of_the_stream_passes(self, wire, stream):
        add(wire.proxy, "timeout", stream, timeout=0)
        sender, receiver = wire.sides(stream)
        sender.close()
        assert receive_all(receiver) == b""


class TestSlicer:
    def test_cuts_into_pieces_of_the_size(self, wire, stream):
        add(wire.proxy, "slicer", stream, average_size=10, size_variation=3,
            delay=MINUTE_MS * 1000)
        sender, receiver = wire.sides(stream)
        message = bytes(range(100))
        sender.sendall(message)
        piece = receiver.recv(100)
        assert 1 <= len(piece) <= 13
        assert is_silent(receiver, 0.1)
        wire.proxy.destroy_toxic("slicer")
        assert piece + receive(receiver, 100 - len(piece)) == message

    def test_pauses_after_each_piece(self, wire, stream):
        add(wire.proxy, "slicer", stream, average_size=10, delay=15_000)
        sender, receiver = wire.sides(stream)
        message = bytes(range(100))
        started = time.monotonic()
        sender.sendall(message)
        assert receive(receiver, 100) == message
        assert time.monotonic() - started >= 9 * 0.015  # at least ten pieces

    def test_keeps_large_data_intact(self, wire, stream):
        add(wire.proxy, "slicer", stream, average_size=200, size_variation=50)
        sender, receiver = wire.sides(stream)
        message = bytes(range(256)) * 400
        sender.sendall(message)
        assert receive(receiver, len(message)) == message


class TestLimitData:
    def test_closes_at_the_limit(self, wire, stream):
        add(wire.proxy, "limit_data", stream, bytes=100)
        sender, receiver = wire.sides(stream)
        sender.sendall(b"a" * 60)
        assert receive(receiver, 60) == b"a" * 60
        sender.sendall(b"b" * 60)
        assert receive_all(receiver) == b"b" * 40
        assert has_ended(sender)

    def test_closes_when_the_limit_is_reached_exactly(self, wire, stream):
        add(wire.proxy, "limit_data", stream, bytes=5)
        sender, receiver = wire.sides(stream)
        sender.sendall(b"hello")
        assert receive_all(receiver) == b"hello"

    def test_zero_closes_at_the_first_byte(self, wire, stream):
        add(wire.proxy, "limit_data", stream, bytes=0)
        sender, receiver = wire.sides(stream)
        assert is_silent(receiver, 0.1)
        sender.sendall(b"hello")
        assert receive_all(receiver) == b""

    def test_counts_each_connection_for_itself(self, wire, stream):
        add(wire.proxy, "limit_data", stream, bytes=5)
        for _ in range(2):
            sender, receiver = wire.sides(stream)
            sender.sendall(b"hello")
            assert receive_all(receiver) == b"hello"

    def test_update_keeps_the_count(self, wire, http: Http, stream):
        add(wire.proxy, "limit_data", stream, bytes=100)
        sender, receiver = wire.sides(stream)
        sender.sendall(b"a" * 60)
        assert receive(receiver, 60) == b"a" * 60
        http("PATCH", "/proxies/wire/toxics/limit_data", {"attributes": {"bytes": 80}})
        sender.sendall(b"b" * 60)
        assert receive_all(receiver) == b"b" * 20


class TestResetPeer:
    def test_resets_when_data_comes(self, wire, stream):
        add(wire.proxy, "reset_peer", stream, timeout=100)
        sender, receiver = wire.sides(stream)
        assert is_silent(receiver, 0.1)
        started = time.monotonic()
        sender.sendall(b"hello")
        with pytest.raises(ConnectionResetError):
            receiver.recv(1)
        assert time.monotonic() - started >= 0.1
        with pytest.raises(ConnectionResetError):
            sender.recv(1)

    def test_zero_resets_at_once(self, wire, stream):
        add(wire.proxy, "reset_peer", stream, timeout=0)
        sender, receiver = wire.sides(stream)
        sender.sendall(b"hello")
        with pytest.raises(ConnectionResetError):
            receiver.recv(1)

    def test_only_closes_a_connection_older_than_itself(self, wire, stream):
        sender, receiver = wire.sides(stream)
        # An accepted connection may not be the proxy's link yet: what has passed through it is.
        sender.sendall(b"hello")
        assert receive(receiver, 5) == b"hello"
        add(wire.proxy, "reset_peer", stream, timeout=0)
        sender.sendall(b"hello")
        assert receive_all(receiver) == b""


class TestToxicity:
    def test_zero_does_nothing(self, wire, stream):
        add(wire.proxy, "timeout", stream, toxicity=0, timeout=1)
        sender, receiver = wire.sides(stream)
        sender.sendall(b"hello")
        assert receive(receiver, 5) == b"hello"
        assert is_silent(receiver, 0.1)

    def test_is_a_chance_for_each_connection(self, wire):
        """With one half, forty alike would be one case in 2^39."""
        add(wire.proxy, "limit_data", "upstream", toxicity=0.5, bytes=0)
        passed = 0
        for _ in range(40):
            client, server = wire.connect()
            client.sendall(b"x")
            passed += receive(server, 1) == b"x"
        assert 0 < passed < 40

    def test_update_acts_on_open_connections(self, wire, http: Http, stream):
        add(wire.proxy, "limit_data", stream, toxicity=0, bytes=0)
        sender, receiver = wire.sides(stream)
        sender.sendall(b"hello")
        assert receive(receiver, 5) == b"hello"
        http("PATCH", "/proxies/wire/toxics/limit_data", {"toxicity": 1})
        sender.sendall(b"hello")
        assert receive_all(receiver) == b""


class TestChain:
    def test_delays_add_up(self, wire, stream):
        for name in ("first", "second"):
            wire.proxy.add_toxic(
                name=name, type="latency", stream=stream, attributes={"latency": 150}
            )
        sender, receiver = wire.sides(stream)
        started = time.monotonic()
        sender.sendall(b"hello")
        assert receive(receiver, 5) == b"hello"
        assert time.monotonic() - started >= 0.2  # well over one of them

    def test_each_kind_does_its_part(self, wire, stream):
        add(wire.proxy, "limit_data", stream, bytes=50)
        add(wire.proxy, "slicer", stream, average_size=5, delay=1)
        add(wire.proxy, "latency", stream, latency=100)
        add(wire.proxy, "bandwidth", stream, rate=1)
        sender, receiver = wire.sides(stream)
        started = time.monotonic()
        sender.sendall(bytes(range(100)))
        assert receive_all(receiver) == bytes(range(50))
        assert time.monotonic() - started >= 0.14

    def test_order_is_that_of_creation(self, wire, stream):
        """After the limit, slow_close delays what the limit ended; before it, it cannot."""
        add(wire.proxy, "limit_data", stream, bytes=5)
        add(wire.proxy, "slow_close", stream, delay=150)
        sender, receiver = wire.sides(stream)
        started = time.monotonic()
        sender.sendall(b"hello")
        assert receive_all(receiver) == b"hello"
        assert time.monotonic() - started >= 0.15

        wire.proxy.destroy_toxic("limit_data")
        wire.proxy.destroy_toxic("slow_close")
        add(wire.proxy, "slow_close", stream, delay=MINUTE_MS)
        add(wire.proxy, "limit_data", stream, bytes=5)
        sender, receiver = wire.sides(stream)
        sender.sendall(b"hello")
        assert receive_all(receiver) == b"hello"
