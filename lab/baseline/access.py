"""Makes the broker answer us and take clients again, whatever was done to it: by its own tools, else by a restart.

Each of its tools starts an Erlang VM, which takes a second or two: one script does everything that one run can.
"""

import re

from lab.baseline.definitions import MEMORY_LIMIT
from lab.errors import LabError
from lab.settings import ROOT, LabSettings
from lab.stack.base import Progress, Stack
from lab.stack.baseline import USUAL_DISK, USUAL_MEMORY, Management, run_in_broker

PLUGINS = sorted(re.findall(r"\w+", (ROOT / "rabbitmq" / "enabled_plugins").read_text(encoding="utf-8")))

# Started, out of maintenance, its listeners open, its limits the usual ones; what the memory limit is, is stored.
_STATE = f"""
catch case rabbit:is_running() of true -> ok; false -> rabbit:start() end,
catch case rabbit_maintenance:is_being_drained_local_read(node()) of true -> rabbit_maintenance:revive(); _ -> ok end,
catch rabbit_maintenance:resume_all_client_listeners(),
ok = vm_memory_monitor:set_vm_memory_high_watermark({USUAL_MEMORY}),
rabbit_disk_monitor:set_disk_free_limit("{USUAL_DISK}"),
rabbit_runtime_parameters:set_global({MEMORY_LIMIT}, vm_memory_monitor:get_memory_limit(), <<"lab">>).
"""
# $1: the user, $2: the password, both empty where they are accepted; then the plugins.
_SCRIPT = f"""
ctl() {{ rabbitmqctl --quiet --timeout 50 "$@" >/dev/null; }}
user=$1 password=$2
shift 2
ctl eval '{_STATE}' || exit 1
if [ "$(rabbitmq-plugins list --quiet --minimal --enabled | sort | tr '\\n' ' ')" != "$* " ]; then
    rabbitmq-plugins set "$@" >/dev/null || exit 1
fi
[ -z "$user" ] && exit
ctl add_user -- "$user" "$password" 2>/dev/null || ctl change_password -- "$user" "$password" || exit 1
ctl set_user_tags -- "$user" administrator
"""


def problem(settings: LabSettings) -> str | None:
    """Why the broker's management cannot be used, or None."""
    try:
        if Management(settings).is_open_to_us():
            return None
    except LabError:
        return "rabbitmq: its management does not answer"
    return f"user {settings.rabbitmq_user}: not an administrator with RABBITMQ_PASS as its password"


def open_broker(settings: LabSettings, stack: Stack, progress: Progress) -> None:
    """Bring access, plugins and limits to the baseline. Raises LabError where even a restart does not help."""
    status = next((one for one in stack.status() if one.name == "rabbitmq"), None)
    if status is None or status.pid is None:
        stack.start("rabbitmq")
    elif status.state == "paused":
        stack.resume("rabbitmq")
    closed = problem(settings)
    if _run(settings, stack, with_user=closed is not None) and problem(settings) is None:
        return
    progress("the broker does not do what its tools ask: it is restarted")
    stack.restart("rabbitmq")
    if not _run(settings, stack, with_user=problem(settings) is not None) or (closed := problem(settings)):
        raise LabError(f"the broker cannot be brought to its baseline ({closed or 'its tools fail'}): "
                       "`lab logs rabbitmq`, or `make clean` and `make up`")


def _run(settings: LabSettings, stack: Stack, with_user: bool) -> bool:
    """Whether all of the script succeeded."""
    who = (settings.rabbitmq_user, settings.rabbitmq_pass) if with_user else ("", "")
    try:
        return run_in_broker(stack, _SCRIPT, *who, *PLUGINS) == 0
    except LabError:  # it has not ended in time
        return False
