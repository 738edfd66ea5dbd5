"""The process supervisor of the native stack: supervisord, private to one run folder."""

import http.client
import os
import secrets
import subprocess
import sys
import time
import xmlrpc.client
from collections.abc import Iterable
from pathlib import Path

import psutil

from lab.errors import LabError
from lab.output import UTF8_ENVIRONMENT
from lab.settings import ROOT, LabSettings
from lab.stack.logs import log_file, tail
from lab.stack.marked import MARK
from lab.stack.native.programs import Program

START_DEADLINE_SECONDS = 20
RPC_SECONDS = 10
# A program that ends sooner has not started: longer than Python needs to find a bad setting.
START_SECONDS = 3

LAUNCHER = "lab.stack.native.launch"
RUNNING_STATES = {"RUNNING", "STARTING", "BACKOFF", "STOPPING"}


class _Transport(xmlrpc.client.Transport):
    """XML-RPC over HTTP, with a time-out: a call that waits for a program is never made."""

    def make_connection(self, host):
        connection = super().make_connection(host)
        connection.timeout = RPC_SECONDS
        return connection


class Supervisor:
    """Starts supervisord when needed and speaks its XML-RPC.

    http://supervisord.org/api.html
    """

    def __init__(self, settings: LabSettings):
        self._settings = settings
        self._config = settings.run_dir / "supervisord.conf"
        self._password_file = settings.run_dir / "supervisor.password"

    @property
    def rpc(self):
        """The API's `supervisor` namespace. Calls raise xmlrpc.client.Fault and OSError."""
        password = self._password_file.read_text(encoding="utf-8") if self._password_file.exists() else ""
        url = f"http://lab:{password}@127.0.0.1:{self._settings.supervisor_port}/RPC2"
        return xmlrpc.client.ServerProxy(url, transport=_Transport()).supervisor

    def is_running(self) -> bool:
        try:
            return self.rpc.getState()["statename"] == "RUNNING"
        except (OSError, http.client.HTTPException, xmlrpc.client.Error):
            return False

    def start(self, programs: Iterable[Program]) -> None:
        """Start supervisord, with every program stopped. Raises LabError when it does not answer."""
        run_dir = self._settings.run_dir
        for folder in (run_dir / "logs", run_dir / "tmp"):
            folder.mkdir(parents=True, exist_ok=True)
        self._password_file.touch(mode=0o600)
        self._password_file.write_text(secrets.token_hex(16), encoding="utf-8")
        self._config.touch(mode=0o600)
        self._config.write_text(self._configuration(programs), encoding="utf-8")
        log = run_dir / "logs" / "supervisord.out"
        with log.open("ab") as output:
            process = subprocess.Popen(
                [sys.executable, "-m", "supervisor.supervisord", "-n", "-c", self._config],
                cwd=ROOT, env=os.environ | UTF8_ENVIRONMENT | {MARK: str(run_dir)}, stdin=subprocess.DEVNULL,
                stdout=output, stderr=subprocess.STDOUT, start_new_session=True)
        deadline = time.monotonic() + START_DEADLINE_SECONDS
        while not self.is_running():
            if process.poll() is not None or time.monotonic() > deadline:
                raise LabError(f"the process supervisor does not start; the end of {log}:\n{tail(log)}")
            time.sleep(0.05)

    def shutdown(self) -> None:
        """Stop every program and supervisord itself; return when it is gone."""
        pid = self.rpc.getPID()
        self.rpc.shutdown()
        try:
            psutil.Process(pid).wait(timeout=60)
        except psutil.TimeoutExpired:
            raise LabError("the lab does not stop; `make clean` kills what is left") from None
        except psutil.Error:  # it is gone, or this user may not look
            pass

    def _configuration(self, programs: Iterable[Program]) -> str:
        run_dir = self._settings.run_dir
        sections = [f"""\
[supervisord]
logfile={_escaped(run_dir / 'logs' / 'supervisord.log')}
pidfile={_escaped(run_dir / 'supervisord.pid')}
childlogdir={_escaped(run_dir / 'logs')}
{'user=root' if os.geteuid() == 0 else ''}

[inet_http_server]
port=127.0.0.1:{self._settings.supervisor_port}
username=lab
password={self._password_file.read_text(encoding="utf-8")}

[rpcinterface:supervisor]
supervisor.rpcinterface_factory=supervisor.rpcinterface:make_main_rpcinterface
"""]
        sections += [f"""\
[program:{program.name}]
command="{_escaped(sys.executable)}" -m {LAUNCHER} {program.name}
directory={_escaped(ROOT)}
autostart=false
autorestart=true
startsecs={START_SECONDS}
startretries=3
stopwaitsecs={program.stop_wait}
stopasgroup=false
killasgroup=true
redirect_stderr=true
stdout_logfile={_escaped(log_file(self._settings, program.name))}
stdout_logfile_maxbytes=50MB
stdout_logfile_backups=1
""" for program in programs]
        return "\n".join(sections)


def _escaped(path: Path | str) -> str:
    """Supervisor expands %(…)s in its configuration."""
    return str(path).replace("%", "%%")
