"""The start of a run: one at a time."""

import fcntl

import pytest

from lab import settings as lab_settings
from lab.engine import runner
from lab.errors import LabError
from tests.conftest import private_settings


def test_of_two_that_start_at_once_one_is_refused(tmp_path, monkeypatch):
    with private_settings(tmp_path / "env", tmp_path) as env_file:
        monkeypatch.setenv("ENV_FILE", str(env_file))
        run_dir = lab_settings.load().run_dir
        run_dir.mkdir()
        with (run_dir / "starting.lock").open("w", encoding="utf-8") as other:
            fcntl.flock(other, fcntl.LOCK_EX)
            with pytest.raises(LabError, match="another run is being started"):
                runner.run(2, 0)
