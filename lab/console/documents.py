"""To come."""

from flask import Blueprint, render_template

blueprint = Blueprint("documents", __name__)


@blueprint.get("/runbook")
def runbook():
    return render_template("base.html")


@blueprint.get("/search")
def search():
    return render_template("base.html")
