"""The Locust file of the page that `make load` opens: one choice of a shape, beside users, rate and run time.

It runs distributed, with at least one worker: the page answers however busy the senders are. A user sends as
in the steady traffic (locustfile.py), or as in senders.py. From the environment it reads, beside what these
files read, what Locust itself does (LOCUST_PROCESSES and others).
"""

import math
import os
import signal

import gevent
from flask import jsonify, request
from locust import LoadTestShape, events
from locust.runners import MasterRunner, WorkerRunner
from locustfile import Client

from lab.load.senders import BatchClient, ImpatientClient, PoisonClient
from lab.load.shapes import SHAPES, choices, name_of

SENDERS = {"batch": BatchClient, "poison-mix": PoisonClient, "retry-storm": ImpatientClient}
USERS = 10
SPAWN_RATE = 10.0  # users per second
STOP_SECONDS = 1


class ChosenShape(LoadTestShape):
    """Follows the shape that was chosen on the page, with the page's users, spawn rate and run time."""

    use_common_options = True

    def tick(self) -> tuple[int, float, list] | None:
        options, at = self.runner.environment.parsed_options, self.get_run_time()
        if options.run_time and at >= options.run_time:
            return None
        name = name_of(options.shape)
        shape = SHAPES[name]
        users = shape.users(at, options.num_users, options.run_time)
        return users, options.num_users if shape.sudden else options.spawn_rate, [SENDERS.get(name, Client)]


@events.init_command_line_parser.add_listener
def offer_shapes(parser) -> None:
    offered = choices()
    parser.add_argument("--shape", choices=offered, default=offered[0], help="what is sent, and when")
    # A user may finish a request that is under way; that requests failed is the person's business.
    parser.set_defaults(num_users=USERS, spawn_rate=SPAWN_RATE, stop_timeout=STOP_SECONDS, exit_code_on_error=0)


@events.init.add_listener
def check_what_is_asked_for(environment, web_ui, **_kwargs) -> None:
    """Locust takes anything where there is a shape, and a test would end in a stack trace."""
    if web_ui is None:
        return

    @web_ui.app.before_request
    def check():
        if request.path == "/swarm" and (problem := _problem(request.form, environment.runner)):
            return jsonify(success=False, message=problem, host=environment.host)
        return None


@events.test_stop.add_listener
def forget_run_time(environment, **_kwargs) -> None:
    """Locust would keep it for the next test, though its field is left empty then."""
    environment.parsed_options.run_time = None


@events.init.add_listener
def end_quietly(**_kwargs) -> None:
    """By Ctrl-C as by SIGTERM; else each process would complain of it in the terminal."""
    gevent.signal_handler(signal.SIGINT, os.kill, os.getpid(), signal.SIGTERM)


@events.init.add_listener
def end_with_the_page(runner, **_kwargs) -> None:
    """Locust's workers go on for a minute when the page was killed."""
    if isinstance(runner, WorkerRunner):
        gevent.spawn(_quit_when_orphaned, runner, os.getppid())


def _quit_when_orphaned(runner: WorkerRunner, parent: int) -> None:
    while os.getppid() == parent:
        gevent.sleep(1)
    runner.quit()


def _problem(form, runner: MasterRunner) -> str | None:
    """Why a test cannot be started as the form asks for it, None when it can."""
    if runner.shape_greenlet:
        return "a test is on: stop it first"
    if not runner.clients.ready:
        return "the workers are not ready yet: try again in a second or two"
    if name_of(form.get("shape", choices()[0])) not in SHAPES:
        return f"no shape {form['shape']!r}; there is: {', '.join(SHAPES)}"
    for field, what in (("user_count", "the number of users"), ("spawn_rate", "the spawn rate")):
        if field in form and not _is_positive(form[field]):
            return f"{what} must be a number above 0, not {form[field]!r}"
    return None


def _is_positive(text: str) -> bool:
    try:
        return 0 < float(text) < math.inf
    except ValueError:
        return False
