"""Numbers as Grafana writes them, for the units that the dashboards use."""

from collections.abc import Sequence

_RATES = {"reqps": "req/s", "mps": "msg/s", "ops": "ops/s"}
_TIMES = [(86400, "d"), (3600, "h"), (60, "min"), (1, "s"), (1e-3, "ms"), (1e-6, "µs")]


def shown(value: float, unit: str, decimals: int | None = None) -> str:
    """The value with its unit."""
    if unit == "percentunit":
        return f"{_number(value * 100, decimals)}%"
    if unit == "s":
        return _scaled(value, [(size, f" {name}") for size, name in _TIMES], decimals)
    if unit in {"bytes", "Bps"}:
        suffix = "/s" if unit == "Bps" else ""
        names = ["B", "KiB", "MiB", "GiB", "TiB"] if unit == "bytes" else ["B", "kB", "MB", "GB", "TB"]
        base = 1024 if unit == "bytes" else 1000
        return _scaled(value, [(base ** power, f" {name}{suffix}") for power, name in reversed(list(enumerate(names)))], decimals)
    if unit in _RATES:
        return f"{_short(value, decimals)} {_RATES[unit]}"
    return _short(value, decimals)


def _short(value: float, decimals: int | None) -> str:
    return _scaled(value, [(1e9, " Bil"), (1e6, " Mil"), (1e3, " K"), (1, "")], decimals)


def _scaled(value: float, sizes: Sequence[tuple[float, str]], decimals: int | None) -> str:
    """By the largest size that is no larger than the value."""
    if value == 0:
        return "0" + (sizes[-1][1] if sizes[-1][1].strip() in {"B", "B/s"} else " s" if sizes[-1][1] == " µs" else "")
    size, name = next((one for one in sizes if abs(value) >= one[0]), sizes[-1])
    return _number(value / size, decimals) + name


def _number(value: float, decimals: int | None) -> str:
    if decimals is not None:
        return f"{value:.{decimals}f}"
    digits = 0 if abs(value) >= 100 else 1 if abs(value) >= 10 else 2
    text = f"{value:.{digits}f}"
    return text.rstrip("0").rstrip(".") if "." in text else text
