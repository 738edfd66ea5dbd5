"""Marks of a run in Grafana: annotations, which its dashboard «Lab run» shows."""

import requests

from lab.grading.report import MARKED_EVENTS
from lab.settings import LabSettings

TAG = "sre-lab-run"
TIMEOUT_SECONDS = 3


def tell_grafana(settings: LabSettings, content: dict) -> str | None:
    """Set a mark for each event of the run that `content` reports; why that cannot be done, or None.

    Only when it is over: a mark at the injection would help the candidate. Grafana need not run.
    https://grafana.com/docs/grafana/latest/developers/http_api/annotations/
    """
    scenario = content["scenario"]
    for moment, kind in _events(content):
        try:
            answer = requests.post(
                f"http://127.0.0.1:{settings.grafana_port}/api/annotations", timeout=TIMEOUT_SECONDS,
                auth=("admin", settings.grafana_password.encode()),
                json={"time": round(moment * 1000), "tags": [TAG, kind], "text": f"scenario {scenario['number']}: {kind}"})
        except requests.RequestException:
            return None  # no Grafana here
        if answer.status_code == 401:
            return "Grafana takes no marks of the run: GRAFANA_PASSWORD in .env is not its admin's password"
        if not answer.ok:
            return f"Grafana takes no marks of the run: it answers {answer.status_code}"
    return None


def _events(content: dict) -> list[tuple[float, str]]:
    events = [(event["time"], event["kind"]) for event in content["timeline"] if event["kind"] in MARKED_EVENTS]
    restored = content["grade"]["time_to_restore"]
    if restored is not None:
        events.append((content["run"]["injected_at"] + restored, "mitigation"))
    return sorted(events)
