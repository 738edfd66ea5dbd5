"""host:port addresses, read, listened on and dialled as Go's net package does."""

import asyncio
import os
import re
import socket
from typing import NamedTuple

from lab.proxy.errors import ProxyError


class Address(NamedTuple):
    """A resolved address; an empty host means every interface."""

    host: str
    port: int

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


async def resolve(text: str) -> Address:
    """Looks ``text`` up; raises ProxyError with Go's wording where it names no address."""
    if not text:
        return Address("", 0)
    host, port = _split(text)
    return Address(await _lookup(host) if host else "", _port(port))


async def listen(text: str) -> socket.socket:
    """A non-blocking listening socket on ``text``; raises ProxyError where that fails."""
    try:
        address = await resolve(text)
    except ProxyError as error:
        raise ProxyError(f"listen tcp: {error.message}") from None
    try:
        listener = _bind(address)
    except OSError as error:
        reason = os.strerror(error.errno).lower()
        raise ProxyError(f"listen tcp {address}: bind: {reason}") from None
    listener.setblocking(False)
    return listener


async def dial(text: str) -> socket.socket:
    """A non-blocking socket connected to ``text``.

    Tries each address of the name in turn. Raises OSError (or ProxyError, for a text that
    names none) where no one answers.
    """
    host, port = _split(text)
    infos = await asyncio.get_running_loop().getaddrinfo(
        host or "localhost", _port(port), type=socket.SOCK_STREAM
    )
    failure: OSError | None = None
    for family, kind, protocol, _, address in infos:
        try:
            return await _connect(socket.socket(family, kind, protocol), address)
        except OSError as error:
            failure = error
    raise failure or OSError(f"no address for {text}")


def name_of(listener: socket.socket) -> str:
    """The address a socket is bound to, as Go writes it."""
    return str(Address(*listener.getsockname()[:2]))


def _split(text: str) -> tuple[str, str]:
    host, colon, port = text.rpartition(":")
    if text.startswith("["):
        host, bracket, rest = text[1:].partition("]")
        if not bracket:
            raise ProxyError(f"address {text}: missing ']' in address")
        colon, port = rest.startswith(":"), rest[1:]
    elif ":" in host:
        raise ProxyError(f"address {text}: too many colons in address")
    if not colon:
        raise ProxyError(f"address {text}: missing port in address")
    return host, port


def _port(text: str) -> int:
    if re.fullmatch(r"[+-]?\d+", text):
        if not 0 <= int(text) <= 65535:
            raise ProxyError(f"address {text}: invalid port")
        return int(text)
    try:
        return socket.getservbyname(text, "tcp") if text else 0
    except OSError:
        raise ProxyError(f"lookup tcp/{text}: unknown port") from None


async def _lookup(host: str) -> str:
    """The host's address, an IPv4 one where it has both: Go prefers it to listen on."""
    try:
        infos = await asyncio.get_running_loop().getaddrinfo(
            host, None, type=socket.SOCK_STREAM
        )
    except (OSError, UnicodeError):
        raise ProxyError(f"lookup {host}: no such host") from None
    return min(infos, key=lambda info: info[0] != socket.AF_INET)[4][0]


def _bind(address: Address) -> socket.socket:
    """Listens; on every interface means IPv4 and IPv6 through one socket, as in Go."""
    wildcard = address.host in ("", "0.0.0.0", "::")
    if wildcard and socket.has_dualstack_ipv6():
        return socket.create_server(
            ("::", address.port), family=socket.AF_INET6, dualstack_ipv6=True,
            backlog=socket.SOMAXCONN,
        )
    family = socket.AF_INET6 if ":" in address.host else socket.AF_INET
    return socket.create_server(address, family=family, backlog=socket.SOMAXCONN)


async def _connect(sock: socket.socket, address: tuple) -> socket.socket:
    sock.setblocking(False)
    try:
        await asyncio.get_running_loop().sock_connect(sock, address)
    except BaseException:
        sock.close()
        raise
    return sock
