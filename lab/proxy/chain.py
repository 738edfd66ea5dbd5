"""The toxics of one proxy, and the links on which they act."""

import asyncio
from collections.abc import Callable, Coroutine

from lab.proxy import go_json
from lab.proxy.connection import Connection
from lab.proxy.errors import toxic_already_exists, toxic_not_found
from lab.proxy.link import Link
from lab.proxy.metrics import Traffic
from lab.proxy.toxic import Direction, Toxic


class ToxicChain:
    """Keeps toxics in the order they came, by direction, and every link in step.

    Changes happen one at a time. Each raises ProxyError as the API states it.
    """

    def __init__(self) -> None:
        self._toxics: dict[Direction, list[Toxic]] = {way: [] for way in Direction}
        self._links: set[Link] = set()
        self._changing = asyncio.Lock()

    def all(self) -> list[Toxic]:
        """Every toxic, those of the upstream direction first."""
        return [toxic for way in Direction for toxic in self._toxics[way]]

    def get(self, name: str) -> Toxic:
        for toxic in self.all():
            if toxic.name == name:
                return toxic
        raise toxic_not_found()

    async def add(self, body: bytes) -> Toxic:
        """Adds the toxic that a JSON body declares to the end of its direction."""
        async with self._changing:
            declaration = go_json.parse(body)
            toxic = Toxic.declared(declaration)
            if any(other.name == toxic.name for other in self.all()):
                raise toxic_already_exists()
            toxic.set_attributes(declaration)
            self._toxics[toxic.direction].append(toxic)
            await self._on_links(toxic, Link.add)
            return toxic

    async def update(self, name: str, body: bytes) -> Toxic:
        """Changes a toxic's attributes and toxicity to those of a JSON body."""
        async with self._changing:
            toxic = self.get(name)
            toxic.update(go_json.parse(body))
            await self._on_links(toxic, Link.update)
            return toxic

    async def remove(self, name: str) -> None:
        async with self._changing:
            await self._remove(self.get(name))

    async def reset(self) -> None:
        """Removes all toxics."""
        async with self._changing:
            for toxic in self.all():
                await self._remove(toxic)

    def connect(self, client: Connection, upstream: Connection, traffic: Traffic) -> None:
        """Links two connections both ways, through the toxics that there are now."""
        self._link(Direction.UPSTREAM, client, upstream, traffic)
        self._link(Direction.DOWNSTREAM, upstream, client, traffic)

    def disconnect(self) -> None:
        """Ends all links."""
        for link in list(self._links):
            link.end()

    def _link(
        self, way: Direction, source: Connection, destination: Connection, traffic: Traffic
    ) -> None:
        toxics = self._toxics[way]
        link = Link(way, toxics, source, destination, traffic, self._links.discard)
        self._links.add(link)
        link.start()

    async def _remove(self, toxic: Toxic) -> None:
        self._toxics[toxic.direction].remove(toxic)
        await self._on_links(toxic, Link.remove)

    async def _on_links(
        self, toxic: Toxic, change: Callable[[Link, Toxic], Coroutine]
    ) -> None:
        """Makes one change on all links at once: a slow link does not hold the others up."""
        links = [link for link in self._links if link.direction is toxic.direction]
        await asyncio.gather(*(change(link, toxic) for link in links))
