"""Alertmanager's silences: the baseline has none. https://prometheus.io/docs/alerting/latest/alertmanager/#silences"""

import requests

from lab.errors import LabError
from lab.settings import LabSettings

TIMEOUT_SECONDS = 5


def compare(settings: LabSettings) -> list[str]:
    """A line for each silence. Raises LabError where Alertmanager does not answer."""
    return [f"silence of {', '.join(matcher['name'] + '=' + matcher['value'] for matcher in silence['matchers'])}: "
            "not one of the lab's" for silence in _silences(settings)]


def restore(settings: LabSettings) -> None:
    for silence in _silences(settings):
        _ask(settings, "DELETE", f"silence/{silence['id']}")


def _silences(settings: LabSettings) -> list[dict]:
    """Those in force, now or later."""
    return [one for one in _ask(settings, "GET", "silences").json() if one["status"]["state"] != "expired"]


def _ask(settings: LabSettings, method: str, path: str) -> requests.Response:
    try:
        answer = requests.request(
            method, f"http://127.0.0.1:{settings.alertmanager_port}/api/v2/{path}", timeout=TIMEOUT_SECONDS)
        answer.raise_for_status()
    except requests.RequestException:
        raise LabError("alertmanager: it does not answer") from None
    return answer
