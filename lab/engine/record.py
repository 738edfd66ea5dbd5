"""The record of runs, in SQLite in the run folder: it outlives an engine that was killed.

States: checking, running (from the brief to the grade), graded, reset, aborted. A run is active until it is
reset or aborted, and only one may be.
"""

import json
import os
import sqlite3
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil

from lab.errors import LabError

_SCHEMA = """
CREATE TABLE IF NOT EXISTS runs (
  id INTEGER PRIMARY KEY,
  scenario INTEGER NOT NULL,
  seed INTEGER NOT NULL,
  state TEXT NOT NULL,
  started_at REAL NOT NULL,
  engine_pid INTEGER,
  engine_born REAL,
  settings_before TEXT NOT NULL
);
CREATE UNIQUE INDEX IF NOT EXISTS only_one_active
  ON runs ((1)) WHERE state IN ('checking', 'running', 'graded');
CREATE TABLE IF NOT EXISTS events (
  id INTEGER PRIMARY KEY,
  run INTEGER NOT NULL REFERENCES runs,
  time REAL NOT NULL,
  kind TEXT NOT NULL,
  data TEXT NOT NULL
);
"""


@dataclass(frozen=True)
class Event:
    """Something that happened in a run; `time` is Unix time in seconds."""

    time: float
    kind: str
    data: dict[str, Any]


@dataclass(frozen=True)
class Run:
    """One run as the record has it now; times are Unix time in seconds."""

    id: int
    scenario: int
    seed: int
    state: str
    started_at: float
    engine_pid: int | None
    engine_born: float | None
    settings_before: str
    events: tuple[Event, ...]

    def all(self, kind: str) -> list[Event]:
        return [event for event in self.events if event.kind == kind]

    def first(self, kind: str) -> Event | None:
        return next(iter(self.all(kind)), None)

    def last(self, kind: str) -> Event | None:
        return next(reversed(self.all(kind)), None)

    @property
    def begun_at(self) -> float | None:
        """When the candidate got the brief; an exam's fault comes later."""
        event = self.first("begun")
        return event.time if event else None

    @property
    def injected_at(self) -> float | None:
        event = self.first("injected")
        return event.time if event else None

    @property
    def sealed(self) -> str | None:
        """Of an exam, what it is about, sealed with the interviewer's key; else None."""
        event = self.first("exam")
        return event.data["sealed"] if event else None

    @property
    def exam_page(self) -> tuple[str, int] | None:
        """Of an exam, what its candidate may know of it: the brief, and the time limit in seconds."""
        event = self.first("exam")
        return (event.data["brief"], event.data["time_limit"]) if event else None

    @property
    def candidate(self) -> str | None:
        """Who does this exercise, where that was said; an exam's is sealed."""
        event = self.first("candidate")
        return event.data["name"] if event else None

    @property
    def about(self) -> str:
        """What the run is, as far as the record tells it."""
        return "an exam" if self.sealed else f"scenario {self.scenario}"

    @property
    def engine_is_alive(self) -> bool:
        """Whether the process that runs this run still does (a pid alone may have been given again)."""
        try:
            if self.engine_pid is None:
                return False
            process = psutil.Process(self.engine_pid)
            return process.create_time() == self.engine_born and process.status() != psutil.STATUS_ZOMBIE
        except psutil.Error:
            return False


def _this_process() -> tuple[int, float]:
    return os.getpid(), psutil.Process().create_time()


class Records:
    """All runs of one run folder."""

    def __init__(self, run_dir: Path):
        run_dir.mkdir(parents=True, exist_ok=True)
        self._path = run_dir / "lab.sqlite"
        with self._database() as database:
            database.executescript(_SCHEMA)

    @contextmanager
    def _database(self) -> Iterator[sqlite3.Connection]:
        try:
            database = sqlite3.connect(self._path, timeout=10)
            database.row_factory = sqlite3.Row
            try:
                with database:
                    yield database
            finally:
                database.close()
        except sqlite3.DatabaseError as error:
            if isinstance(error, sqlite3.IntegrityError):
                raise
            raise LabError(f"the record of runs ({self._path}) cannot be used: {error}; "
                           "was the lab cleaned meanwhile? `make clean` starts afresh") from None

    def begin(self, scenario: int, seed: int, settings_before: str) -> Run:
        """A new run, run by this process. Raises LabError while another one is on."""
        try:
            with self._database() as database:
                cursor = database.execute(
                    "INSERT INTO runs (scenario, seed, state, started_at, settings_before, engine_pid, engine_born) "
                    "VALUES (?, ?, 'checking', ?, ?, ?, ?)",
                    (scenario, seed, time.time(), settings_before, *_this_process()))
        except sqlite3.IntegrityError:
            active = self.active()
            which = f"run {active.id} of {active.about}" if active else "another run"
            raise LabError(f"{which} is on: finish it (lab grade), or end it (lab reset)") from None
        return self.get(cursor.lastrowid)

    def take_over(self, run_id: int) -> None:
        """This process runs that run from now on."""
        with self._database() as database:
            database.execute("UPDATE runs SET engine_pid = ?, engine_born = ? WHERE id = ?",
                             (*_this_process(), run_id))

    def get(self, run_id: int) -> Run:
        with self._database() as database:
            row = database.execute("SELECT * FROM runs WHERE id = ?", (run_id,)).fetchone()
            events = database.execute(
                "SELECT time, kind, data FROM events WHERE run = ? ORDER BY id", (run_id,)).fetchall()
        return Run(**row, events=tuple(
            Event(event["time"], event["kind"], json.loads(event["data"])) for event in events))

    def active(self) -> Run | None:
        """The run that is on, if there is one."""
        return self._newest("state IN ('checking', 'running', 'graded')")

    def has_injected(self) -> bool:
        """Whether a fault was injected in any run."""
        with self._database() as database:
            return database.execute("SELECT 1 FROM events WHERE kind = 'injected' LIMIT 1").fetchone() is not None

    def latest(self) -> Run | None:
        return self._newest("1")

    def _newest(self, condition: str) -> Run | None:
        with self._database() as database:
            row = database.execute(
                f"SELECT id FROM runs WHERE {condition} ORDER BY id DESC LIMIT 1").fetchone()
        return self.get(row["id"]) if row else None

    def set_state(self, run_id: int, state: str) -> None:
        with self._database() as database:
            database.execute("UPDATE runs SET state = ? WHERE id = ?", (state, run_id))

    def add(self, run_id: int, kind: str, **data: Any) -> None:
        """Note an event, now."""
        with self._database() as database:
            database.execute("INSERT INTO events (run, time, kind, data) VALUES (?, ?, ?, ?)",
                             (run_id, time.time(), kind, json.dumps(data)))
