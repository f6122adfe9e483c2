"""The posts of a fictional live blog about a harbour, from which the traps make their pages."""

from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Any

URL = "https://news.example/harbour/live"
OPENED = datetime(2026, 11, 22, 6, 0, tzinfo=UTC)

_TOLD = (
    (
        "Evening ferry is cancelled",
        "The evening ferry to the islands will not sail. Passengers may change their tickets at any counter.",
    ),
    (
        "Crane stands still after a short circuit",
        "A short circuit stopped the big crane at quay seven. Engineers expect to have it moving by noon.",
    ),
    (
        "Fog over the outer basin",
        "Visibility has dropped below a hundred metres. Ships wait outside until the pilot calls them in.",
    ),
    (
        "Mayor visits the new lock",
        "Mayor Olena Brandt opened the gates herself, and got wet feet. The lock took eleven years to build.",
    ),
    (
        "Trawler rescues two rowers",
        "Two students whose boat had filled with water were pulled aboard. Both are well and drinking tea.",
    ),
    (
        "Customs find parrots in a container",
        "Forty grey parrots travelled between bags of coffee. The zoo has taken them in for quarantine.",
    ),
    (
        "Dockers vote on the wage offer",
        "The union counts the ballots tonight. Its secretary called the offer late but serious.",
    ),
    (
        "Lighthouse goes dark for repairs",
        "The lamp is being replaced after ninety years of service. A buoy marks the headland meanwhile.",
    ),
    (
        "Storm warning for the night",
        "Gusts of force ten are expected after midnight. Owners should double their mooring lines.",
    ),
    (
        "Fish market opens an hour late",
        "The ice machine failed at dawn. Buyers were offered breakfast while a second one was driven over.",
    ),
    (
        "School class names the new tug",
        "Pupils chose the name Little Ox from three hundred proposals. The christening is on Saturday.",
    ),
    (
        "Cyclists get a bridge of their own",
        "The council approved a swing bridge beside the railway. Work begins in spring, once the eels have passed.",
    ),
    (
        "Old warehouse becomes a museum",
        "Visitors will walk through a ship's hold rebuilt plank by plank. Entry is free for children.",
    ),
    (
        "Pilot boat collides with a seal",
        "The animal swam on, and the propeller is bent. A vet with binoculars watches the sandbank.",
    ),
)


@dataclass(frozen=True, slots=True)
class Post:
    """One post as its publisher means it; an empty field is not given in a document.

    `text` is HTML. A time that is a string is written as it stands.
    """

    number: int
    id: str
    url: str
    title: str
    text: str
    at: datetime | str | None
    updated: datetime | str | None = None
    is_key_event: bool = False
    is_pinned: bool = False

    def but(self, **changes: Any) -> "Post":
        return replace(self, **changes)


def post(number: int, **changes: Any) -> Post:
    """Gives post `number`, from 1 on: told `number` times ten minutes after the blog was opened."""
    title, text = _TOLD[number - 1]
    id_ = str(751_000 + number * 37)
    made = Post(number, id_, f"{URL}#{id_}", title, f"<p>{text}</p>", OPENED + timedelta(minutes=10 * number))
    return replace(made, **changes)


def posts(first: int, last: int) -> tuple[Post, ...]:
    """Gives posts `first` to `last`, the newest on top."""
    return tuple(post(number) for number in range(last, first - 1, -1))


def titles(*numbers: int) -> tuple[str, ...]:
    """Gives the headlines of posts, as mails bear them."""
    return tuple(_TOLD[number - 1][0] for number in numbers)
