"""What may come in, and what browsers may do with what goes out.

The console listens on loopback, where every page of every site that a person visits can send requests to:
https://cheatsheetseries.owasp.org/cheatsheets/Cross-Site_Request_Forgery_Prevention_Cheat_Sheet.html
"""

from flask import Flask, Response, abort, request

from lab.console import now

LOOPBACK = {"localhost", "127.0.0.1", "[::1]"}
# Everything comes from here; nothing is inline.
CONTENT_POLICY = ("default-src 'self'; img-src 'self' data:; object-src 'none'; base-uri 'none'; form-action 'self'; "
                  "frame-ancestors 'none'")
# A report is one file: its style stands in it, and it has no scripts.
REPORT_POLICY = "default-src 'none'; style-src 'unsafe-inline'; img-src data:; frame-ancestors 'none'"

# Of the rest, something could give an exam's answer away: titles, walkthroughs, former results.
IN_EXAMS = {"run", "dashboards", "interviewer"}
DOCUMENTS_IN_EXAMS = {"documents.runbook", "documents.picture", "documents.search"}


def guard(app: Flask) -> None:
    app.before_request(_check)
    app.after_request(_harden)


def _check() -> None:
    # A name of another site that resolves to this machine (DNS rebinding) is not ours.
    if request.host.rpartition(":")[0] not in LOOPBACK and request.host not in LOOPBACK:
        abort(403, "The console answers only to localhost and 127.0.0.1.")
    if request.method not in {"GET", "HEAD"} and request.headers.get("Origin") != request.host_url.rstrip("/"):
        abort(403, "This was not sent by a page of the console itself, so it is not done.")
    _ = request.form  # all of a body is read before anything is done: one that is too large ends here
    if not _is_open_in_exams() and now.is_exam():
        abort(403, "An exam is on: until it is graded, there is only its page, the dashboards and the runbook.")


def _is_open_in_exams() -> bool:
    return (request.endpoint in {"static", "_health", *DOCUMENTS_IN_EXAMS} or request.blueprint in IN_EXAMS)


def _harden(response: Response) -> Response:
    response.headers.setdefault("Content-Security-Policy", CONTENT_POLICY)
    response.headers["X-Content-Type-Options"] = "nosniff"
    response.headers["Referrer-Policy"] = "same-origin"
    response.headers["Cross-Origin-Resource-Policy"] = "same-origin"
    if not response.cache_control.max_age:
        response.headers["Cache-Control"] = "no-store"
    return response
