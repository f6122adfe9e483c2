"""What a scripted live blog is, what its page shows at a moment, and who is owed which post.

All of it is data and pure functions. The demo's verdict rests on `owed`, so nothing here imports the rest
of the product: the script says by hand what each post is about, and the daemon has to find the same by
its own rules.
"""

from collections.abc import Iterable
from dataclasses import dataclass, replace


@dataclass(frozen=True, slots=True)
class Post:
    """One post as first published; `at` counts story seconds, and 0 or less means before the demo looked."""

    id: str
    at: float
    title: str
    paragraphs: tuple[str, ...]
    author: str
    is_key_event: bool = False
    about: frozenset[str] = frozenset()  # slugs of the narrower topics it belongs to
    note: str = ""  # what is worth knowing about it, for the screen


@dataclass(frozen=True, slots=True)
class Mend:
    """A slip in a published post is put right."""

    at: float
    post_id: str
    wrong: str
    right: str


@dataclass(frozen=True, slots=True)
class Pin:
    """A copy of an old post is put at the top of the page."""

    at: float
    post_id: str


@dataclass(frozen=True, slots=True)
class Redate:
    """A post gets a new date and moves up, its words unchanged."""

    at: float
    post_id: str


@dataclass(frozen=True, slots=True)
class MarkKey:
    """A post already on the page is added to its key points."""

    at: float
    post_id: str


@dataclass(frozen=True, slots=True)
class Delete:
    """A post is taken off the page."""

    at: float
    post_id: str


@dataclass(frozen=True, slots=True)
class End:
    """The coverage ends, and the page says so."""

    at: float


Silent = Mend | Pin | Redate | Delete  # nobody is mailed for it
Change = Silent | MarkKey | End


@dataclass(frozen=True, slots=True)
class Story:
    publisher: str
    headline: str
    standfirst: str
    posts: tuple[Post, ...]
    changes: tuple[Change, ...]

    @property
    def ends_at(self) -> float:
        """The story second of the last thing that happens."""
        return max([post.at for post in self.posts] + [change.at for change in self.changes])

    def post(self, post_id: str) -> Post:
        return next(post for post in self.posts if post.id == post_id)

    def fresh(self) -> tuple[Post, ...]:
        """The posts that appear while the demo looks: the only ones that anybody is owed."""
        return tuple(post for post in self.posts if post.at > 0)


@dataclass(frozen=True, slots=True)
class Follow:
    """One choice of a reader: a topic's slug, and whether key events are enough."""

    topic: str
    key_events_only: bool = False


@dataclass(frozen=True, slots=True)
class Reader:
    name: str
    address: str
    choice: str  # in words, for the screen
    follows: tuple[Follow, ...]


EVERYTHING = "everything"


@dataclass(frozen=True, slots=True)
class ShownPost:
    """A post as the page shows it at a moment; the times are story seconds."""

    id: str
    title: str
    paragraphs: tuple[str, ...]
    author: str
    published: float
    updated: float
    is_key_event: bool


@dataclass(frozen=True, slots=True)
class Snapshot:
    """The page at a moment: newest first, with the pinned copy and the key points that sit above."""

    posts: tuple[ShownPost, ...]
    pinned: ShownPost | None
    key_points: tuple[ShownPost, ...]
    updated: float
    ended: float | None


def page_at(story: Story, second: float) -> Snapshot:
    """Gives what the page shows at a story second."""
    shown = {post.id: _as_published(post) for post in story.posts if post.at <= max(second, 0)}
    marked: set[str] = set()
    pinned_id, ended = None, None
    past = sorted((change for change in story.changes if change.at <= second), key=lambda change: change.at)
    for change in past:
        match change:
            case Mend(at, post_id, wrong, right):
                shown[post_id] = _mended(shown[post_id], at, wrong, right)
            case Redate(at, post_id):
                shown[post_id] = replace(shown[post_id], published=at, updated=at)
            case MarkKey(_, post_id):
                marked.add(post_id)
            case Pin(_, post_id):
                pinned_id = post_id
            case Delete(_, post_id):
                del shown[post_id]
            case End(at):
                ended = at
    posts = tuple(sorted(shown.values(), key=lambda post: post.published, reverse=True))
    return Snapshot(
        posts=posts,
        pinned=shown.get(pinned_id) if pinned_id else None,
        key_points=tuple(post for post in posts if post.is_key_event or post.id in marked),
        updated=max([post.updated for post in posts] + [change.at for change in past]),
        ended=ended,
    )


def owed(story: Story, readers: Iterable[Reader]) -> dict[tuple[str, str], float]:
    """Says which (address, post id) must be mailed exactly once, and from which story second it is owed.

    What is not in it must not be mailed. A post that was there before the demo looked is owed to nobody. A
    post taken off the page later is owed all the same: it was news when it was seen. Two reporters who tell
    one event wrote two posts. Who waits for key events is owed a post from its mark on.
    """
    debts = {}
    for reader in readers:
        for post in story.fresh():
            dues = [_due(follow, post, _key_from(story, post)) for follow in reader.follows]
            due = min((due for due in dues if due is not None), default=None)
            if due is not None:
                debts[reader.address, post.id] = due
    return debts


def _due(follow: Follow, post: Post, key_from: float | None) -> float | None:
    if follow.topic != EVERYTHING and follow.topic not in post.about:
        return None
    return key_from if follow.key_events_only else post.at


def _key_from(story: Story, post: Post) -> float | None:
    """Gives the story second from which the page calls a post a key event."""
    if post.is_key_event:
        return post.at
    marks = [
        change.at for change in story.changes if isinstance(change, MarkKey) and change.post_id == post.id
    ]
    return min(marks, default=None)


def _as_published(post: Post) -> ShownPost:
    return ShownPost(post.id, post.title, post.paragraphs, post.author, post.at, post.at, post.is_key_event)


def _mended(post: ShownPost, at: float, wrong: str, right: str) -> ShownPost:
    return replace(
        post,
        title=post.title.replace(wrong, right),
        paragraphs=tuple(paragraph.replace(wrong, right) for paragraph in post.paragraphs),
        updated=at,
    )
