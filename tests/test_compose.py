"""compose.yaml, held to the settings, the image and the page that speak of it; no container is started."""

import re
from pathlib import Path
from typing import Any

import pytest
import yaml
from sqlalchemy.pool import QueuePool

from alerts import config
from alerts.db import Database
from alerts.roles import ALL, Role
from reference import commands

ROOT = Path(__file__).parents[1]
TEXT = (ROOT / "compose.yaml").read_text()
PAGE = (ROOT / "docs" / "how-to" / "postgresql.md").read_text()
SCALING = (ROOT / "docs" / "scaling.md").read_text()
SERVICES: dict[str, Any] = yaml.safe_load(TEXT)["services"]
DAEMONS = ["web", "send", "poll"]
OURS = ["upgrade", *DAEMONS]

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
    assert found.secret == settings("upgrade").secret


def test_each_role_has_a_service_of_its_name() -> None:
    assert {Role(service) for service in DAEMONS} == ALL
    for service in DAEMONS:
        assert SERVICES[service]["command"] == ["run", "--only", service]
        assert settings(service).web.enabled, "hubs are asked for pushes where there are pages"


def test_pages_are_served_and_asked_after_where_they_are() -> None:
    assert (settings("web").web.host, settings("web").web.port) == ("0.0.0.0", 8025)
    assert SERVICES["web"]["ports"] == ["127.0.0.1:8025-8034:8025"]
    assert "healthcheck" not in SERVICES["web"], "the image's asks the pages"
    for service in ("send", "poll"):
        assert "ports" not in SERVICES[service]
        assert SERVICES[service]["healthcheck"] == {"disable": True}


def test_only_who_sends_knows_the_password_of_the_relay() -> None:
    assert [each for each in OURS if "SMTP_PASSWORD" in str(SERVICES[each])] == ["send"]
    assert settings("send").transport["main"].password.get_secret_value()


def test_all_daemons_of_the_machine_share_one_folder_of_journals() -> None:
    folder = settings("send").state_dir
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


def test_the_steps_are_commands_that_exist() -> None:
    known = dict(commands())
    assert tuple(SERVICES["upgrade"]["command"]) in known
    assert "--only" in {option for each in known["run",].params for option in each.opts}
    for words in re.findall(r"docker compose run --rm \w+ ([a-z]+ [a-z]+)", PAGE):
        assert tuple(words.split()) in known


def test_the_page_names_what_is_written_into_env_and_each_service_it_scales() -> None:
    assert {name for name, _ in _VARIABLE.findall(TEXT) if name not in PAGE} == set()
    for service in re.findall(r"--scale (\w+)=", PAGE + TEXT + SCALING):
        assert service in SERVICES
        assert "container_name" not in SERVICES[service], "a name can be had once"


def test_the_database_has_room_for_the_daemons_that_the_page_starts() -> None:
    scaled = max(int(count) for count in re.findall(r"--scale \w+=(\d+)", PAGE + SCALING))
    database = Database("postgresql://localhost/nowhere", threads=settings("send").database.threads)
    pool = database.engine.pool
    assert isinstance(pool, QueuePool)
    most = pool.size() + pool._max_overflow + 1  # and one to be woken by
    database.close()
    options = " ".join(SERVICES["db"]["command"])
    [allowed] = re.findall(r"max_connections=(\d+)", options)
    kept_for_the_superuser = 3
    assert most * (len(DAEMONS) - 1 + scaled) <= int(allowed) - kept_for_the_superuser
    assert f"`max_connections` to {allowed}" in PAGE
    assert f"{(int(allowed) - kept_for_the_superuser) // most} daemons" in PAGE


def test_the_database_has_time_for_its_last_checkpoint() -> None:
    """Ten seconds are compose's own: killed then, it would recover as after a crash."""
    assert SERVICES["db"]["stop_grace_period"] == "60s"
