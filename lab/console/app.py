"""The console's Flask application. It shows what record, Prometheus and files say, and keeps no state of its own.

Served by `lab.console.daemon`; every page is rendered here, scripts only refresh what changes by itself.
"""

import secrets

from flask import Flask, render_template
from werkzeug.exceptions import HTTPException

from lab.console import border, dashboards, documents, interviewer, now, results, run, scenarios, text
from lab.errors import LabError

MAX_BODY_BYTES = 64 * 1024
NAVIGATION = [
    ("scenarios.index", "Scenarios"), ("run.page", "Run"), ("dashboards.index", "Dashboards"),
    ("documents.runbook", "Runbook"), ("results.index", "Reports"), ("interviewer.page", "Interviewer")]
# What an exam's candidate has.
IN_EXAMS = {"run.page", "dashboards.index", "documents.runbook", "interviewer.page"}


def create_app() -> Flask:
    app = Flask(__name__)
    app.config.update(
        SECRET_KEY=secrets.token_bytes(32),  # of the notices only, which need not outlive the process
        SESSION_COOKIE_NAME="sre-lab-console", SESSION_COOKIE_SAMESITE="Strict",
        MAX_CONTENT_LENGTH=MAX_BODY_BYTES, MAX_FORM_MEMORY_SIZE=MAX_BODY_BYTES)
    app.jinja_env.trim_blocks = app.jinja_env.lstrip_blocks = True
    app.jinja_env.filters.update(text.FILTERS)
    app.context_processor(_navigation)
    border.guard(app)
    for part in (scenarios, run, results, dashboards, documents, interviewer):
        app.register_blueprint(part.blueprint)
    app.add_url_rule("/health", view_func=_health)
    app.register_error_handler(LabError, _lab_error)
    app.register_error_handler(HTTPException, _http_error)
    return app


def _health() -> dict:
    """Tells whose console this is: two labs may want the same port."""
    return {"run_folder": str(now.settings().run_dir)}


def _navigation() -> dict:
    try:
        exam = now.is_exam()
    except LabError:  # the page says so itself, and then there is little to go to
        exam = True
    return {"navigation": [entry for entry in NAVIGATION if not exam or entry[0] in IN_EXAMS], "is_exam": exam}


def _lab_error(error: LabError):
    return render_template("error.html", title="That did not work", problem=str(error)), 503


def _http_error(error: HTTPException):
    return render_template("error.html", title=error.name, problem=error.description), error.code
