"""What /metrics tells, in Prometheus' text format, by Toxiproxy's names.

Bytes are counted when a connection ends, not as they flow: so does the real one
(ToxicLink.read and write in link.go).
"""

import os
import resource
import time
from collections import Counter
from collections.abc import Iterable, Iterator
from pathlib import Path

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
RECEIVED = "toxiproxy_proxy_received_bytes_total"
SENT = "toxiproxy_proxy_sent_bytes_total"

_STARTED = time.time()
_ESCAPES = str.maketrans({"\\": r"\\", '"': r"\"", "\n": r"\n"})


class Metrics:
    """Counts the proxies' bytes and shows them, with the process's state where asked."""

    def __init__(self, *, proxy: bool = False, runtime: bool = False) -> None:
        self.enabled = proxy or runtime
        self._proxy = proxy
        self._runtime = runtime
        self._bytes: dict[str, Counter[str]] = {RECEIVED: Counter(), SENT: Counter()}

    def count(self, metric: str, labels: str, amount: int) -> None:
        """Adds bytes to RECEIVED or SENT."""
        self._bytes[metric][labels] += amount

    def render(self) -> str:
        lines: list[str] = []
        if self._proxy:
            for metric, series in self._bytes.items():
                lines += _family(metric, "counter", sorted(series.items()))
        if self._runtime:
            for metric, kind, value in _process():
                lines += _family(metric, kind, [("", value)])
        return "\n".join([*lines, ""])


class Traffic:
    """Counts the bytes that the connections of one proxy receive and send."""

    def __init__(self, metrics: Metrics, proxy: str, listener: str, upstream: str) -> None:
        self._metrics = metrics
        self._labels = {"listener": listener, "proxy": proxy, "upstream": upstream}

    def received(self, direction: str, amount: int) -> None:
        self._metrics.count(RECEIVED, self._labelled(direction), amount)

    def sent(self, direction: str, amount: int) -> None:
        self._metrics.count(SENT, self._labelled(direction), amount)

    def _labelled(self, direction: str) -> str:
        labels = {"direction": direction, **self._labels}
        pairs = (f'{name}="{value.translate(_ESCAPES)}"' for name, value in labels.items())
        return f"{{{','.join(pairs)}}}"


def _family(metric: str, kind: str, samples: Iterable[tuple[str, float]]) -> list[str]:
    lines = [f"{metric}{labels} {value}" for labels, value in samples]
    return [f"# HELP {metric} ", f"# TYPE {metric} {kind}", *lines] if lines else []


def _process() -> Iterator[tuple[str, str, float]]:
    """The process_* metrics of Prometheus' Go client; those of /proc only where it is."""
    usage = resource.getrusage(resource.RUSAGE_SELF)
    yield "process_cpu_seconds_total", "counter", usage.ru_utime + usage.ru_stime
    yield "process_max_fds", "gauge", resource.getrlimit(resource.RLIMIT_NOFILE)[0]
    yield "process_start_time_seconds", "gauge", _STARTED
    if not Path("/proc/self/statm").exists():
        return
    virtual, resident = Path("/proc/self/statm").read_text(encoding="utf-8").split()[:2]
    page = resource.getpagesize()
    yield "process_open_fds", "gauge", len(os.listdir("/proc/self/fd"))
    yield "process_resident_memory_bytes", "gauge", int(resident) * page
    yield "process_virtual_memory_bytes", "gauge", int(virtual) * page
