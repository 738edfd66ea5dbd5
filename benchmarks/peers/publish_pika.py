"""A bare pika publisher with pipelined confirms: `publish_pika QUEUE COUNT WINDOW [dated]` prints messages a second.

It keeps WINDOW messages unconfirmed. It also fills the queues that are drained, then with the dates that our
producer gives to messages: our consumer measures their age.
"""

import sys
import time
import uuid

import pika
from pika.adapters.select_connection import SelectConnection
from pika.channel import Channel

from benchmarks.peers.message import URL


class Publisher:
    def __init__(self, queue: str, count: int, window: int, dated: bool):
        self._queue, self._count, self._window, self._dated = queue, count, window, dated
        self._run = uuid.uuid4().hex
        self._published = 0
        self._outstanding: dict[int, None] = {}  # delivery tags, in rising order
        self.seconds = 0.0
        self._connection = SelectConnection(
            pika.URLParameters(URL), on_open_callback=lambda connection: connection.channel(on_open_callback=self._start))

    def run(self) -> None:
        self._connection.ioloop.start()

    def _start(self, channel: Channel) -> None:
        self._channel = channel
        channel.confirm_delivery(self._on_confirm, callback=lambda _frame: self._begin())

    def _begin(self) -> None:
        self._started = time.perf_counter()
        self._fill_window()

    def _fill_window(self) -> None:
        while self._published < self._count and len(self._outstanding) < self._window:
            self._published += 1
            self._outstanding[self._published] = None
            name = f"{self._run}-{self._published}"
            body = b'{"id":"%s","payload":{"order":%d}}' % (name.encode(), self._published)
            properties = pika.BasicProperties(
                message_id=name, content_type="application/json",
                delivery_mode=pika.DeliveryMode.Persistent.value)
            if self._dated:
                now = time.time()
                properties.timestamp = int(now)
                properties.headers = {"x-published-at-ms": round(now * 1000)}
            self._channel.basic_publish("", self._queue, body, properties, mandatory=True)

    def _on_confirm(self, frame) -> None:
        if not isinstance(frame.method, pika.spec.Basic.Ack):
            sys.exit("the broker refused a message")
        tag = frame.method.delivery_tag
        if frame.method.multiple:
            while self._outstanding and (oldest := next(iter(self._outstanding))) <= tag:
                del self._outstanding[oldest]
        else:
            del self._outstanding[tag]
        if self._published < self._count:
            self._fill_window()
        elif not self._outstanding:
            self.seconds = time.perf_counter() - self._started
            self._connection.ioloop.stop()


if __name__ == "__main__":
    queue, count, window = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
    publisher = Publisher(queue, count, window, dated=sys.argv[4:] == ["dated"])
    publisher.run()
    print(count / publisher.seconds)
