"""To come."""

from flask import Blueprint, render_template

blueprint = Blueprint("results", __name__)


@blueprint.get("/reports")
def index():
    return render_template("base.html")
