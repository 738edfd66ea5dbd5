"""What the broker defines at the baseline, and how what it defines now differs from that. Pure: no calls.

The form is that of `GET /api/definitions`. https://www.rabbitmq.com/docs/definitions
"""

from collections.abc import Iterable
from dataclasses import dataclass

from lab.stack.baseline import POLICIES
from services.messaging import topology

VHOST = "/"
# Where the lab stores what 40 % of the broker's memory is, in bytes: the API has no other place to read it from.
MEMORY_LIMIT = "lab_memory_limit"
# Global parameters that the broker sets itself; their names start so.
_OWN_PARAMETERS = ("internal_", "imported_definition", "cluster_tags", MEMORY_LIMIT)

Key = tuple[str, ...]


@dataclass(frozen=True)
class Kind:
    """A list of the definitions: what a person calls an entry, what identifies it, and what is compared."""

    label: str
    key: Key
    compared: Key


# In the order in which foreign entries are removed: a shovel declares its queue again for as long as it exists.
KINDS = {
    "vhosts": Kind("virtual host", ("name",), ()),
    "parameters": Kind("parameter", ("vhost", "component", "name"), ("value",)),
    "users": Kind("user", ("name",), ("tags", "limits")),
    "permissions": Kind("permissions of", ("vhost", "user"), ("configure", "write", "read")),
    "topic_permissions": Kind("topic permissions of", ("vhost", "user", "exchange"), ("write", "read")),
    "policies": Kind("policy", ("vhost", "name"), ("pattern", "apply-to", "priority", "definition")),
    "global_parameters": Kind("global parameter", ("name",), ("value",)),
    "bindings": Kind("binding", ("vhost", "source", "destination_type", "destination", "routing_key"), ("arguments",)),
    "queues": Kind("queue", ("vhost", "name"), ("durable", "auto_delete", "arguments")),
    "exchanges": Kind("exchange", ("vhost", "name"), ("type", "durable", "auto_delete", "internal", "arguments")),
}


@dataclass(frozen=True)
class Difference:
    """One entry that is not as at the baseline; `is_foreign` where the baseline has none of that key."""

    kind: str
    key: Key
    problem: str
    is_foreign: bool = False
    is_missing: bool = False

    def __str__(self) -> str:
        named = " ".join(self.key[1:] if KINDS[self.kind].key[0] == "vhost" else self.key)
        return f"{KINDS[self.kind].label} {named}: {self.problem}"


def wanted(user: str, retry_delays_ms: Iterable[int]) -> dict[str, list[dict]]:
    """The definitions of a lab at its baseline, whose services connect as `user`; without passwords."""
    durable = {"vhost": VHOST, "durable": True, "auto_delete": False}
    return {
        "vhosts": [{"name": VHOST}],
        "users": [{"name": user, "tags": ["administrator"], "limits": {}}],
        "permissions": [{"user": user, "vhost": VHOST, "configure": ".*", "write": ".*", "read": ".*"}],
        "topic_permissions": [],
        "parameters": [],
        "global_parameters": [],
        "policies": [{"name": name, **policy} for name, policy in POLICIES.items()],
        "queues": [durable | {"name": name, "arguments": arguments}
                   for name, arguments in topology.queue_arguments(retry_delays_ms).items()],
        "exchanges": [durable | {"name": name, "type": kind, "internal": False, "arguments": {}}
                      for name, kind in topology.EXCHANGES.items()],
        "bindings": [{"vhost": VHOST, "source": source, "destination": queue, "destination_type": "queue",
                      "routing_key": key, "arguments": {}} for source, queue, key in sorted(topology.BINDINGS)],
    }


def differences(baseline: dict[str, list[dict]], found: dict[str, list[dict]]) -> list[Difference]:
    """In the order of `KINDS`. What is in a foreign virtual host goes with that, and is not listed."""
    return [difference for kind in KINDS
            for difference in _of_kind(kind, _entries(kind, baseline[kind]), _entries(kind, found.get(kind, [])))]


def _of_kind(kind: str, baseline: dict[Key, dict], found: dict[Key, dict]) -> Iterable[Difference]:
    for key in sorted(baseline.keys() | found.keys()):
        if key not in baseline:
            yield Difference(kind, key, "not one of the lab's", is_foreign=True)
        elif key not in found:
            yield Difference(kind, key, "missing", is_missing=True)
        elif changed := [name for name in KINDS[kind].compared if baseline[key][name] != found[key][name]]:
            yield Difference(kind, key, f"changed ({', '.join(changed)})")


def _entries(kind: str, listed: Iterable[dict]) -> dict[Key, dict]:
    fields = KINDS[kind]
    entries = map(_normalised, listed)
    return {tuple(entry[name] for name in fields.key): {name: entry.get(name) for name in fields.compared}
            for entry in entries if entry.get("vhost", VHOST) == VHOST and not _is_the_brokers(kind, entry)}


def _normalised(entry: dict) -> dict:
    """One form for what differs from version to version of the broker."""
    if isinstance(entry.get("tags"), str):
        return entry | {"tags": [tag for tag in entry["tags"].split(",") if tag]}
    if "durable" in entry and "type" in entry and "internal" not in entry:  # a queue; its type is an argument, too
        return entry | {"arguments": {"x-queue-type": entry["type"]} | entry["arguments"]}
    return entry


def _is_the_brokers(kind: str, entry: dict) -> bool:
    return kind == "global_parameters" and entry["name"].startswith(_OWN_PARAMETERS)
