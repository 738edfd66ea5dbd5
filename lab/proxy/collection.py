"""All proxies of a server, by name."""

import asyncio
from collections.abc import Iterator
from typing import Any

from lab.proxy import go_json
from lab.proxy.errors import (
    ProxyError,
    missing_field,
    proxy_already_exists,
    proxy_not_found,
)
from lab.proxy.metrics import Metrics
from lab.proxy.proxy import Proxy

FIELDS = {
    "name": go_json.STRING,
    "listen": go_json.STRING,
    "upstream": go_json.STRING,
    "enabled": go_json.BOOL,
}
LIST_TYPE = '[]struct { toxiproxy.Proxy; Enabled *bool "json:\\"enabled\\"" }'


class ProxyCollection:
    """Creates, finds and removes proxies; each method raises ProxyError as the API does."""

    def __init__(self, metrics: Metrics) -> None:
        self._metrics = metrics
        self._proxies: dict[str, Proxy] = {}
        self._changing = asyncio.Lock()

    def all(self) -> list[Proxy]:
        """Every proxy, by the order of names."""
        return [self._proxies[name] for name in sorted(self._proxies)]

    def get(self, name: str) -> Proxy:
        if name not in self._proxies:
            raise proxy_not_found()
        return self._proxies[name]

    async def create(self, body: bytes) -> Proxy:
        """Creates the proxy that a JSON body describes, enabled unless it says no."""
        settings = _read(go_json.parse(body), within="Proxy")
        _check(settings)
        async with self._changing:
            if settings["name"] in self._proxies:
                raise proxy_already_exists()
            return await self._add(settings)

    async def update(self, name: str, body: bytes) -> Proxy:
        """Changes what a JSON body has; the name stays."""
        proxy = self.get(name)
        settings = {
            "listen": proxy.listen, "upstream": proxy.upstream, "enabled": proxy.enabled,
        }
        settings.update(_decode(go_json.parse(body), within="Proxy"))
        await proxy.update(settings["listen"], settings["upstream"], settings["enabled"])
        return proxy

    async def populate(self, body: bytes) -> tuple[list[Proxy], ProxyError | None]:
        """Creates a list of proxies, replaces those whose addresses differ.

        Gives back what there is of them, and the error that ended it early. A proxy that
        has its addresses already stays as it is, toxics and all.
        """
        proxies: list[Proxy] = []
        try:
            for settings in _read_list(go_json.parse(body)):
                proxies.append(await self._add_or_replace(settings))
        except ProxyError as error:
            return proxies, error
        return proxies, None

    async def remove(self, name: str) -> None:
        async with self._changing:
            await self.get(name).stop()
            del self._proxies[name]

    async def reset(self) -> None:
        """Enables all proxies and removes all toxics."""
        for proxy in self.all():
            await proxy.start()
            await proxy.toxics.reset()

    async def stop(self) -> None:
        """Stops all proxies, for good."""
        for proxy in self.all():
            await proxy.stop()

    async def _add_or_replace(self, settings: dict) -> Proxy:
        async with self._changing:
            existing = self._proxies.get(settings["name"])
            if existing:
                if not await existing.differs(settings["listen"], settings["upstream"]):
                    return existing
                await existing.stop()
            return await self._add(settings)

    async def _add(self, settings: dict) -> Proxy:
        addresses = settings["listen"], settings["upstream"]
        proxy = Proxy(settings["name"], *addresses, self._metrics)
        if settings["enabled"]:
            await proxy.start()
        self._proxies[proxy.name] = proxy
        return proxy


def _decode(value: Any, within: str) -> Iterator[tuple[str, Any]]:
    target = "Go value of type toxiproxy.Proxy"
    return go_json.decode(value, FIELDS, within=within, target=target)


def _read(value: Any, within: str) -> dict:
    settings = {"name": "", "listen": "", "upstream": "", "enabled": True}
    settings.update(_decode(value, within))
    return settings


def _read_list(value: Any) -> list[dict]:
    """The settings of each proxy in a list, all checked before any is created."""
    items = go_json.array(value, target=f"Go value of type {LIST_TYPE}")
    proxies = [_read(item, within=".Proxy") for item in items]
    for position, settings in enumerate(proxies, start=1):
        _check(settings, where=f" at proxy {position}")
    return proxies


def _check(settings: dict, where: str = "") -> None:
    for name in ("name", "upstream"):
        if not settings[name]:
            raise missing_field(name + where)
