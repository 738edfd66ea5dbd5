#!/usr/bin/env python3
"""A stand-in for Grafana, where there is none: it checks that what Grafana would be given is there and right.

It is started as Grafana is, reads the same settings and provisioning files, and refuses to start on
what Grafana would choke on, or would show as an empty panel. Of its API it serves what is asked of it
here: /api/health, /api/datasources, /api/datasources/uid/<uid>/health, /api/search,
/api/dashboards/uid/<uid>, /api/dashboards/home, and /api/annotations, to read and to write.
"""

import base64
import configparser
import json
import os
import re
import sys
import urllib.request
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import yaml

HEALTH_PATHS = {"prometheus": "/-/ready", "alertmanager": "/-/ready"}


class Wrong(Exception):
    """Something that Grafana would be given is missing or wrong."""


class Grafana:
    """All that would be provisioned."""

    def __init__(self, environment: dict[str, str], config: Path):
        self._environment = environment
        self.annotations: list[dict] = []
        self.settings = self._settings(config)
        folder = Path(environment["GF_PATHS_PROVISIONING"])
        self.datasources = {one["uid"]: one for one in self._entries(folder / "datasources", "datasources")}
        self.dashboards: dict[str, dict] = {}
        for provider in self._entries(folder / "dashboards", "providers"):
            self._load_dashboards(Path(provider["options"]["path"]))
        home = Path(self.settings["dashboards"]["default_home_dashboard_path"])
        self.home = json.loads(self._need(home).read_text(encoding="utf-8"))
        self._need(self.home["uid"] in self.dashboards and home, f"the home dashboard {home} is not provisioned")
        if not self.settings.getboolean("auth.anonymous", "enabled"):
            raise Wrong("nobody may look without a password")

    def _settings(self, path: Path) -> configparser.ConfigParser:
        settings = configparser.ConfigParser(interpolation=None)
        settings.read_string(self._expanded(self._need(path).read_text(encoding="utf-8")))
        return settings

    def _entries(self, folder: Path, key: str) -> list[dict]:
        files = sorted(self._need(folder).glob("*.yml")) + sorted(folder.glob("*.yaml"))
        self._need(files and folder, f"{folder} holds no file")
        entries = []
        for file in files:
            content = yaml.safe_load(self._expanded(file.read_text(encoding="utf-8")))
            if content.get("apiVersion") != 1:
                raise Wrong(f"{file}: apiVersion is not 1")
            entries += content[key]
        return entries

    def _expanded(self, text: str) -> str:
        """$NAME and ${NAME}, which Grafana takes from its environment."""
        def value(match: re.Match) -> str:
            name = match[1] or match[2]
            if name not in self._environment:
                raise Wrong(f"the variable {name} is used, and not set")
            return self._environment[name]

        without_comments = re.sub(r"^\s*[#;].*$", "", text, flags=re.MULTILINE)
        return re.sub(r"\$(?:\{(\w+)\}|([A-Z]\w*))", value, without_comments)

    def _load_dashboards(self, folder: Path) -> None:
        for file in sorted(self._need(folder).rglob("*.json")):
            dashboard = json.loads(file.read_text(encoding="utf-8"))
            uid = dashboard.get("uid") or ""
            if not re.fullmatch(r"[A-Za-z0-9_-]{1,40}", uid) or uid in self.dashboards:
                raise Wrong(f"{file}: the uid {uid!r} is not valid, or there twice")
            self._check_datasources(file, dashboard)
            self.dashboards[uid] = dashboard

    def _check_datasources(self, file: Path, dashboard: dict) -> None:
        variables = {one["name"]: one for one in dashboard["templating"]["list"]}
        used = [(panel["title"], panel["datasource"]) for panel in dashboard["panels"] if panel["type"] != "row"]
        used += [(panel["title"], target["datasource"]) for panel in dashboard["panels"]
                 for target in panel.get("targets", [])]
        used += [(name, one["datasource"]) for name, one in variables.items() if one["type"] == "query"]
        for title, datasource in used:
            uid = datasource["uid"]
            if variable := re.fullmatch(r"\$\{(\w+)\}", uid):
                kind = variables[variable[1]]
                if kind["type"] != "datasource" or kind["query"] != datasource["type"]:
                    raise Wrong(f"{file}: {title}: {uid} is no data source variable of type {datasource['type']}")
                uid = kind["current"]["value"]
            if self.datasources.get(uid, {}).get("type") != datasource["type"]:
                raise Wrong(f"{file}: {title}: no data source {uid!r} of type {datasource['type']}")

    @staticmethod
    def _need(path, otherwise: str | None = None) -> Path:
        if not path or not path.exists():
            raise Wrong(otherwise or f"{path} is missing")
        return path

    def answer(self, path: str) -> dict | list | None:
        """What the API says; None where there is nothing."""
        if path == "/api/health":
            return {"database": "ok", "version": "stand-in"}
        if path == "/api/datasources":
            return list(self.datasources.values())
        if path == "/api/annotations":
            return self.annotations
        if path == "/api/search":
            return [{"uid": uid, "title": one["title"]} for uid, one in self.dashboards.items()]
        if path == "/api/dashboards/home":
            return {"dashboard": self.home}
        if match := re.fullmatch(r"/api/dashboards/uid/([\w-]+)", path):
            dashboard = self.dashboards.get(match[1])
            return dashboard and {"dashboard": dashboard}
        if match := re.fullmatch(r"/api/datasources/uid/([\w-]+)/health", path):
            return self._reached(match[1])
        return None

    def annotate(self, authorization: str | None, annotation: dict) -> int:
        """The status of a POST: only the admin may write, and an annotation needs time and text."""
        password = self._environment.get("GF_SECURITY_ADMIN_PASSWORD", "admin")
        if authorization != "Basic " + base64.b64encode(f"admin:{password}".encode()).decode():
            return 401
        if not isinstance(annotation.get("time"), int) or not annotation.get("text"):
            return 400
        self.annotations.append(annotation)
        return 200

    def _reached(self, uid: str) -> dict | None:
        """Whether the data source answers from here, as Grafana would ask it."""
        datasource = self.datasources.get(uid)
        if datasource is None:
            return None
        with urllib.request.urlopen(datasource["url"] + HEALTH_PATHS[datasource["type"]], timeout=5):
            return {"status": "OK"}


def serve(grafana: Grafana, host: str, port: int) -> None:
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self):
            try:
                content = grafana.answer(self.path)
                status = 404 if content is None else 200
            except OSError as error:
                content, status = {"status": "ERROR", "message": str(error)}, 400
            self._answer(status, content)

        def do_POST(self):
            annotation = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            known = self.path == "/api/annotations"
            self._answer(grafana.annotate(self.headers["Authorization"], annotation) if known else 404, {})

        def _answer(self, status: int, content) -> None:
            body = json.dumps(content).encode()
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_args):
            pass

    ThreadingHTTPServer((host, port), Handler).serve_forever()


def main() -> None:
    options = dict(zip(sys.argv, sys.argv[1:], strict=False))
    config = Path(options.get("--config") or os.environ["GF_PATHS_CONFIG"])
    try:
        grafana = Grafana(dict(os.environ), config)
    except Wrong as error:
        sys.exit(f"grafana: {error}")
    serve(grafana, os.environ.get("GF_SERVER_HTTP_ADDR", "0.0.0.0"), int(os.environ.get("GF_SERVER_HTTP_PORT", "3000")))


if __name__ == "__main__":
    main()
