"""The broker's management API, its command line tools, and the user, permissions and policies that `up` applies.

The API is the same for every form of the stack. `lab.baseline` compares everything with the baseline and restores it.
https://www.rabbitmq.com/docs/management#http-api
"""

import json
from urllib.parse import quote

import requests
from requests.adapters import HTTPAdapter
from urllib3.util import Retry

from lab.errors import LabError
from lab.settings import ROOT, LabSettings
from lab.stack.base import Stack

TIMEOUT_SECONDS = 8
# Of a command line tool of the broker, which starts an Erlang VM of its own: one second of work, but 20 where two
# other programs want each core.
CONTROL_SECONDS = 150
ANSWER_SECONDS = 30  # of the broker to such a tool
READ_RETRIES = 3

# As rabbitmq/sre-lab.conf has them: the share of the memory and the free disk at which publishers are blocked.
# https://www.rabbitmq.com/docs/memory#configuring-threshold
USUAL_MEMORY = "0.4"
USUAL_DISK = "50MB"
EXPORTER = "rabbitmq_prometheus"

# Both forms of the stack have the same: the container loads this file when it first boots.
POLICIES = {policy.pop("name"): policy for policy in json.loads(
    (ROOT / "rabbitmq" / "definitions.json").read_text(encoding="utf-8"))["policies"]}


class Management:
    """RabbitMQ's management API. Raises LabError when it does not answer or refuses."""

    def __init__(self, settings: LabSettings):
        self._url = f"{settings.management_url}/api"
        self._session = requests.Session()
        # As bytes: requests would encode text as Latin-1, and RabbitMQ reads UTF-8.
        self._session.auth = (settings.rabbitmq_user.encode(), settings.rabbitmq_pass.encode())
        # A broker that has just started may leave a call unanswered; every call here can be repeated.
        # One that refuses connections is down: that is told at once.
        again = Retry(total=READ_RETRIES, read=READ_RETRIES, connect=0, other=0, allowed_methods=None)
        self._session.mount("http://", HTTPAdapter(max_retries=again))

    def call(self, method: str, *path: str, missing_ok: bool = False, **body):
        """One call; path parts are quoted. Returns the JSON answer, None where there is none."""
        answer = self._answer(method, *path, body=body)
        if answer.status_code == 404 and missing_ok:
            return None
        if not answer.ok:
            raise LabError(f"the broker refused {method} {'/'.join(path)}: {answer.status_code} {answer.text}")
        return answer.json() if answer.content else None

    def is_open_to_us(self) -> bool:
        """Whether it accepts the user and the password of the settings, for an administrator's."""
        answer = self._answer("GET", "whoami")
        return answer.ok and "administrator" in answer.json()["tags"]

    def _answer(self, method: str, *path: str, body: dict | None = None) -> requests.Response:
        url = "/".join([self._url, *(quote(part, safe="") for part in path)])
        try:
            return self._session.request(method, url, timeout=TIMEOUT_SECONDS, json=body if method in {"PUT", "POST"} else None)
        except requests.RequestException:
            raise LabError("the broker's management does not answer: `lab start rabbitmq`") from None


def apply_user(settings: LabSettings, stack: Stack) -> None:
    """Let the broker accept the user and the password of the settings, by its own tool where it does not.

    Its database keeps those of its first start.
    """
    if Management(settings).is_open_to_us():
        return
    if run_in_broker(stack, 'rabbitmqctl --quiet add_user -- "$1" "$2" >/dev/null 2>&1 '
                            '|| rabbitmqctl --quiet change_password -- "$1" "$2" >/dev/null && '
                            'rabbitmqctl --quiet set_user_tags -- "$1" administrator',
                     settings.rabbitmq_user, settings.rabbitmq_pass):
        raise LabError("the broker does not accept RABBITMQ_USER and RABBITMQ_PASS of .env: `lab logs rabbitmq`")


def apply_broker(settings: LabSettings) -> None:
    """Bring users, permissions and policies to the baseline, whatever they are now."""
    management = Management(settings)
    for user in management.call("GET", "users"):
        if user["name"] not in {settings.rabbitmq_user, "guest"}:
            management.call("DELETE", "users", user["name"], missing_ok=True)
    management.call("PUT", "permissions", "/", settings.rabbitmq_user, configure=".*", write=".*", read=".*")
    for kind in ("policies", "operator-policies"):
        for policy in management.call("GET", kind, "/"):
            if kind == "operator-policies" or policy["name"] not in POLICIES:
                management.call("DELETE", kind, "/", policy["name"], missing_ok=True)
    for name, policy in POLICIES.items():
        management.call("PUT", "policies", "/", name, **policy)


def set_memory_watermark(stack: Stack, share: str) -> None:
    """`share` of the memory above which the broker blocks publishers. Raises LabError where it is down."""
    control(stack, "set_vm_memory_high_watermark", share)


def run_in_broker(stack: Stack, script: str, *arguments: str) -> int:
    """Run a shell's script with arguments in the broker's environment; return its exit code."""
    return stack.run_in("rabbitmq", ["sh", "-c", script, "sh", *arguments], CONTROL_SECONDS)


def control(stack: Stack, *arguments: str) -> None:
    """Run `rabbitmqctl` with them. Raises LabError where that fails."""
    if stack.run_in("rabbitmq", ["rabbitmqctl", "--quiet", "--timeout", str(ANSWER_SECONDS), *arguments], CONTROL_SECONDS):
        raise LabError(f"the broker does not do `rabbitmqctl {' '.join(arguments)}`: `lab logs rabbitmq`")
