"""The broker: what it defines, its limits and plugins, and who is connected, compared with the baseline and restored.

https://www.rabbitmq.com/docs/management#http-api
"""

import socket

import psutil

from lab import settings as lab_settings
from lab.baseline import access
from lab.baseline.definitions import MEMORY_LIMIT, VHOST, Difference, differences, wanted
from lab.errors import LabError
from lab.settings import LabSettings
from lab.stack import erlang
from lab.stack.base import Progress, Stack
from lab.stack.baseline import USUAL_MEMORY, Management, run_in_broker
from services.consumer.retry import RetryPolicy
from services.consumer.settings import ConsumerSettings
from services.messaging.topology import PRODUCER_NAME

DISK_FREE_LIMIT = 50_000_000  # bytes: USUAL_DISK
CONNECT_SECONDS = 2
CONTAINER_MEMORY = 2**30  # mem_limit of docker-compose.yml


def compare(settings: LabSettings, stack: Stack) -> list[str]:
    """A line for each difference. Raises LabError where the broker stops answering meanwhile."""
    if closed := access.problem(settings):
        return [closed]
    management = Management(settings)
    found = management.call("GET", "definitions")
    return [*map(str, differences(_wanted(settings), found)),
            *_of_nodes(management, found), *_of_tracing(management), *_of_listener(settings),
            *(f"connection {name}: not one of the lab's" for name in _foreign_connections(management, stack).values())]


def restore(settings: LabSettings, stack: Stack, progress: Progress) -> None:
    """Put everything back, by the management's API; see `access` for what that cannot do."""
    management = Management(settings)
    baseline = _wanted(settings)
    found = differences(baseline, management.call("GET", "definitions"))
    for one in found:
        if one.kind == "parameters":
            _clear_parameter(management, stack, one)
        elif one.is_foreign or not one.is_missing and one.kind in {"queues", "exchanges"}:
            _remove(management, one)
        elif one.kind == "users":
            _restore_user(management, settings)
    if found:
        # Passwords are not a part of it, and it would not change what has other arguments.
        management.call("POST", "definitions", **{kind: entries for kind, entries in baseline.items() if kind != "users"})
    for _line in _of_tracing(management):
        management.call("PUT", "vhosts", VHOST, tracing=False)
    for name in _foreign_connections(management, stack):
        management.call("DELETE", "connections", name, missing_ok=True)


def _wanted(settings: LabSettings) -> dict[str, list[dict]]:
    consumer = ConsumerSettings(_env_file=lab_settings.env_file(), consumer_name="consumer")
    return wanted(settings.rabbitmq_user, RetryPolicy(consumer.max_attempts, consumer.retry_base_delay).delays_ms())


def _remove(management: Management, one: Difference) -> None:
    if one.kind == "bindings":
        _unbind(management, one)
        return
    path = {"topic_permissions": ("topic-permissions", *one.key[:2]), "global_parameters": ("global-parameters", *one.key)}
    management.call("DELETE", *path.get(one.kind, (one.kind, *one.key)), missing_ok=True)


def _unbind(management: Management, one: Difference) -> None:
    vhost, source, kind, destination, routing_key = one.key
    path = ("bindings", vhost, "e", source, kind[0], destination)
    for binding in management.call("GET", *path, missing_ok=True) or []:
        if binding["routing_key"] == routing_key:
            management.call("DELETE", *path, binding["properties_key"], missing_ok=True)


def _clear_parameter(management: Management, stack: Stack, one: Difference) -> None:
    vhost, component, name = one.key
    try:
        if component == "operator_policy":
            management.call("DELETE", "operator-policies", vhost, name, missing_ok=True)
        else:
            management.call("DELETE", "parameters", component, vhost, name)
    except LabError:
        # The plugin that it belongs to is disabled, and only with it the API knows the component.
        term = ", ".join(map(erlang.binary, one.key))
        run_in_broker(stack, 'rabbitmqctl --quiet eval "$1" >/dev/null',
                      f'rabbit_runtime_parameters:clear_any({term}, <<"lab">>).')


def _restore_user(management: Management, settings: LabSettings) -> None:
    management.call("PUT", "users", settings.rabbitmq_user, password=settings.rabbitmq_pass, tags="administrator")
    for limits in management.call("GET", "user-limits", settings.rabbitmq_user):
        for name in limits["value"]:
            management.call("DELETE", "user-limits", settings.rabbitmq_user, name, missing_ok=True)


def _of_nodes(management: Management, found: dict[str, list[dict]]) -> list[str]:
    """What the nodes say of themselves; for up to five seconds, that may be what was before."""
    stored = [one["value"] for one in found["global_parameters"] if one["name"] == MEMORY_LIMIT]
    lines = []
    for node in management.call("GET", "nodes"):
        if not _is_usual_memory(node.get("mem_limit"), stored):
            lines.append("memory limit: changed")
        if node.get("disk_free_limit", DISK_FREE_LIMIT) != DISK_FREE_LIMIT:
            lines.append("disk limit: changed")
        lines += [f"{kind} alarm: in effect" for kind, key in (("memory", "mem_alarm"), ("disk", "disk_free_alarm"))
                  if node.get(key)]
        if sorted(node.get("enabled_plugins", access.PLUGINS)) != access.PLUGINS:
            lines.append(f"plugins: {', '.join(sorted(node['enabled_plugins'])) or 'none'} "
                         f"instead of {', '.join(access.PLUGINS)}")
        if node.get("being_drained") is True:
            lines.append("broker: in maintenance")
    return lines


def _is_usual_memory(limit: int | None, stored: list[int]) -> bool:
    """Whether it is the usual share of the memory that the broker sees; None: it does not know yet."""
    seen = [float(USUAL_MEMORY) * total for total in (psutil.virtual_memory().total, CONTAINER_MEMORY)]
    return limit is None or any(abs(limit - usual) < 0.01 * usual for usual in stored or seen)


def _of_tracing(management: Management) -> list[str]:
    vhost = management.call("GET", "vhosts", VHOST, missing_ok=True)
    return ["tracing: on"] if vhost and vhost["tracing"] else []


def _of_listener(settings: LabSettings) -> list[str]:
    """Its listeners may be suspended, which leaves the connections that are open alone."""
    try:
        socket.create_connection(("127.0.0.1", settings.rabbitmq_port), CONNECT_SECONDS).close()
    except OSError:
        return ["broker: takes no connections"]
    return []


def _foreign_connections(management: Management, stack: Stack) -> dict[str, str]:
    """The name of each connection that no service opened, and how to show it."""
    ours = stack.consumer_connections()
    return {one["name"]: f"{one.get('user_provided_name') or 'without a name'} of user {one.get('user')}"
            for one in management.call("GET", "connections") if one.get("user_provided_name") not in ours
            and not str(one.get("user_provided_name")).startswith(PRODUCER_NAME)}
