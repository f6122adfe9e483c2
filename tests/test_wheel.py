"""The wheel holds what the program needs beside its modules, and finds it where it is installed."""

import json
import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]

_LOOK = """
import json
import alerts
from alerts.mail.templates import Templates, builtin_templates

mail = Templates([], "mail", ("alert/subject.txt", "alert/body.txt", "alert/body.html"))
Templates([], "web", ("manage.html",))
print(json.dumps([alerts.__file__, str(builtin_templates()), str(mail.locale("de"))]))
"""


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the wheel in it, as pip installs it; the dependencies are those of the tests."""
    folder = tmp_path_factory.mktemp("wheel")
    pip = [sys.executable, "-m", "pip", "--disable-pip-version-check"]
    _run(*pip, "wheel", "--no-deps", "--no-build-isolation", "--wheel-dir", folder, ROOT)
    (wheel,) = folder.glob("alerts-*.whl")
    _run(*pip, "install", "--no-deps", "--no-index", "--target", folder / "site", wheel)
    return folder / "site"


def test_templates_and_words_are_found_in_an_installed_wheel(installed: Path, tmp_path: Path) -> None:
    package, templates, language = json.loads(_in_wheel(installed, tmp_path, "-c", _LOOK))
    assert package == str(installed / "alerts" / "__init__.py")
    assert templates == str(installed / "alerts" / "_templates")
    assert language == "de", "a language without a catalog falls back to English"


@pytest.mark.parametrize(("source", "target"), [("templates", "_templates"), ("alerts/locale", "locale")])
def test_each_template_and_catalog_of_the_repository_is_in_the_wheel(
    installed: Path, source: str, target: str
) -> None:
    wanted = _files(ROOT / source)
    assert wanted
    assert wanted - _files(installed / "alerts" / target) == set()


def test_an_installed_wheel_makes_its_database(installed: Path, tmp_path: Path) -> None:
    said = _in_wheel(installed, tmp_path, "-m", "alerts.cli", "status")
    assert said.splitlines()[-1] == "No alerts yet."
    assert (tmp_path / "state" / "alerts.db").exists()


def _files(folder: Path) -> set[Path]:
    return {path.relative_to(folder) for path in folder.rglob("*") if path.is_file()}


def _in_wheel(installed: Path, folder: Path, *arguments: str) -> str:
    """Runs Python with the wheel before everything else, in a folder that is not the repository's."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith("ALERTS_")}
    environment |= {"PYTHONPATH": str(installed), "PYTHONDONTWRITEBYTECODE": "1"}
    return _run(sys.executable, *arguments, folder=folder, environment=environment)


def _run(
    *command: str | Path, folder: Path | None = None, environment: Mapping[str, str] | None = None
) -> str:
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, f"{done.stdout}\n{done.stderr}"
    return done.stdout
