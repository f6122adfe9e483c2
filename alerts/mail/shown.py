"""An entry made fit for templates: every value clean, clipped, and empty when there is none."""

from dataclasses import dataclass
from datetime import datetime
from urllib.parse import urlsplit

from markupsafe import Markup

from alerts.mail.story import Story
from alerts.mail.views import EntryView
from alerts.mail.words import clean, clip, quoted_printable

TITLE_LIMIT = 160
NAME_LIMIT = 80
TOPICS_LIMIT = 10  # that are named; the rest are counted
WORDS_LIMIT = 1_000  # as much of a text as titles and preheaders can need
_MADE_TITLE_LIMIT = 80
_URL_LIMIT = 2_000
_ALSO_LIMIT = 3


@dataclass(frozen=True, slots=True)
class ShownEntry:
    """An entry as templates see it: every value clean, and empty when there is none."""

    headline: str
    is_untitled: bool  # the headline only repeats how the story begins
    url: str
    author: str
    source: str
    published_at: datetime | None
    html: Markup
    text: str
    is_cut: bool
    is_key_event: bool
    also_by: tuple[str, ...]


def shown(entry: EntryView, story: Story, published_at: datetime | None) -> ShownEntry:
    """Gives an entry with as much of its story as the mail has room for."""
    title = clip(clean(entry.title), TITLE_LIMIT)
    words = clean(entry.text[:WORDS_LIMIT]) or clean(story.text)
    has_more = words != title  # some feeds give the headline as the text, too
    return ShownEntry(
        headline=title or clip(words, _MADE_TITLE_LIMIT),
        is_untitled=_only_begins(title, words),
        url=web_url(entry.url),
        author=clip(clean(entry.author), NAME_LIMIT),
        source=clip(clean(entry.source), NAME_LIMIT),
        published_at=published_at,
        html=Markup(story.html if has_more else ""),  # noqa: S704 - `tidy` wrote it from nh3's output
        text=story.text if has_more else "",
        is_cut=story.is_cut,
        is_key_event=entry.is_key_event is True,
        also_by=tuple(
            clip(name, NAME_LIMIT) for each in entry.also_by[:_ALSO_LIMIT] if (name := clean(each))
        ),
    )


def web_url(url: str) -> str:
    """Gives `url` when a reader can be sent there, else nothing: a URL cannot be clipped or mended."""
    if clean(url) != url or " " in url or len(quoted_printable(url)) > _URL_LIMIT:
        return ""
    try:
        parts = urlsplit(url)
    except ValueError:
        return ""
    return url if parts.scheme in {"http", "https"} and parts.netloc else ""


def contact_url(contact: str) -> str:
    """Gives the link to a site's contact, an address or a page; none when it is neither."""
    return f"mailto:{contact}" if "@" in contact and "/" not in contact else web_url(contact)


def _only_begins(title: str, words: str) -> bool:
    """Says whether `title` is none, or the story's first words with an ellipsis, as WordPress makes them."""
    stem = title.removesuffix("...").removesuffix("…").rstrip()
    return stem == "" or (stem != title and words.startswith(stem))
