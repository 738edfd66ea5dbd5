"""The bound of what we can reach: our own server, a plain Flask route, no broker."""

from flask import Flask, request

from services.messaging import logs
from services.producer.app import SETTINGS, Producer

app = Flask("constant")


@app.post("/produce")
def produce():
    request.get_data()
    return {"status": "success"}, 201


class Constant(Producer):
    """The producer's gunicorn as it is configured, with another application in it."""

    def load(self) -> Flask:
        return app


if __name__ == "__main__":
    logs.setup("constant", SETTINGS.log_level)
    Constant(SETTINGS).run()
