"""Numbers as Grafana writes them, for the units that the dashboards use.

A unit is a scale: sizes with what is written behind them, the largest first. The console's script (charts.js) gets the
scale with each chart and follows the same rules.
"""

Scale = list[tuple[float, str]]

_SHORT = [(1e9, " Bil"), (1e6, " Mil"), (1e3, " K"), (1.0, "")]
_BINARY = ["B", "KiB", "MiB", "GiB", "TiB"]
_DECIMAL = ["B", "kB", "MB", "GB", "TB"]


def _powers(base: float, names: list[str], suffix: str = "") -> Scale:
    return [(base ** power, f" {name}{suffix}") for power, name in reversed(list(enumerate(names)))]


def _per_second(name: str) -> Scale:
    return [(size, f"{word} {name}/s") for size, word in _SHORT]


_SCALES = {
    "percentunit": [(0.01, "%")],
    "s": [(86400.0, " d"), (3600.0, " h"), (60.0, " min"), (1.0, " s"), (1e-3, " ms"), (1e-6, " µs")],
    "bytes": _powers(1024.0, _BINARY), "Bps": _powers(1000.0, _DECIMAL, "/s"),
    "reqps": _per_second("req"), "mps": _per_second("msg"), "ops": _per_second("ops"),
}


def scale(unit: str) -> Scale:
    """The scale of Grafana's unit of that name; of one that is not known, plain numbers."""
    return _SCALES.get(unit, _SHORT)


def shown(value: float, unit: str, decimals: int | None = None) -> str:
    """The value with its unit, by the largest size that is no larger than the value; zero by the size of one."""
    sizes = scale(unit)
    size, name = next((one for one in sizes if abs(value or 1) >= one[0]), sizes[-1])
    return _number(value / size, decimals) + name


def _number(value: float, decimals: int | None) -> str:
    if decimals is not None:
        return f"{value:.{decimals}f}"
    digits = 0 if abs(value) >= 100 else 1 if abs(value) >= 10 else 2
    text = f"{value:.{digits}f}"
    return text.rstrip("0").rstrip(".") if "." in text else text
