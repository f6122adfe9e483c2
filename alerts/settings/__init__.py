"""Reads settings into any pydantic model: a TOML file, the environment over it, secrets from files.

    file, environment ──gather──> plain values, and where each came from ──validate──> model, or ConfigError

Whatever is wrong is said with its place, the reason and what to write instead; nothing unknown is ignored.
pydantic-settings reads the same three sources, but it drops variables that it does not know, and its errors
do not tell which source a value came from: the two promises above.
"""

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TypeVar

from pydantic import BaseModel, ValidationError

from alerts.errors import ConfigError
from alerts.settings import words
from alerts.settings.sources import Given, from_environment, from_file
from alerts.settings.words import OWN_ERROR, Advice, Problem

__all__ = ["OWN_ERROR", "Advice", "Given", "Problem", "gather", "refuse", "validate"]

M = TypeVar("M", bound=BaseModel)


def gather(model: type[BaseModel], path: Path | None, environ: Mapping[str, str]) -> Given:
    """Collects what the file and the environment say; the environment wins.

    Relative paths start at the file's folder, or at the current folder without a file.
    """
    given = Given(path.parent.absolute() if path is not None else Path.cwd())
    problems = []
    if path is not None:
        problems += from_file(model, given, path)
    problems += from_environment(model, given, environ)
    if problems:
        raise ConfigError("\n".join(problems))
    return given


def validate(model: type[M], given: Given) -> M:
    """Makes the model of what was given, or raises one ConfigError with a line for each mistake."""
    try:
        return model.model_validate(given.tree, context={"folder": given.folder})
    except ValidationError as error:
        lines = [words.explain(model, given, each) for each in error.errors()]
        raise ConfigError("\n".join(lines)) from None


def refuse(model: type[BaseModel], given: Given, problems: Iterable[Problem]) -> None:
    """Raises one ConfigError with a line for each problem; does nothing when there is none."""
    lines = [words.line(model, given, each) for each in problems]
    if lines:
        raise ConfigError("\n".join(lines))
