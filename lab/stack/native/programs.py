"""The programs of the native stack: how each one is started, and how it tells that it is healthy."""

import json
import os
import re
import shutil
import sys
from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass, field
from functools import partial
from pathlib import Path

from dotenv import dotenv_values

from lab.errors import LabError
from lab.settings import ROOT, LabSettings, env_file
from lab.stack import erlang
from lab.stack.base import JUDGE, MAX_CONSUMERS
from lab.stack.native import control_address
from lab.stack.native.scraping import PROMETHEUS, target_file, write_configuration, write_targets

TOOLS = ROOT / ".lab" / "tools"
TRAFFIC_USERS = 10
OLDEST_BROKER = (3, 10)  # the first with at-least-once dead-lettering of quorum queues


def _rabbitmq_bin() -> Path:
    """Where RabbitMQ's programs are; Debian's wrappers on the PATH insist on a system user of theirs."""
    debian = Path("/usr/lib/rabbitmq/bin")
    found = shutil.which("rabbitmq-server")
    return debian if debian.exists() or found is None else Path(found).resolve().parent


RABBITMQ_BIN = _rabbitmq_bin()


@dataclass(frozen=True)
class Command:
    """What to execute; `environment` is added to the one that is inherited."""

    argv: list[str]
    environment: dict[str, str] = field(default_factory=dict)

    def as_dict(self) -> dict:
        return asdict(self)


@dataclass(frozen=True)
class Program:
    """One program; times are in seconds."""

    name: str
    command: Callable[[LabSettings], Command]  # changes nothing: it is also asked for to compare
    ports: dict[str, int] = field(default_factory=dict)  # setting -> port
    health_url: str | None = None
    start_wait: int = 20
    stop_wait: int = 15
    prepare: Callable[[LabSettings], None] = lambda _settings: None  # writes the files that it reads at its start


def programs(settings: LabSettings) -> dict[str, Program]:
    """All programs by name, in the order in which they start."""
    listed = [
        Program("epmd", _epmd, {"EPMD_PORT": settings.epmd_port}),
        Program("rabbitmq", _rabbitmq, {
            "RABBITMQ_PORT": settings.rabbitmq_port,
            "RABBITMQ_MANAGEMENT_PORT": settings.rabbitmq_management_port,
            "RABBITMQ_PROMETHEUS_PORT": settings.rabbitmq_prometheus_port,
            "RABBITMQ_DIST_PORT": settings.rabbitmq_dist_port,
        }, f"{settings.management_url}/api/overview", start_wait=90, stop_wait=30, prepare=_prepare_rabbitmq),
        Program("toxiproxy", _toxiproxy, {
            "TOXIPROXY_PORT": settings.toxiproxy_port,
            "PRODUCER_LINK_PORT": settings.producer_link_port,
            "CONSUMER_LINK_PORT": settings.consumer_link_port,
            "CONSUMER_STANDBY_LINK_PORT": settings.consumer_standby_link_port,
            "PRODUCER_STANDBY_LINK_PORT": settings.producer_standby_link_port,
        }, f"http://{control_address.host(settings)}:{settings.toxiproxy_port}/version",
            prepare=_prepare_toxiproxy),
        Program("prometheus", _prometheus, {"PROMETHEUS_PORT": settings.prometheus_port},
                f"{settings.prometheus_url}/-/ready", prepare=partial(_prepare_scraper, name=PROMETHEUS)),
        Program(JUDGE, _judge, {"JUDGE_PORT": settings.judge_port}, f"{settings.judge_url}/-/ready",
                prepare=partial(_prepare_scraper, name=JUDGE)),
        Program("alertmanager", _alertmanager, {"ALERTMANAGER_PORT": settings.alertmanager_port},
                f"http://127.0.0.1:{settings.alertmanager_port}/-/ready"),
        Program("grafana", _grafana, {"GRAFANA_PORT": settings.grafana_port},
                f"http://127.0.0.1:{settings.grafana_port}/api/health", start_wait=60),
        Program("producer", _producer, {"PRODUCER_PORT": settings.producer_port},
                f"{settings.producer_url}/health"),
        *(_consumer_program(settings, number) for number in range(1, MAX_CONSUMERS + 1)),
        Program("traffic", _traffic, {"TRAFFIC_METRICS_PORT": settings.traffic_metrics_port},
                f"http://127.0.0.1:{settings.traffic_metrics_port}/metrics"),
        Program("legacy-importer", _legacy_importer),
        Program("partner", _partner),
    ]
    return {program.name: program for program in listed}


