"""What the demo plays: the story in storm.toml, the topics of its site, and three readers."""

import tomllib
from pathlib import Path
from typing import Any

from alerts.demo.story import (
    EVERYTHING,
    Change,
    Delete,
    End,
    Follow,
    MarkKey,
    Mend,
    Pin,
    Post,
    Reader,
    Redate,
    Story,
)

TRAVEL = "travel"
# How the site's rule finds what the script tags `about = ["travel"]` by hand.
TRAVEL_WORDS = ("train", "trains", "rail", "road", "roads", "bus", "buses")

_CHANGES: dict[str, type[Change]] = {
    "mend": Mend,
    "pin": Pin,
    "redate": Redate,
    "key point": MarkKey,
    "delete": Delete,
    "end": End,
}

READERS = (
    Reader("Ada", "ada@readers.example", "every entry", (Follow(EVERYTHING),)),
    Reader("Bruno", "bruno@readers.example", "key events only", (Follow(EVERYTHING, key_events_only=True),)),
    Reader(
        "Carla",
        "carla@readers.example",
        "travel, key events",
        (Follow(TRAVEL), Follow(EVERYTHING, key_events_only=True)),
    ),
)


def load(path: Path) -> Story:
    """Reads a story; blank lines part the paragraphs of a post's text."""
    data = tomllib.loads(path.read_text(encoding="utf-8"))
    return Story(
        publisher=data["publisher"],
        headline=data["headline"],
        standfirst=data["standfirst"],
        posts=tuple(_post(post) for post in data["post"]),
        changes=tuple(_CHANGES[change.pop("kind")](**change) for change in data["change"]),
    )


def _post(data: dict[str, Any]) -> Post:
    return Post(
        id=data["id"],
        at=data["at"],
        title=data["title"],
        paragraphs=tuple(" ".join(paragraph.split()) for paragraph in data["text"].split("\n\n")),
        author=data["author"],
        is_key_event=data.get("is_key_event", False),
        about=frozenset(data.get("about", ())),
        note=data.get("note", ""),
    )


STORY = load(Path(__file__).parent / "storm.toml")
