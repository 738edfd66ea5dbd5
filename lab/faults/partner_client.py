"""The program of the `partner` fault: another company's system, which posts batches through the producer.

A Locust file. It reads from the environment PARTNER_BATCH (messages), PARTNER_INTERVAL (seconds from one
batch to the next) and PARTNER_EXPECTS (the status that it takes for success: with any other answer it
sends the same batch again).
"""

import os

from locust import constant_pacing, task
from locustfile import HonestUser, new_message

SIZE = int(os.environ["PARTNER_BATCH"])
EXPECTS = int(os.environ["PARTNER_EXPECTS"])


class Partner(HonestUser):
    """Posts a new batch when it believes that the last one was taken."""

    wait_time = constant_pacing(float(os.environ["PARTNER_INTERVAL"]))
    batch: list[dict] = []

    @task
    def send(self) -> None:
        self.batch = self.batch or [new_message("partner") for _ in range(SIZE)]
        if self.post_batch(self.batch) == EXPECTS:
            self.batch = []