def note_launch(settings: LabSettings, name: str, command: Command) -> None:
    """Remember what a program was started with."""
    folder = settings.run_dir / "launched"
    folder.mkdir(exist_ok=True)
    (folder / f"{name}.json").write_text(json.dumps(command.as_dict()), encoding="utf-8")


def launched(settings: LabSettings, name: str) -> dict | None:
    """What the program was last started with (see `Command.as_dict`), None when it never was."""
    path = settings.run_dir / "launched" / f"{name}.json"
    return json.loads(path.read_text(encoding="utf-8")) if path.exists() else None


def installed_broker_version() -> tuple[int, ...]:
    """Version of the RabbitMQ that is installed, (0,) where it cannot be told."""
    home = RABBITMQ_BIN.parent  # of a Debian package, or itself rabbitmq_server-<version>
    names = [home.name, *(path.name for path in home.glob("lib/rabbitmq_server-*"))]
    found = [re.fullmatch(r"rabbitmq_server-([\d.]+).*", name) for name in names]
    return max((tuple(map(int, match[1].strip(".").split("."))) for match in found if match), default=(0,))


def grafana_is_installed() -> bool:
    """Where it is not, the native stack goes without."""
    return bool(shutil.which("grafana") or shutil.which("grafana-server"))


def consumer_ports(settings: LabSettings, names: Iterable[str]) -> dict[str, int]:
    return {name: settings.consumer_port + int(name.removeprefix("consumer-")) - 1 for name in names}


def consumer_names(count: int = MAX_CONSUMERS) -> list[str]:
    return [f"consumer-{number}" for number in range(1, count + 1)]


def links(settings: LabSettings) -> list[dict]:
    """Toxiproxy's proxies: every AMQP connection of the services crosses one of them."""
    upstream = f"127.0.0.1:{settings.rabbitmq_port}"
    listens = {
        "producer-link": settings.producer_link_port,
        "producer-link-standby": settings.producer_standby_link_port,
        "consumer-link": settings.consumer_link_port,
        "consumer-link-standby": settings.consumer_standby_link_port,
    }
    return [{"name": name, "listen": f"127.0.0.1:{port}", "upstream": upstream, "enabled": True}
            for name, port in listens.items()]


def broker_environment(settings: LabSettings) -> dict[str, str]:
    """What rabbitmq-server and its command line tools need to be this lab's private node."""
    home = settings.run_dir / "rabbitmq"
    return {
        "HOME": str(home),  # the Erlang cookie lives there
        "RABBITMQ_NODENAME": "sre-lab@localhost",
        "RABBITMQ_CONFIG_FILE": str(home / "rabbitmq.conf"),
        "RABBITMQ_ADVANCED_CONFIG_FILE": str(home / "advanced.config"),
        "RABBITMQ_CONF_ENV_FILE": str(home / "no-rabbitmq-env.conf"),  # not the system's
        "RABBITMQ_ENABLED_PLUGINS_FILE": str(home / "enabled_plugins"),
        "RABBITMQ_MNESIA_BASE": str(home / "data"),
        "RABBITMQ_LOG_BASE": str(home / "log"),
        "RABBITMQ_DIST_PORT": str(settings.rabbitmq_dist_port),
        "ERL_EPMD_PORT": str(settings.epmd_port),
        "ERL_EPMD_ADDRESS": "127.0.0.1",
        "ERL_CRASH_DUMP_BYTES": "0",
        # Our own epmd is supervised; idle schedulers sleep instead of spinning on a small machine.
        "RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS":
            "-start_epmd false -kernel inet_dist_use_interface {127,0,0,1} "
            "+sbwt none +sbwtdcpu none +sbwtdio none",
        "RABBITMQ_CTL_ERL_ARGS": "-start_epmd false",
    }


def toxiproxy_binary(settings: LabSettings) -> str | None:
    """Path of the real Toxiproxy, or None where the embedded stand-in serves."""
    if settings.lab_toxiproxy == "standin":
        return None
    built = TOOLS / "toxiproxy-server"
    found = shutil.which("toxiproxy-server") or (str(built) if built.exists() else None)
    if found is None and settings.lab_toxiproxy == "real":
        raise LabError("LAB_TOXIPROXY=real, but there is no toxiproxy-server: run `make setup`, "
                       "or set LAB_TOXIPROXY=auto")
    return found


