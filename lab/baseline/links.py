"""Toxiproxy's links, compared with the baseline and restored."""

from toxiproxy import Proxy

from lab.errors import LabError
from lab.stack.base import Stack
from lab.toxiproxy import toxiproxy


def compare(stack: Stack) -> list[str]:
    """A line for each difference. Raises LabError where Toxiproxy does not answer."""
    found, links = toxiproxy(stack).proxies(), {link["name"]: link for link in stack.links()}
    lines = [f"link {name}: not one of the lab's" for name in found if name not in links]
    for name, link in links.items():
        problems = _problems(found[name], link) if name in found else ["missing"]
        lines += [f"link {name}: {problem}" for problem in problems]
    return lines


def restore(stack: Stack) -> None:
    """Restart Toxiproxy where it hangs. Connections over links that are at the baseline are kept."""
    try:
        stack.start("toxiproxy")
        _reset(stack)
    except LabError:
        stack.restart("toxiproxy")
        _reset(stack)


def _reset(stack: Stack) -> None:
    server = toxiproxy(stack)
    server.reset()
    missing = {link["name"]: link for link in stack.links()}
    for name, proxy in server.proxies().items():
        if name in missing and _has_its_addresses(proxy, missing[name]):
            del missing[name]
        else:
            proxy.destroy()
    if missing:
        server.populate(list(missing.values()))


def _problems(proxy: Proxy, link: dict) -> list[str]:
    problems = [] if _has_its_addresses(proxy, link) else [f"{proxy.listen} to {proxy.upstream}"]
    problems += [] if proxy.enabled else ["disabled"]
    return problems + [f"toxic {name}" for name in sorted(proxy.toxics())]


def _has_its_addresses(proxy: Proxy, link: dict) -> bool:
    # Toxiproxy reports 0.0.0.0, which it listens at, as [::].
    return (proxy.listen.replace("[::]", "0.0.0.0"), proxy.upstream) == (link["listen"], link["upstream"])
