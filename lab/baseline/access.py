"""Makes the broker answer us and take clients again, whatever was done to it: by its own tools, else by a restart.

Each of its tools starts an Erlang VM, which takes a second, and a quarter of a minute on a machine that is busy: one
run does everything that one can.
"""

import re

from lab.baseline.definitions import MEMORY_LIMIT
from lab.errors import LabError
from lab.settings import ROOT, LabSettings
from lab.stack.base import Progress, Stack
from lab.stack.baseline import ANSWER_SECONDS, USUAL_DISK, USUAL_MEMORY, Management, run_in_broker

PLUGINS = sorted(re.findall(r"\w+", (ROOT / "rabbitmq" / "enabled_plugins").read_text(encoding="utf-8")))

# Started, out of maintenance, its listeners open, its limits the usual ones; what the memory limit is, is stored.
# Its value is whether the plugins are the usual ones, in their file and in the broker.
_STATE = f"""
catch case rabbit:is_running() of true -> ok; false -> rabbit:start() end,
catch case rabbit_maintenance:is_being_drained_local_read(node()) of true -> rabbit_maintenance:revive(); _ -> ok end,
catch rabbit_maintenance:resume_all_client_listeners(),
ok = vm_memory_monitor:set_vm_memory_high_watermark({USUAL_MEMORY}),
rabbit_disk_monitor:set_disk_free_limit("{USUAL_DISK}"),
rabbit_runtime_parameters:set_global({MEMORY_LIMIT}, vm_memory_monitor:get_memory_limit(), <<"lab">>),
catch begin
    {{ok, File}} = application:get_env(rabbit, enabled_plugins_file),
    Plugins = [{", ".join(PLUGINS)}],
    lists:sort(rabbit_plugins:read_enabled(File)) =:= Plugins andalso Plugins -- rabbit_plugins:active() =:= []
end.
"""
# $1: the user, $2: the password, both empty where they are accepted.
_SCRIPT = f"""
ctl() {{ rabbitmqctl --quiet --timeout {ANSWER_SECONDS} "$@"; }}
has_plugins=$(ctl eval '{_STATE}') || exit 1
[ "$has_plugins" = true ] || rabbitmq-plugins set {" ".join(PLUGINS)} >/dev/null || exit 1
[ -z "$1" ] && exit
ctl add_user -- "$1" "$2" >/dev/null 2>&1 || ctl change_password -- "$1" "$2" >/dev/null || exit 1
ctl set_user_tags -- "$1" administrator >/dev/null
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
        return run_in_broker(stack, _SCRIPT, *who) == 0
    except LabError:  # it has not ended in time
        return False
