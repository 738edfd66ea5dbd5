"""One container of the lab, as `docker inspect` tells of it."""

from datetime import UTC, datetime

from lab.stack.base import Status

CRASH_LOOP = 3  # restarts

_STATES = {"running": "running", "paused": "paused", "restarting": "failed", "created": "stopped",
           "exited": "stopped", "dead": "failed"}


def environment(config: dict) -> dict[str, str]:
    """What a container, or an image, has in its environment; `config` is a part of what inspecting it tells."""
    # A name without a value is a variable that is not set: Compose 2 asks so for what .env does not have.
    return dict(entry.split("=", 1) for entry in config["Env"] or [] if "=" in entry)


class Container:
    """A snapshot: ask the engine again for how it is later."""

    def __init__(self, inspected: dict):
        labels = inspected["Config"]["Labels"]
        self.id: str = inspected["Id"]
        self.service: str = labels["com.docker.compose.service"]
        self.number = int(labels["com.docker.compose.container-number"])
        self.image: str = inspected["Image"]
        self.hostname: str = inspected["Config"]["Hostname"]
        self.environment: dict[str, str] = environment(inspected["Config"])
        self._inspected = inspected

    @property
    def name(self) -> str:
        """As `lab ps` shows it: only of the consumers there may be several."""
        return f"consumer-{self.number}" if self.service == "consumer" else self.service

    @property
    def state(self) -> str:
        """running, starting, paused, stopped or failed."""
        state = _STATES.get(self._inspected["State"]["Status"], "failed")
        return "starting" if state == "running" and self._health == "starting" else state

    @property
    def lives(self) -> bool:
        return self.state in {"running", "starting", "paused"}

    @property
    def keeps_crashing(self) -> bool:
        """Whether the engine has started it again and again, and waits before it does so once more."""
        return self._inspected["State"]["Status"] == "restarting" and self._inspected["RestartCount"] >= CRASH_LOOP

    @property
    def problem(self) -> str | None:
        """Why it is not as it should be, None when it is."""
        if self.state != "running":
            return f"is {self.state}"
        return self._last_check or "is unhealthy" if self._health == "unhealthy" else None

    def status(self) -> Status:
        lives = self.lives
        checked = self._health is not None
        started = datetime.fromisoformat(self._inspected["State"]["StartedAt"])
        return Status(
            name=self.name, state=self.state, pid=self._inspected["State"]["Pid"] or None,
            uptime_seconds=(datetime.now(UTC) - started).total_seconds() if lives else None,
            healthy=(self.problem is None if checked else None) if self.state == "running" else False,
            detail=self.problem if self.state == "running" and self.problem else self._where)

    @property
    def _health(self) -> str | None:
        return self._inspected["State"].get("Health", {}).get("Status")

    @property
    def _last_check(self) -> str:
        """The last line of what the last health check said."""
        checks = self._inspected["State"]["Health"]["Log"] or [{"Output": ""}]
        return checks[-1]["Output"].strip().splitlines()[-1] if checks[-1]["Output"].strip() else ""

    @property
    def _where(self) -> str:
        """Its address inside, by which Prometheus knows it, and the ports that are published."""
        network = self._inspected["NetworkSettings"]
        addresses = [one["IPAddress"] for one in network["Networks"].values() if one["IPAddress"]]
        published = sorted({binding["HostPort"]
                            for bindings in network["Ports"].values() for binding in bindings or []})
        return " ".join([*addresses, *published])
