"""Toxiproxy's HTTP API: its routes, and the status and body of each answer (api.go)."""

import asyncio
import logging
import re
from collections.abc import Awaitable, Callable

from lab.proxy import VERSION
from lab.proxy.collection import ProxyCollection
from lab.proxy.errors import ProxyError
from lab.proxy.httpd import Request, Response
from lab.proxy.metrics import CONTENT_TYPE, Metrics

log = logging.getLogger(__name__)

ANSWER_SECONDS = 25  # a change that takes longer goes on, but its client gets a 503
TIMED_OUT = b"<html><head><title>Timeout</title></head><body><h1>Timeout</h1></body></html>"

Operation = Callable[..., Awaitable[Response]]


class Api:
    """Answers requests about the proxies of one collection."""

    def __init__(self, proxies: ProxyCollection, metrics: Metrics) -> None:
        self._proxies = proxies
        self._metrics = metrics
        self._running: set[asyncio.Task] = set()
        proxy, toxics = "/proxies/([^/]+)", "/proxies/([^/]+)/toxics"
        toxic = f"{toxics}/([^/]+)"
        self._routes: list[tuple[tuple[str, ...], str, Operation]] = [
            (("POST",), "/reset", self._reset),
            (("GET",), "/proxies", self._list_proxies),
            (("POST",), "/proxies", self._create_proxy),
            (("POST",), "/populate", self._populate),
            (("GET",), proxy, self._show_proxy),
            (("POST", "PATCH"), proxy, self._update_proxy),
            (("DELETE",), proxy, self._delete_proxy),
            (("GET",), toxics, self._list_toxics),
            (("POST",), toxics, self._create_toxic),
            (("GET",), toxic, self._show_toxic),
            (("POST", "PATCH"), toxic, self._update_toxic),
            (("DELETE",), toxic, self._delete_toxic),
            (("GET",), "/version", self._version),
        ]
        if metrics.enabled:
            self._routes.append((("GET",), "/metrics", self._show_metrics))

    async def handle(self, request: Request) -> Response:
        """The answer to a request, errors included."""
        matches = [
            (methods, operation, match.groups())
            for methods, path, operation in self._routes
            if (match := re.fullmatch(path, request.path))
        ]
        if not matches:
            return Response.text(404, "404 page not found")
        for methods, operation, names in matches:
            if request.method in methods:
                return await self._answer(request, operation, names)
        return Response(405)

    async def _answer(
        self, request: Request, operation: Operation, names: tuple[str, ...]
    ) -> Response:
        if request.headers.get("user-agent", "").startswith("Mozilla/"):
            return Response.text(403, "User agent not allowed")
        work = asyncio.create_task(_perform(operation(*names, request.body)))
        self._running.add(work)
        work.add_done_callback(self._running.discard)
        done, _ = await asyncio.wait([work], timeout=ANSWER_SECONDS)
        return work.result() if done else Response(503, TIMED_OUT)

    async def _reset(self, _: bytes) -> Response:
        await self._proxies.reset()
        return Response(204)

    async def _list_proxies(self, _: bytes) -> Response:
        return Response.json(
            200, {proxy.name: proxy.as_json() for proxy in self._proxies.all()}
        )

    async def _create_proxy(self, body: bytes) -> Response:
        proxy = await self._proxies.create(body)
        return Response.json(201, proxy.as_json())

    async def _populate(self, body: bytes) -> Response:
        """Lists what was created, null where nothing was, beside the error if any."""
        proxies, error = await self._proxies.populate(body)
        answer = error.as_json() if error else {}
        answer["proxies"] = [proxy.as_json() for proxy in proxies] or None
        return Response.json(error.status if error else 201, answer)

    async def _show_proxy(self, name: str, _: bytes) -> Response:
        return Response.json(200, self._proxies.get(name).as_json())

    async def _update_proxy(self, name: str, body: bytes) -> Response:
        proxy = await self._proxies.update(name, body)
        return Response.json(200, proxy.as_json())

    async def _delete_proxy(self, name: str, _: bytes) -> Response:
        await self._proxies.remove(name)
        return Response(204)

    async def _list_toxics(self, name: str, _: bytes) -> Response:
        toxics = self._proxies.get(name).toxics.all()
        return Response.json(200, [toxic.as_json() for toxic in toxics])

    async def _create_toxic(self, name: str, body: bytes) -> Response:
        toxic = await self._proxies.get(name).toxics.add(body)
        return Response.json(200, toxic.as_json())

    async def _show_toxic(self, name: str, toxic: str, _: bytes) -> Response:
        return Response.json(200, self._proxies.get(name).toxics.get(toxic).as_json())

    async def _update_toxic(self, name: str, toxic: str, body: bytes) -> Response:
        updated = await self._proxies.get(name).toxics.update(toxic, body)
        return Response.json(200, updated.as_json())

    async def _delete_toxic(self, name: str, toxic: str, _: bytes) -> Response:
        await self._proxies.get(name).toxics.remove(toxic)
        return Response(204)

    async def _version(self, _: bytes) -> Response:
        headers = {"Content-Type": "application/json;charset=utf-8"}
        return Response(200, f'{{"version": "{VERSION}"}}\n'.encode(), headers)

    async def _show_metrics(self, _: bytes) -> Response:
        body = self._metrics.render().encode()
        return Response(200, body, {"Content-Type": CONTENT_TYPE})


async def _perform(operation: Awaitable[Response]) -> Response:
    try:
        return await operation
    except ProxyError as error:
        return _error(error)
    except Exception:
        log.exception("request failed")
        return _error(ProxyError("internal error"))


def _error(error: ProxyError) -> Response:
    """JSON in plain text: Go's http.Error overrules the type that api.go sets."""
    as_json = Response.json(error.status, error.as_json())
    return Response.text(error.status, as_json.body.decode())
