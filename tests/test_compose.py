"""compose.yaml, held to the settings, the image and the page that speak of it; no container is started."""

import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from alerts import config
from reference import commands

ROOT = Path(__file__).parents[1]
TEXT = (ROOT / "compose.yaml").read_text()
PAGE = (ROOT / "docs" / "how-to" / "postgresql.md").read_text()
SERVICES: dict[str, Any] = yaml.safe_load(TEXT)["services"]
OURS = ["upgrade", "alerts", "worker"]
DAEMONS = ["alerts", "worker"]

_VARIABLE = re.compile(r"\$\{(\w+)(?::[?-]([^}]*))?\}")


def image() -> dict[str, str]:
    """What the Dockerfile sets in the environment."""
    return dict(re.findall(r"\b(ALERTS_\w+)=(\S+)", (ROOT / "Dockerfile").read_text()))


def settings(service: str) -> config.Config:
    """The settings of a service's process, with `.env` filled in as the page says."""
    filled = {
        name: _VARIABLE.sub("0123456789abcdef0123456789abcdef", value)
        for name, value in SERVICES[service]["environment"].items()
    }
    return config.load(None, image() | filled)


@pytest.mark.parametrize("service", OURS)
def test_each_process_gets_settings_that_exist_and_are_right(service: str) -> None:
    found = settings(service)
    assert found.database.url.get_secret_value().startswith("postgresql://alerts:")
    assert found.secret == settings("alerts").secret


def test_one_kind_serves_pages_and_the_other_only_works() -> None:
    assert settings("alerts").web.enabled
    assert (settings("alerts").web.host, settings("alerts").web.port) == ("0.0.0.0", 8025)
    assert SERVICES["alerts"]["ports"] == ["127.0.0.1:8025-8034:8025"]
    assert not settings("worker").web.enabled
    assert "ports" not in SERVICES["worker"]
    assert SERVICES["worker"]["healthcheck"] == {"disable": True}, "the image's asks the pages"


def test_all_daemons_of_the_machine_share_one_folder_of_journals() -> None:
    folder = settings("alerts").state_dir
    for service in DAEMONS:
        [volume] = [each for each in SERVICES[service]["volumes"] if each.endswith(f":{folder}")]
        name = volume.partition(":")[0]
        assert name in yaml.safe_load(TEXT)["volumes"], "a named volume outlives its containers"
        assert volume == "state:/var/lib/alerts"


@pytest.mark.parametrize("service", DAEMONS)
def test_a_daemon_waits_for_the_schema_and_may_finish_its_mails(service: str) -> None:
    assert SERVICES[service]["depends_on"]["upgrade"] == {"condition": "service_completed_successfully"}
    assert SERVICES[service]["restart"] == "unless-stopped"
    assert SERVICES[service]["stop_grace_period"] == "60s"
    assert "command" not in SERVICES[service]


def test_the_steps_are_commands_that_exist() -> None:
    assert tuple(SERVICES["upgrade"]["command"]) in {words for words, _ in commands()}


def test_the_page_names_what_is_written_into_env_and_each_service_it_scales() -> None:
    assert {name for name, _ in _VARIABLE.findall(TEXT) if name not in PAGE} == set()
    for service in re.findall(r"--scale (\w+)=", PAGE + TEXT):
        assert service in SERVICES
        assert "container_name" not in SERVICES[service], "a name can be had once"
