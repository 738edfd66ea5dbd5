"""The lab's state, part by part, to compare what a reset left with what there was before the fault."""

from typing import Any

from dotenv import dotenv_values

from lab import settings as lab_settings
from lab.errors import LabError
from lab.settings import LabSettings
from lab.stack.base import Stack
from lab.stack.baseline import Management
from lab.toxiproxy import toxiproxy

State = dict[str, dict[str, Any]]  # part, name, properties


def state(settings: LabSettings, stack: Stack) -> State:
    """Raises LabError where a part does not answer, or the broker does not yet know its own limits."""
    broker = Management(settings)

    def listed(path: str, key: str, *properties: str) -> dict[str, Any]:
        return {entry[key]: [entry.get(name) for name in properties] for entry in broker.call("GET", path)}

    limits = listed("nodes", "name", "mem_limit", "disk_free_limit", "mem_alarm", "disk_free_alarm")
    if any(None in values for values in limits.values()):
        raise LabError("the broker has just started: its management does not know its limits yet")
    return {
        "setting": dict(dotenv_values(lab_settings.env_file())),
        "service": {status.name: [status.state, status.healthy] for status in stack.status()},
        "link": {name: [proxy.listen, proxy.upstream, proxy.enabled, sorted(proxy.toxics())]
                 for name, proxy in toxiproxy(stack).proxies().items()},
        "user": listed("users", "name", "tags"),
        "permission of": listed("permissions", "user", "vhost", "configure", "write", "read"),
        "limit of user": listed("user-limits", "user", "value"),
        "limit of virtual host": listed("vhost-limits", "vhost", "value"),
        "policy": listed("policies", "name", "pattern", "apply-to", "priority", "definition"),
        "operator policy": listed("operator-policies", "name", "definition"),
        "exchange": listed("exchanges", "name", "type"),
        "queue": listed("queues", "name", "arguments"),
        "binding": {f"{entry['source']} to {entry['destination']}": entry["routing_key"]
                    for entry in broker.call("GET", "bindings") if entry["source"]},
        "limits of node": limits,
    }


def left_over(settings: LabSettings, stack: Stack, before: State) -> list[str]:
    """What is not as it was, and messages that wait. Raises LabError where a part does not answer."""
    on_their_way = {"messages": settings.lab_traffic_rate}  # under traffic, there are always some
    waiting = [f"queue {queue['name']} holds {queue['messages']} messages"
               for queue in Management(settings).call("GET", "queues")
               if queue.get("messages", 0) > on_their_way.get(queue["name"], 0)]
    return differences(before, state(settings, stack)) + waiting


def differences(before: State, after: State) -> list[str]:
    """Pure: a sentence for each thing that is not as it was."""
    return [f"{part} {name} was {_shown(before[part].get(name))}, and is {_shown(after[part].get(name))}"
            for part in before for name in sorted(before[part].keys() | after[part].keys())
            if before[part].get(name) != after[part].get(name)]


def _shown(value: Any) -> str:
    return "not there" if value is None else repr(value)
