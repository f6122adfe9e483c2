"""An entry's mail before, or without, sending it: the very bytes, made out to nobody."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from sqlmodel import Session

from alerts.audience.topics import EntryFacts, matching
from alerts.dispatch.compose import site_headers
from alerts.dispatch.content import Content, entry_view
from alerts.dispatch.wording import Choice
from alerts.errors import NotFound
from alerts.feeds.store.grouping import other_sources
from alerts.mail import dkim
from alerts.mail.compose import compose, eml, fillings, prepare
from alerts.mail.dkim import Signer
from alerts.mail.render import Renderer, SiteView
from alerts.models import Entry, EntryRevision, Feed, Frequency, Topic

_NOBODY = "reader@example.org"
_NO_TOKEN = "preview".ljust(43, "-")


@dataclass(frozen=True, slots=True)
class Preview:
    """One mail as a file, and its two parts."""

    eml: bytes
    subject: str
    text: str
    html: str


def preview(
    session: Session,
    entry_id: int,
    renderer: Renderer,
    site: SiteView,
    now: datetime,
    signers: Sequence[Signer] = (),
) -> Preview:
    """Gives the mail that a reader of every entry would get were the alert released `now`.

    It is addressed to nobody, and its links hold no reader's token; it is signed as theirs would be.
    """
    content, choice = _content(session, entry_id, now)
    rendered = renderer.render(content.view(choice))
    prepared = dkim.pin(prepare(rendered, site_headers(site, now)), signers, now)
    own = fillings(_NOBODY, "preview", _NO_TOKEN)
    wire = compose(prepared, own, signature=dkim.sign(dkim.prepare(signers, prepared), own))
    return Preview(
        eml(wire),
        rendered.subject,
        rendered.text.replace(rendered.hole, _NO_TOKEN),
        rendered.html.replace(rendered.hole, _NO_TOKEN),
    )


def _content(session: Session, entry_id: int, now: datetime) -> tuple[Content, Choice]:
    entry = session.get(Entry, entry_id)
    revision = session.get(EntryRevision, (entry_id, entry.revision)) if entry else None
    feed = session.get(Feed, entry.feed_id) if entry else None
    if entry is None or revision is None or feed is None:
        raise NotFound(f"There is no entry {entry_id}; `alerts entries list` shows them.")
    facts = EntryFacts(feed.name, entry.is_key_event, revision.title, revision.text)
    titles = {each: _title(session, each) for each in matching(session, facts)}
    view = entry_view(
        revision,
        is_key_event=entry.is_key_event is True,
        source=feed.title or feed.name,
        also_by=other_sources(session, entry_id),
    )
    return Content(now, (view,), titles), Choice(tuple(titles), Frequency.EVERY, "en")


def _title(session: Session, topic_id: int) -> str:
    topic = session.get(Topic, topic_id)
    assert topic is not None, "matched just now"
    return topic.title
