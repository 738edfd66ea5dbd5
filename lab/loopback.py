"""Keeps every HTTP client of this process, and of those that it starts, from reaching loopback through a proxy."""

from collections.abc import MutableMapping

# Clients differ in what they understand: curl and urllib know no networks, and an exam draws an address of 127.0.0.0/8.
ADDRESSES = ("localhost", "127.0.0.1", "127.0.0.0/8", "::1")
# Clients differ in which one they prefer where both are set: requests the lower case, Go the upper.
NAMES = ("no_proxy", "NO_PROXY")


def bypass_proxies(environment: MutableMapping[str, str]) -> None:
    """Add loopback to the hosts that need no proxy. The proxies stay: set-up and builds need them."""
    present = [environment.get(name, "") for name in NAMES]
    for name, own, other in zip(NAMES, present, reversed(present), strict=True):
        environment[name] = _with_loopback(own or other)


def _with_loopback(hosts: str) -> str:
    listed = [host.strip() for host in hosts.split(",") if host.strip()]
    if "*" in listed:
        return "*"  # alone: urllib and curl do not find it in a list
    return ",".join(dict.fromkeys([*listed, *ADDRESSES]))
