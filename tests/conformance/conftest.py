"""Every test here runs against both servers: what one does, the other must do."""

import socket
from collections.abc import Callable, Iterator
from contextlib import ExitStack

import pytest
import toxiproxy
from proxy_servers import Http, Server, command_of, running
from toxiproxy.api import APIConsumer
from upstreams import EchoServer, Wire, connect

METRICS_FLAGS = ("-proxy-metrics", "-runtime-metrics")


@pytest.fixture(scope="session", params=["real", "standin"])
def command(request: pytest.FixtureRequest) -> list[str]:
    """The command line that starts the server under test."""
    command = command_of(request.param)
    if command is None:
        pytest.skip("no toxiproxy-server: neither TOXIPROXY_SERVER, nor built, nor on PATH")
    return command


@pytest.fixture(scope="session")
def server(
    command: list[str], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Server]:
    log = tmp_path_factory.mktemp("server") / "log"
    with running(command, *METRICS_FLAGS, log=log) as server:
        yield server
        assert server.process.poll() is None, "the server died during the tests"


@pytest.fixture
def toxi(server: Server) -> Iterator[toxiproxy.Toxiproxy]:
    """The client library, on a server that has no proxies; it leaves none behind."""
    before = APIConsumer.host, APIConsumer.port
    library = toxiproxy.Toxiproxy()
    library.update_api_consumer(server.host, server.port)
    yield library
    library.destroy_all()
    library.update_api_consumer(*before)


@pytest.fixture
def http(server: Server) -> Iterator[Http]:
    http = Http(server)
    yield http
    http.close()


@pytest.fixture(scope="session")
def echo_server() -> Iterator[EchoServer]:
    server = EchoServer()
    yield server
    server.close()


@pytest.fixture
def sockets() -> Iterator[ExitStack]:
    """Closes the sockets that a test opened."""
    with ExitStack() as stack:
        yield stack


@pytest.fixture
def echo(toxi: toxiproxy.Toxiproxy, echo_server: EchoServer) -> toxiproxy.Proxy:
    """A proxy to an echo server."""
    return toxi.create(name="echo", upstream=echo_server.address)


@pytest.fixture
def dial(echo: toxiproxy.Proxy, sockets: ExitStack) -> Callable[[], socket.socket]:
    """Opens connections to the echo server, through the proxy."""
    return lambda: sockets.enter_context(connect(echo.listen))


@pytest.fixture
def wire(toxi: toxiproxy.Toxiproxy, sockets: ExitStack) -> Wire:
    return Wire(toxi, sockets)


@pytest.fixture(params=["upstream", "downstream"])
def stream(request: pytest.FixtureRequest) -> str:
    return request.param
