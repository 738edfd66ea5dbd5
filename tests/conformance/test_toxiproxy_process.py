"""The server as a process: its metrics, its configuration file, its end."""

import json
import signal
from pathlib import Path

import requests
from prometheus_client.parser import text_string_to_metric_families
from proxy_servers import DEADLINE, Http, running
from upstreams import EchoServer, connect, eventually, round_trip

RECEIVED = "toxiproxy_proxy_received_bytes_total"
SENT = "toxiproxy_proxy_sent_bytes_total"


def samples(http: Http) -> dict[tuple, float]:
    """The samples of /metrics, by name and labels."""
    response = http("GET", "/metrics")
    assert response.status_code == 200
    assert response.headers["Content-Type"].startswith("text/plain; version=0.0.4")
    return {
        (sample.name, *sorted(sample.labels.items())): sample.value
        for family in text_string_to_metric_families(response.text)
        for sample in family.samples
    }


class TestMetrics:
    def test_bytes_of_ended_connections(self, http: Http, echo, dial):
        def counts() -> list[float | None]:
            labels = {"proxy": "echo", "listener": echo.listen, "upstream": echo.upstream}
            now = samples(http)
            return [
                now.get((name, *sorted({**labels, "direction": direction}.items())))
                for name in (RECEIVED, SENT)
                for direction in ("upstream", "downstream")
            ]

        for count in (1, 2):
            with dial() as connection:
                round_trip(connection, b"x" * 1000)
            eventually(lambda: counts() == [count * 1000] * 4)

    def test_bytes_of_connections_that_disabling_ended(self, http: Http, echo, dial):
        round_trip(dial(), b"x" * 1000)
        echo.disable()
        mine = ("listener", echo.listen)
        eventually(lambda: [v for k, v in samples(http).items() if mine in k] == [1000] * 4)

    def test_data_that_a_toxic_drops_is_received_not_sent(self, http: Http, echo, dial):
        echo.add_toxic(type="timeout", stream="upstream", attributes={"timeout": 0})
        with dial() as connection:
            connection.sendall(b"x" * 1000)
        mine = {("listener", echo.listen), ("direction", "upstream")}

        def counts() -> dict[str, float]:
            return {k[0]: v for k, v in samples(http).items() if mine < set(k)}

        eventually(lambda: counts() == {RECEIVED: 1000, SENT: 0})

    def test_types(self, http: Http, echo, dial):
        with dial() as connection:
            round_trip(connection)
        eventually(lambda: SENT in http("GET", "/metrics").text)
        text = http("GET", "/metrics").text
        assert f"# TYPE {RECEIVED} counter" in text
        assert f"# TYPE {SENT} counter" in text

    def test_runtime(self, http: Http):
        values = {key[0]: value for key, value in samples(http).items()}
        for name in (
            "process_cpu_seconds_total", "process_max_fds", "process_open_fds",
            "process_resident_memory_bytes", "process_start_time_seconds",
            "process_virtual_memory_bytes",
        ):
            assert values[name] > 0


class TestProcess:
    def test_configuration_file(self, command, tmp_path: Path, echo_server: EchoServer):
        config = tmp_path / "toxiproxy.json"
        proxies = [
            {"name": "on", "listen": "127.0.0.1:0", "upstream": echo_server.address},
            {"name": "off", "listen": "127.0.0.1:0", "upstream": "a:1", "enabled": False},
        ]
        config.write_text(json.dumps(proxies), encoding="utf-8")
        with running(command, "-config", str(config), log=tmp_path / "log") as server:
            proxies = requests.get(f"{server.url}/proxies", timeout=DEADLINE).json()
            assert {name: proxy["enabled"] for name, proxy in proxies.items()} == {
                "on": True, "off": False,
            }
            with connect(proxies["on"]["listen"]) as connection:
                round_trip(connection)

    def test_bad_configuration_file_is_no_end(self, command, tmp_path: Path):
        config = tmp_path / "toxiproxy.json"
        config.write_text("hello", encoding="utf-8")
        with running(command, "-config", str(config), log=tmp_path / "log") as server:
            assert requests.get(f"{server.url}/proxies", timeout=DEADLINE).json() == {}
            assert "bad request body: invalid character 'h'" in server.log.read_text(encoding="utf-8")

    def test_missing_configuration_file_is_no_end(self, command, tmp_path: Path):
        config = tmp_path / "no-such.json"
        with running(command, "-config", str(config), log=tmp_path / "log") as server:
            assert requests.get(f"{server.url}/proxies", timeout=DEADLINE).json() == {}
            assert str(config) in server.log.read_text(encoding="utf-8")

    def test_metrics_only_by_flag(self, command, tmp_path: Path):
        with running(command, log=tmp_path / "log") as server:
            answer = requests.get(f"{server.url}/metrics", timeout=DEADLINE)
            assert answer.status_code == 404

    def test_sigterm_ends_it_cleanly(self, command, tmp_path: Path, echo_server: EchoServer):
        with running(command, log=tmp_path / "log") as server, requests.Session() as session:
            body = {"name": "a", "listen": "127.0.0.1:0", "upstream": echo_server.address}
            proxy = session.post(f"{server.url}/proxies", json=body, timeout=DEADLINE).json()
            toxic = {"type": "latency", "attributes": {"latency": 60_000}}
            session.post(f"{server.url}/proxies/a/toxics", json=toxic, timeout=DEADLINE)
            with connect(proxy["listen"]) as connection:
                connection.sendall(b"held")
                server.process.send_signal(signal.SIGTERM)
                assert server.process.wait(DEADLINE) == 0
            assert "Traceback" not in server.log.read_text(encoding="utf-8")
