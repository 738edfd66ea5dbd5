"""To come."""

from flask import Blueprint, render_template

blueprint = Blueprint("scenarios", __name__)


@blueprint.get("/")
def index():
    return render_template("base.html")
