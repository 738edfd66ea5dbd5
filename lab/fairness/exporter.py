"""A foreign exporter: counts requests that no client has made. `python -m lab.fairness.exporter PORT RATE`."""

import sys
import time

from prometheus_client import CollectorRegistry, Counter, start_http_server

TICK_SECONDS = 0.5


def main(port: int, rate: float) -> None:
    registry = CollectorRegistry()
    requests = Counter("load_requests", "Requests.", ["outcome"], registry=registry).labels("ok")
    start_http_server(port, "127.0.0.1", registry)
    while True:
        requests.inc(rate * TICK_SECONDS)
        time.sleep(TICK_SECONDS)


if __name__ == "__main__":
    main(int(sys.argv[1]), float(sys.argv[2]))
