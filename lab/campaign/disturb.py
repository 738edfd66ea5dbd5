"""Does to the system what a plan says, and takes it back; several at once."""

import threading
import time

import requests
from toxiproxy.exceptions import NotFound

from lab.campaign.plan import Disturbance
from lab.campaign.stranger import Stranger
from lab.errors import LabError
from lab.settings import LabSettings
from lab.stack.base import Stack
from lab.stack.baseline import USUAL_MEMORY, Management, set_memory_watermark
from lab.toxiproxy import toxiproxy

NO_MEMORY = "0.0000001"  # the broker uses more


class Disturber:
    """Runs every disturbance of one plan in a thread of its own; `hostile` sends the hostile messages."""

    def __init__(self, settings: LabSettings, stack: Stack, plan: list[Disturbance], hostile: Stranger):
        self._settings = settings
        self._stack = stack
        self._plan = plan
        self._hostile = hostile
        self.troubles: list[str] = []  # what could not be done: often since another disturbance was there first

    def run(self) -> None:
        """Return when the last one is over; one that could not be taken back is left to the healing."""
        threads = [threading.Thread(target=self._run_one, args=[number, disturbance], daemon=True)
                   for number, disturbance in enumerate(self._plan)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()

    def _run_one(self, number: int, disturbance: Disturbance) -> None:
        time.sleep(disturbance.at)
        try:
            self._begin(f"campaign-{number}", disturbance)
            time.sleep(disturbance.lasts)
            self._end(f"campaign-{number}", disturbance)
        # A part that another disturbance has taken away cannot be disturbed, or cannot be asked to.
        except (LabError, requests.RequestException, NotFound) as error:
            self.troubles.append(f"{disturbance}: {str(error).splitlines()[0]}")

    def _begin(self, name: str, disturbance: Disturbance) -> None:
        match disturbance.kind:
            case "kill" | "stop" | "pause":
                getattr(self._stack, disturbance.kind)(disturbance.target)
            case "toxic":
                toxiproxy(self._stack).get_proxy(disturbance.target).add_toxic(name=name, **disturbance.details)
            case "link-down":
                toxiproxy(self._stack).get_proxy(disturbance.target).disable()
            case "memory-alarm":
                set_memory_watermark(self._stack, NO_MEMORY)
            case "reset-connections":
                management = Management(self._settings)
                for connection in management.call("GET", "connections"):
                    management.call("DELETE", "connections", connection["name"], missing_ok=True)
            case "hostile-messages":
                self._hostile.start()

    def _end(self, name: str, disturbance: Disturbance) -> None:
        match disturbance.kind:
            case "kill" | "stop":
                self._stack.start(disturbance.target)
            case "pause":
                self._stack.resume(disturbance.target)
            case "toxic":
                toxiproxy(self._stack).get_proxy(disturbance.target).destroy_toxic(name)
            case "link-down":
                toxiproxy(self._stack).get_proxy(disturbance.target).enable()
            case "memory-alarm":
                set_memory_watermark(self._stack, USUAL_MEMORY)
            case "hostile-messages":
                self._hostile.stop()
