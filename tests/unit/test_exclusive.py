"""What only one process may do at a time."""

import pytest

from lab import settings as lab_settings
from lab.errors import LabError
from lab.exclusive import exclusive
from tests.conftest import private_settings


def test_a_second_one_is_refused_until_the_first_has_ended(tmp_path, monkeypatch):
    with private_settings(tmp_path / "env", tmp_path) as env_file:
        monkeypatch.setenv("ENV_FILE", str(env_file))
        settings = lab_settings.load()
        with exclusive(settings, "campaign", "another campaign uses this lab"):
            with pytest.raises(LabError, match="another campaign uses this lab"):
                with exclusive(settings, "campaign", "another campaign uses this lab"):
                    pass
            with exclusive(settings, "another action", "refused"):
                pass
        with exclusive(settings, "campaign", "another campaign uses this lab"):
            pass
