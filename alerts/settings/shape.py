"""What a model says about a place in the tree of settings; pure."""

import typing
from typing import Any

from pydantic import BaseModel, SecretStr
from pydantic.fields import FieldInfo

PREFIX = "ALERTS_"  # of every variable that is a setting

Loc = tuple[str | int, ...]


def find(model: type[BaseModel], loc: Loc) -> FieldInfo | None:
    """Gives the setting at `loc`, or None when the model knows none there."""
    setting: FieldInfo | None = None
    annotation: Any = model
    for key in loc:
        if is_model(annotation):
            setting = annotation.model_fields.get(key)
            if setting is None:
                return None
            annotation = setting.annotation
            continue
        if not is_composed(annotation) or isinstance(key, int) is not is_list(annotation):
            return None
        annotation = item(annotation)
        setting = FieldInfo.from_annotation(annotation)
    return setting


def is_model(annotation: object) -> bool:
    return isinstance(annotation, type) and issubclass(annotation, BaseModel)


def is_list(annotation: object) -> bool:
    return typing.get_origin(annotation) in (tuple, list)


def is_composed(annotation: object) -> bool:
    """Whether a value of this type has parts: a table, a list, or a table of tables."""
    return is_model(annotation) or typing.get_origin(annotation) in (tuple, list, dict)


def is_secret(setting: FieldInfo | None) -> bool:
    if setting is None or is_composed(setting.annotation):
        return False
    return SecretStr in (setting.annotation, *typing.get_args(setting.annotation))


def item(annotation: object) -> Any:
    """Gives the type of one item of a list, or of one value of a table of tables."""
    arguments = typing.get_args(annotation)
    return arguments[0] if is_list(annotation) else arguments[1]


def key(annotation: object) -> Any:
    """Gives the type of the names of a table of tables."""
    return typing.get_args(annotation)[0]


def table_in(annotation: object) -> type[BaseModel] | None:
    """Gives the model that a setting holds, alone or many times; None when it holds plain values."""
    if is_composed(annotation) and not is_model(annotation):
        annotation = item(annotation)
    return typing.cast("type[BaseModel]", annotation) if is_model(annotation) else None


def value_at(tree: Any, loc: Loc) -> Any:
    """Gives what stands in the tree at `loc`, None when nothing does."""
    for key in loc:
        try:
            tree = tree[key]
        except (KeyError, IndexError, TypeError):
            return None
    return tree
