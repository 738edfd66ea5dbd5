"""To come."""

from flask import Blueprint, render_template

blueprint = Blueprint("run", __name__)


@blueprint.get("/run")
def page():
    return render_template("base.html")
