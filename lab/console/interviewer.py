"""To come."""

from flask import Blueprint, render_template

blueprint = Blueprint("interviewer", __name__)


@blueprint.get("/interviewer")
def page():
    return render_template("base.html")
