"""Brings the lab back to its baseline by state, whatever was done to it."""

from pathlib import Path

from toxiproxy import Proxy

from lab import settings as lab_settings
from lab import stack as stacks
from lab.engine import stocktaking
from lab.errors import LabError
from lab.settings import LabSettings
from lab.stack.base import Progress, Stack
from lab.stack.baseline import Management, apply_broker, apply_exporter, apply_limits, apply_user
from lab.toxiproxy import toxiproxy

# Exchange and queue; without these, messages or dead letters have nowhere to go.
BINDINGS = {("messages", "messages"), ("messages.dlx", "messages.dlq")}


def to_baseline(progress: Progress, settings_before: str | None = None) -> None:
    """Settings, links, processes, broker and queues, in this order.

    `settings_before` is what the settings file held before the run; None leaves it as it is.
    Raises LabError when a part cannot be brought back.
    """
    path: Path = lab_settings.env_file()
    if settings_before is not None and path.read_text(encoding="utf-8") != settings_before:
        path.write_text(settings_before, encoding="utf-8")
        progress(f"{path.name} is as it was before the run")
    settings = lab_settings.load()
    stack = stacks.current(settings)
    stack.show_control()
    heal(settings, stack, progress)
    stocktaking.take(settings, stack, progress, emptied=_mark(settings).touch)
    progress("links, policies, users and queues are back at the baseline")


def emptied_at(settings: LabSettings) -> float:
    """Unix time in seconds at which the queues were last emptied; 0 where they never were."""
    mark = _mark(settings)
    return mark.stat().st_mtime if mark.exists() else 0.0


def _mark(settings: LabSettings) -> Path:
    return settings.run_dir / "emptied"


def heal(settings: LabSettings, stack: Stack, progress: Progress) -> None:
    """Links, processes, broker and topology, in this order; no message is touched."""
    if stack.is_up():
        # The services could not become healthy over a broken link.
        _restore_links(stack)
        # Nor with a broker that blocks them.
        stack.start("rabbitmq")
        apply_limits(stack)
        apply_exporter(stack)
        # Nor without permissions.
        apply_user(settings, stack)
        apply_broker(settings)
    stack.reset(progress)
    apply_broker(settings)
    _restore_topology(settings, stack)


def _restore_links(stack: Stack) -> None:
    try:
        stack.start("toxiproxy")
        _reset_links(stack)
    except LabError:
        stack.restart("toxiproxy")  # it hangs
        _reset_links(stack)


def _reset_links(stack: Stack) -> None:
    """Every link as it ought to be; connections over those that are, go on."""
    server = toxiproxy(stack)
    server.reset()
    missing = {link["name"]: link for link in stack.links()}
    for name, proxy in server.proxies().items():
        if name in missing and _is_as_wanted(proxy, missing[name]):
            del missing[name]
        else:
            proxy.destroy()
    if missing:
        server.populate(list(missing.values()))


def _is_as_wanted(proxy: Proxy, link: dict) -> bool:
    # Toxiproxy tells 0.0.0.0 as the address that it listens at: [::].
    return (proxy.listen.replace("[::]", "0.0.0.0"), proxy.upstream) == (link["listen"], link["upstream"])


def _restore_topology(settings: LabSettings, stack: Stack) -> None:
    """The services declare queues and bindings when they connect: where one is missing, let them do it again."""
    bindings = Management(settings).call("GET", "bindings", "/")
    if not BINDINGS <= {(binding["source"], binding["destination"]) for binding in bindings}:
        stack.restart("consumer")
