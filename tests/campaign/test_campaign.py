"""The campaign on real parts: right services pass, and each planted defect is caught."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from lab.campaign import plan
from lab.settings import ROOT
from services.producer.settings import ProducerSettings
from tests.conftest import private_settings

WORKER, PUBLISHER = "services/consumer/worker.py", "services/producer/publisher.py"
PROPERTIES = "services/messaging/properties.py"
# File, what stands there, and what a careless hand would have made of it.
DEFECTS = {
    "auto-ack": [
        (WORKER, "channel.basic_consume(topology.QUEUE, self._on_delivery)",
         "channel.basic_consume(topology.QUEUE, self._on_delivery, auto_ack=True)"),
        (WORKER, "        if channel is None or not channel.is_open:\n", "        if True:\n"),
    ],
    "ack before processing": [
        (WORKER, "        self._pool.submit(task)",
         "        task.delivery.channel.basic_ack(task.delivery.tag); self._pool.submit(task)"),
        (WORKER, "        self._count_successes(deliveries)\n        self._settle(done)\n",
         "        self._count_successes(deliveries)\n"),
    ],
    "no confirms": [
        (PUBLISHER, "        return list(results)\n", "        return [Result.CONFIRMED] * len(messages)\n"),
    ],
    "pika's own reader": [
        # The consumer's alone: the lab's own reading finds out what became of the messages.
        (PROPERTIES, "BasicProperties.decode = _decode\n",
         "import sys\nif not sys.argv[0].endswith(\"consumer/app.py\"):\n    BasicProperties.decode = _decode\n"),
    ],
    "headers as they came": [
        (WORKER, "room(delivery.channel.connection.params.frame_max)", "10**9"),
    ],
}
# Each work takes so long that a consumer always has some in hand.
SLOW = {"CONSUMER_EXTRA_DELAY": "0.2", "CONSUMER_CONCURRENCY": "8"}
# A consumer is killed here; there, all that the producer publishes is swallowed for longer than it waits for
# a confirm, so that each defect must show. See plan.draw.
KILLS_THE_CONSUMER, SWALLOWS_WHAT_IS_PUBLISHED = 6, 9327
HAS_LARGE_HEADERS = 12  # beside bodies that nobody can read


class Clone:
    """A copy of the code with a lab of its own."""

    def __init__(self, folder: Path):
        self.folder = folder
        for part in ("lab", "services", "prometheus", "rabbitmq", "dashboards", "toxiproxy", "scenarios"):
            shutil.copytree(ROOT / part, self.folder / part, ignore=shutil.ignore_patterns("__pycache__"))
        for file in ("locustfile.py", ".env.example"):
            shutil.copy(ROOT / file, self.folder)
        self.settings = folder / ".env"
        self.environment = os.environ | {
            "ENV_FILE": str(self.settings), "PATH": f"{ROOT / '.lab/tools'}:{os.environ['PATH']}"}

    def plant(self, defect: str) -> None:
        for file, right, wrong in DEFECTS[defect]:
            path = self.folder / file
            text = path.read_text(encoding="utf-8")
            assert right in text
            path.write_text(text.replace(right, wrong), encoding="utf-8")

    def lab(self, *arguments: str) -> subprocess.CompletedProcess:
        return subprocess.run([sys.executable, "-m", "lab.cli", *arguments], cwd=self.folder, env=self.environment,
                              encoding="utf-8", stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                              timeout=400)


@pytest.fixture
def clone(tmp_path):
    clone = Clone(tmp_path / "clone")
    with private_settings(clone.settings, tmp_path, **SLOW):
        yield clone
        clone.lab("clean")


def test_the_seeds_do_what_they_are_named_after():
    kinds = {(one.kind, one.target) for one in plan.draw(KILLS_THE_CONSUMER)}
    assert ("kill", "consumer") in kinds
    black_hole = plan.draw(SWALLOWS_WHAT_IS_PUBLISHED)[0]
    assert (black_hole.target, black_hole.details) == ("producer-link", {
        "type": "timeout", "stream": "upstream", "toxicity": 1.0, "attributes": {"timeout": 0}})
    assert black_hole.lasts > 2 * ProducerSettings(_env_file=None).confirm_timeout


def test_the_services_lose_nothing(clone):
    done = clone.lab("campaign", "--runs", "1", "--seed", str(KILLS_THE_CONSUMER))
    assert done.returncode == 0, done.stdout
    assert f"right seed {KILLS_THE_CONSUMER}" in done.stdout
    done = clone.lab("campaign", "--runs", "1", "--seed", str(HAS_LARGE_HEADERS), "--only-hostile")
    assert done.returncode == 0, done.stdout
    assert f"right seed {HAS_LARGE_HEADERS}" in done.stdout


@pytest.mark.parametrize(("defect", "seed"), [
    ("auto-ack", KILLS_THE_CONSUMER), ("ack before processing", KILLS_THE_CONSUMER),
    ("no confirms", SWALLOWS_WHAT_IS_PUBLISHED),
])
def test_a_planted_defect_is_caught(clone, defect, seed):
    clone.plant(defect)
    done = clone.lab("campaign", "--runs", "1", "--seed", str(seed))
    assert done.returncode == 3, done.stdout
    assert "lost: acknowledged, and nowhere" in done.stdout
    assert f"lab campaign --runs 1 --seed {seed}" in done.stdout


@pytest.mark.parametrize("defect", ["pika's own reader", "headers as they came"])
def test_a_consumer_that_hostile_messages_harm_is_caught(clone, defect):
    clone.plant(defect)
    done = clone.lab("campaign", "--runs", "1", "--seed", str(HAS_LARGE_HEADERS), "--only-hostile")
    assert done.returncode == 3, done.stdout
    assert "connections lost to hostile messages" in done.stdout
