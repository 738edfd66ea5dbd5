"""The runbook and the walkthroughs, rendered and searchable. They are read again when their files change."""

import os
from collections.abc import Iterator, Mapping
from functools import lru_cache, partial
from pathlib import Path
from urllib.parse import unquote, urlsplit

from flask import Blueprint, abort, render_template, request, send_from_directory, url_for

from lab.console import markdown, now
from lab.console.search import Place, find
from lab.engine import scenario
from lab.errors import LabError
from lab.settings import ROOT

RUNBOOK = ROOT / "RUNBOOK.md"
PICTURES = ROOT / "dashboards" / "pictures"
MAX_HITS = 40

blueprint = Blueprint("documents", __name__)


def runbook_link(alert: Mapping) -> str | None:
    """Where the console explains an alert, by its annotation `runbook_url`; None where that is not the runbook."""
    file, _, anchor = alert.get("annotations", {}).get("runbook_url", "").partition("#")
    return url_for("documents.runbook", _anchor=anchor or None) if file == RUNBOOK.name else None


@blueprint.get("/runbook")
def runbook():
    return render_template("document.html", document=_read(RUNBOOK))


@blueprint.get("/runbook/pictures/<name>")
def picture(name: str):
    return send_from_directory(PICTURES, name)


@blueprint.get("/walkthroughs")
def walkthroughs():
    documents = {number: _read(path) for number, path in _walkthroughs().items()}
    return render_template("walkthroughs.html", documents=documents, sought=_sought())


@blueprint.get("/walkthroughs/<int:number>")
def walkthrough(number: int):
    path = _walkthroughs().get(number)
    if path is None:
        abort(404, f"There is no walkthrough of scenario {number}.")
    if number == _sought():
        return render_template("error.html", title="After the run",
                               problem=f"The walkthrough of scenario {number} gives the answer away."), 403
    return render_template("document.html", document=_read(path), number=number)


@blueprint.get("/search")
def search():
    query = request.args.get("q", "")
    hits = find(query, _places())
    return render_template("search.html", query=query, hits=hits[:MAX_HITS], count=len(hits))


def _sought() -> int | None:
    """The scenario whose answer is being looked for."""
    run = now.run()
    return run.scenario if run and run.state in {"checking", "running"} else None


def _walkthroughs() -> dict[int, Path]:
    """By the scenario's number. An interviewer may have taken all of them away."""
    folders = scenario.folders() if scenario.FOLDER.is_dir() else {}
    return {number: path for number, folder in sorted(folders.items()) if (path := folder / "walkthrough.md").is_file()}


def _places() -> Iterator[Place]:
    """Every section that may be read now."""
    for section in _read(RUNBOOK).sections:
        yield Place("Runbook", url_for("documents.runbook", _anchor=section.anchor), section)
    if now.is_exam():
        return
    for number, path in _walkthroughs().items():
        if number != _sought():
            document = _read(path)
            for section in document.sections:
                yield Place(document.title, url_for("documents.walkthrough", number=number, _anchor=section.anchor), section)


def _read(path: Path) -> markdown.Document:
    """Raises LabError when the file cannot be read."""
    try:
        return _parse(path, path.stat().st_mtime_ns)
    except (OSError, UnicodeDecodeError) as error:
        raise LabError(f"{path} cannot be read: {error}") from None


@lru_cache(maxsize=128)
def _parse(path: Path, _version: int) -> markdown.Document:
    return markdown.parse(path.read_text(encoding="utf-8"), partial(_resolve, path))


def _resolve(source: Path, href: str) -> str | None:
    """Where a link in the file `source` leads in the console; None where it has no such page."""
    parts = urlsplit(href)
    if markdown.is_outside(href) or not parts.path:
        return href
    target = Path(os.path.normpath(source.parent / unquote(parts.path)))
    anchor = parts.fragment or None
    if target == RUNBOOK:
        return url_for("documents.runbook", _anchor=anchor)
    if target.parent == PICTURES:
        return url_for("documents.picture", name=target.name)
    if number := next((number for number, path in _walkthroughs().items() if path == target), None):
        return url_for("documents.walkthrough", number=number, _anchor=anchor)
    return None
