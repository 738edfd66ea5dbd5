"""How the lab itself connects to the broker: straight to it, past the links."""

import pika

import services.messaging.properties  # noqa: F401  (reads the properties of any message)
from lab.settings import LabSettings

# A broker that is frozen or blocks publishers must not hold anybody up.
TIMEOUT_SECONDS = 5


def parameters(settings: LabSettings, name: str, heartbeat: int = 10) -> pika.ConnectionParameters:
    """pika's parameters, with a time-out for every wait; `name` is what the broker's management shows.

    A dead connection is noticed after two heartbeats; they are in seconds.
    """
    return pika.ConnectionParameters(
        "127.0.0.1", settings.rabbitmq_port, heartbeat=heartbeat,
        credentials=pika.PlainCredentials(settings.rabbitmq_user, settings.rabbitmq_pass),
        socket_timeout=TIMEOUT_SECONDS, stack_timeout=TIMEOUT_SECONDS, blocked_connection_timeout=TIMEOUT_SECONDS,
        client_properties={"connection_name": name})