def _epmd(settings: LabSettings) -> Command:
    return Command([_which("epmd"), "-port", str(settings.epmd_port), "-address", "127.0.0.1"])


def _rabbitmq(settings: LabSettings) -> Command:
    return Command([str(RABBITMQ_BIN / "rabbitmq-server")], broker_environment(settings))


def _prepare_rabbitmq(settings: LabSettings) -> None:
    home = settings.run_dir / "rabbitmq"
    home.mkdir(parents=True, exist_ok=True)
    shutil.copy(ROOT / "rabbitmq" / "enabled_plugins", home)
    (home / "rabbitmq.conf").write_text("\n".join([
        f"listeners.tcp.1 = 127.0.0.1:{settings.rabbitmq_port}",
        "management.tcp.ip = 127.0.0.1",
        f"management.tcp.port = {settings.rabbitmq_management_port}",
        "prometheus.tcp.ip = 127.0.0.1",
        f"prometheus.tcp.port = {settings.rabbitmq_prometheus_port}",
        (ROOT / "rabbitmq" / "sre-lab.conf").read_text(encoding="utf-8"),
    ]), encoding="utf-8")
    # Its terms, unlike the lines of rabbitmq.conf, can quote any character.
    (home / "advanced.config").write_text("[{rabbit, [{default_user, %s}, {default_pass, %s}]}].\n" % (
        erlang.binary(settings.rabbitmq_user), erlang.binary(settings.rabbitmq_pass)), encoding="utf-8")


def _toxiproxy(settings: LabSettings) -> Command:
    binary = toxiproxy_binary(settings)
    server = [binary] if binary else [sys.executable, "-m", "lab.proxy"]
    return Command([*server, "-host", control_address.host(settings), "-port", str(settings.toxiproxy_port),
                    "-config", str(_toxiproxy_file(settings)), "-proxy-metrics", "-runtime-metrics"])


def _prepare_toxiproxy(settings: LabSettings) -> None:
    _toxiproxy_file(settings).write_text(json.dumps(links(settings), indent=2), encoding="utf-8")


def _toxiproxy_file(settings: LabSettings) -> Path:
    return settings.run_dir / "toxiproxy.json"


def _prometheus(settings: LabSettings) -> Command:
    return Command([*_scraper(settings, PROMETHEUS, settings.prometheus_port), "--web.enable-lifecycle"])


def _judge(settings: LabSettings) -> Command:
    return Command(_scraper(settings, JUDGE, settings.judge_port))


def _scraper(settings: LabSettings, name: str, port: int) -> list[str]:
    folder = settings.run_dir / name
    return [
        _which("prometheus"), f"--config.file={folder / 'prometheus.yml'}",
        f"--storage.tsdb.path={settings.run_dir / f'{name}-data'}",
        f"--web.listen-address=127.0.0.1:{port}",
    ]


def _prepare_scraper(settings: LabSettings, name: str) -> None:
    write_configuration(settings, name)
    unknown = not (settings.run_dir / name / target_file("consumer")).exists()
    write_targets(settings, consumer_ports(settings, consumer_names(settings.lab_consumers)) if unknown else None)


def _grafana(settings: LabSettings) -> Command:
    folder = settings.run_dir / "grafana"
    dashboards = ROOT / "dashboards"
    binary = _which("grafana", "grafana-server")
    subcommand = ["server"] if Path(binary).name == "grafana" else []
    options = ["--homepath", _grafana_home(binary), "--config", str(dashboards / "grafana.ini")]
    return Command([binary, *subcommand, *options], {
        "GF_SERVER_HTTP_ADDR": "127.0.0.1",
        "GF_SERVER_HTTP_PORT": str(settings.grafana_port),
        "GF_SECURITY_ADMIN_PASSWORD": settings.grafana_password,
        "GF_PATHS_DATA": str(folder),
        "GF_PATHS_LOGS": str(folder / "log"),
        "GF_PATHS_PLUGINS": str(folder / "plugins"),
        "GF_PATHS_PROVISIONING": str(dashboards / "provisioning"),
        "DASHBOARDS": str(dashboards),
        "PROMETHEUS_URL": settings.prometheus_url,
        "ALERTMANAGER_URL": f"http://127.0.0.1:{settings.alertmanager_port}",
    })


def _grafana_home(binary: str) -> str:
    """Where Grafana's own pages are: a package's folder, or that of the archive that holds the binary."""
    package = Path("/usr/share/grafana")
    return str(package if package.exists() else Path(binary).resolve().parents[1])


