"""`python -m dashboards.generate`: writes every dashboard as JSON for Grafana."""

import json
from pathlib import Path

from grafana_foundation_sdk.cog.encoder import JSONEncoder

from dashboards.source import consumer, lab_run, load, network, overview, producer, rabbitmq

FOLDER = Path(__file__).parent
SOURCES = {"overview": overview, "producer": producer, "consumer": consumer, "rabbitmq": rabbitmq,
           "network": network, "load": load, "lab-run": lab_run}
# Of the annotations that Prometheus gives; the SDK does not know them.
# https://grafana.com/docs/grafana/latest/datasources/prometheus/annotations/
ALERT_TEXTS = {"titleFormat": "{{alertname}}", "textFormat": "{{severity}}", "step": "5s"}


def documents() -> dict[Path, str]:
    """What each file is to hold."""
    return {FOLDER / f"{name}.json": _json(source.build()) for name, source in SOURCES.items()}


def _json(builder) -> str:
    document = json.loads(json.dumps(builder.build(), cls=JSONEncoder))
    for annotation in document["annotations"]["list"]:
        if "expr" in annotation:
            annotation |= ALERT_TEXTS
    return json.dumps(document, indent=2, ensure_ascii=False) + "\n"


def main() -> None:
    for file, content in documents().items():
        file.write_text(content, encoding="utf-8")
        print(f"wrote {file.relative_to(FOLDER.parent)}")


if __name__ == "__main__":
    main()
