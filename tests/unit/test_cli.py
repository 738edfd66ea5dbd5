"""Commands that need no running lab, with values that Rich or an environment would spoil."""

import pytest
from click.testing import CliRunner

from lab import cli


@pytest.fixture(autouse=True)
def private(tmp_path, monkeypatch):
    monkeypatch.setenv("ENV_FILE", str(tmp_path / "env"))


@pytest.mark.parametrize("value", ["[/red]", "[red]x", "[link=a]", "\\[b]"])
def test_a_value_is_shown_as_it_was_set(value):
    done = CliRunner().invoke(cli.main, ["set", f"RABBITMQ_PASS={value}"])
    assert done.exit_code == 0
    assert f"RABBITMQ_PASS={value} is set" in done.output


def test_clean_names_a_bad_environment_and_cleans_the_usual_folder(tmp_path, monkeypatch):
    cleaned = []
    monkeypatch.setenv("LAB_CONSUMERS", "none [/x]")
    monkeypatch.setattr(cli.daemon, "stop", cleaned.append)
    monkeypatch.setattr(cli.runner, "restore_settings", cleaned.append)
    monkeypatch.setattr(cli.stacks, "clean", lambda settings, _progress: cleaned.append(settings))
    done = CliRunner().invoke(cli.main, ["clean"])
    assert done.exit_code == 0, done.output
    assert "LAB_CONSUMERS='none [/x]'" in done.output
    assert [settings.run_dir for settings in cleaned] == [cli.lab_settings.ROOT / ".lab" / "run"] * 3