def _alertmanager(settings: LabSettings) -> Command:
    return Command([
        _which("prometheus-alertmanager", "alertmanager"),
        f"--config.file={ROOT / 'prometheus' / 'alertmanager.yml'}",
        f"--storage.path={settings.run_dir / 'alertmanager-data'}",
        f"--web.listen-address=127.0.0.1:{settings.alertmanager_port}",
        "--cluster.listen-address=",
    ])


def _producer(settings: LabSettings) -> Command:
    port = (settings.producer_link_port if settings.producer_link == "primary"
            else settings.producer_standby_link_port)
    return _service(settings, "producer", port)


def _consumer_program(settings: LabSettings, number: int) -> Program:
    name = f"consumer-{number}"
    port = consumer_ports(settings, [name])[name]

    def command(settings: LabSettings) -> Command:
        link_port = (settings.consumer_link_port if settings.consumer_link == "primary"
                     else settings.consumer_standby_link_port)
        return _service(settings, "consumer", link_port, CONSUMER_NAME=name, CONSUMER_PORT=str(port))

    return Program(name, command, {"CONSUMER_PORT": port}, f"http://127.0.0.1:{port}/health", stop_wait=20)


def _service(settings: LabSettings, name: str, link_port: int, **environment: str) -> Command:
    temporary = settings.run_dir / "tmp"
    temporary.mkdir(exist_ok=True)
    return Command([sys.executable, str(ROOT / "services" / name / "app.py")], {
        # Where the environment has a setting, it has precedence over the file, as everywhere.
        **{key: value for key, value in dotenv_values(env_file()).items() if key not in os.environ},
        "RABBITMQ_HOST": "127.0.0.1",
        "RABBITMQ_PORT": str(link_port),
        "LEDGER_DIR": str(settings.ledger_dir),
        "TMPDIR": str(temporary),
        "PYTHONUNBUFFERED": "1",
        **environment,
    })


def _traffic(settings: LabSettings) -> Command:
    users = ["--headless", "--only-summary", "--users", str(TRAFFIC_USERS), "--spawn-rate", str(TRAFFIC_USERS)]
    return _locust(settings, "traffic", users, LOAD_METRICS_PORT=str(settings.traffic_metrics_port))


def load_page(settings: LabSettings, workers: int) -> Command:
    """Locust with its web page, and that many processes that send, beside the steady traffic."""
    port = str(settings.locust_master_port)
    return _locust(settings, "load", [
        "--web-host", "127.0.0.1", "--web-port", str(settings.locust_port), "--processes", str(workers),
        "--master-bind-host", "127.0.0.1", "--master-bind-port", port, "--master-port", port,
    ], file="lab/load/page.py", RABBITMQ_HOST="127.0.0.1", RABBITMQ_PORT=str(settings.rabbitmq_port),
        RABBITMQ_USER=settings.rabbitmq_user, RABBITMQ_PASS=settings.rabbitmq_pass)


def _partner(settings: LabSettings) -> Command:
    # What and how often it sends is added when it is started.
    return _locust(settings, "partner", ["--headless", "--only-summary"], file="lab/faults/partner_client.py")


def _locust(settings: LabSettings, name: str, options: list[str], file: str = "locustfile.py",
            **environment: str) -> Command:
    return Command([
        sys.executable, "-m", "locust", "-f", str(ROOT / file), "--host", settings.producer_url, *options,
    ], {
        "LOAD_RATE": str(settings.lab_traffic_rate),
        "LOAD_USERS": str(TRAFFIC_USERS),
        "LOAD_LEDGER": str(settings.ledger_dir / f"acknowledged-{name}.jsonl"),
        "HOME": str(settings.run_dir / "tmp"),  # Locust looks for a configuration there
        "PYTHONUNBUFFERED": "1",
        **environment,
    })


def _legacy_importer(settings: LabSettings) -> Command:
    # Past Toxiproxy; what and how much it sends is added when it is started.
    return Command([sys.executable, "-m", "lab.faults.legacy_importer"], {
        "RABBITMQ_HOST": "127.0.0.1", "RABBITMQ_PORT": str(settings.rabbitmq_port)})


def _which(*names: str) -> str:
    for name in names:
        if path := shutil.which(name):
            return path
    raise LabError(f"{names[0]} is not installed: run `make setup`")
