"""To come."""

from flask import Blueprint, render_template

blueprint = Blueprint("dashboards", __name__)


@blueprint.get("/dashboards")
def index():
    return render_template("base.html")
