"""The toxics, by the names the API knows them by."""

from lab.proxy.toxics.bandwidth import Bandwidth
from lab.proxy.toxics.base import Behaviour, Interrupted
from lab.proxy.toxics.latency import Latency
from lab.proxy.toxics.limit_data import LimitData
from lab.proxy.toxics.noop import Noop
from lab.proxy.toxics.reset_peer import ResetPeer
from lab.proxy.toxics.slicer import Slicer
from lab.proxy.toxics.slow_close import SlowClose
from lab.proxy.toxics.timeout import Timeout

REGISTRY: dict[str, type[Behaviour]] = {
    behaviour.kind: behaviour
    for behaviour in (
        Bandwidth, Latency, LimitData, Noop, ResetPeer, Slicer, SlowClose, Timeout,
    )
}

__all__ = ["REGISTRY", "Behaviour", "Interrupted", "Noop"]
