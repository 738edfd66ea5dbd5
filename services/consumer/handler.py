"""What is done with a message: it takes its time, as real work would."""

import random
import time

from services.messaging.schema import Message

from .settings import ConsumerSettings


class ProcessingFailed(Exception):
    """This attempt failed; another one may succeed."""


def process(message: Message, settings: ConsumerSettings) -> None:
    """Process one message, blocking. Raises ProcessingFailed."""
    seconds = message.processing_time + settings.consumer_extra_delay
    if seconds:
        time.sleep(seconds)
    if settings.consumer_failure_rate and random.random() < settings.consumer_failure_rate:
        raise ProcessingFailed("simulated failure (CONSUMER_FAILURE_RATE)")
