"""Runs the stand-in: ``python -m lab.proxy``, with the flags of toxiproxy-server."""

import argparse
import asyncio
import logging
import os
import random
import resource
import signal
import sys
from pathlib import Path

from lab.proxy import VERSION, address, httpd
from lab.proxy.api import Api
from lab.proxy.collection import ProxyCollection
from lab.proxy.errors import ProxyError
from lab.proxy.metrics import Metrics

log = logging.getLogger("lab.proxy")


def main() -> None:
    options = _parse_arguments()
    _set_up_log()
    _raise_file_limit()
    random.seed(options.seed)
    try:
        asyncio.run(_run(options))
    except ProxyError as error:
        sys.exit(f"error: {error}")


async def _run(options: argparse.Namespace) -> None:
    """Serves until SIGTERM or SIGINT; raises ProxyError where the port is not to be had."""
    ended = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, ended.set)
    listener = await address.listen(str(address.Address(options.host, options.port)))
    metrics = Metrics(proxy=options.proxy_metrics, runtime=options.runtime_metrics)
    proxies = ProxyCollection(metrics)
    if options.config:
        await _populate(proxies, options.config)
    server = await httpd.serve(listener, Api(proxies, metrics).handle)
    log.info("version %s, API on %s", VERSION, address.name_of(listener))
    await ended.wait()
    log.info("shutdown started")
    server.close()
    await proxies.stop()


async def _populate(proxies: ProxyCollection, config: Path) -> None:
    """Creates the proxies of a JSON file; one that is bad is reported and no more."""
    try:
        populated, error = await proxies.populate(config.read_bytes())
    except OSError as failure:
        log.error("cannot read config file %s: %s", config, failure.strerror)
        return
    if error:
        log.error("failed to populate proxies from file %s: %s", config, error)
    else:
        log.info("populated %d proxies from file %s", len(populated), config)


def _parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser("python -m lab.proxy", description=__doc__)
    add = parser.add_argument
    add("-host", "--host", default="localhost", help="host for the API to listen on")
    add("-port", "--port", default=8474, type=int, help="port for the API to listen on")
    add("-config", "--config", type=Path, help="JSON file of proxies to create on startup")
    add("-seed", "--seed", type=int, help="seed for the toxics' random numbers")
    add("-proxy-metrics", "--proxy-metrics", action="store_true",
        help="serve the proxies' Prometheus metrics")
    add("-runtime-metrics", "--runtime-metrics", action="store_true",
        help="serve the process's Prometheus metrics")
    add("-version", "--version", action="version",
        version=f"toxiproxy-server version {VERSION}")
    return parser.parse_args()


def _set_up_log() -> None:
    """Logs to standard output at LOG_LEVEL, or at INFO where that names no level."""
    levels = logging.getLevelNamesMapping()
    logging.basicConfig(
        stream=sys.stdout,
        level=levels.get(os.environ.get("LOG_LEVEL", "").upper(), logging.INFO),
        format="%(asctime)s %(levelname)s %(message)s",
    )


def _raise_file_limit() -> None:
    """Takes all file descriptors that the system grants, two for each connection."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


if __name__ == "__main__":
    main()
