"""A mail of each kind, as it is rendered: what every check of mails goes through."""

from dataclasses import replace
from datetime import UTC, datetime

from alerts.mail.render import Renderer
from alerts.mail.views import AlertView, DigestEntry, DigestView, EntryView, NoticeView, Rendered, SiteView
from alerts.models import NoticeKind

NOW = datetime(2026, 11, 22, 8, 15, 3, 140159, tzinfo=UTC)
SITE = SiteView(
    name="The Harbour Post",
    base_url="https://alerts.harbour.example",
    sender_name="The Harbour Post",
    sender="alerts@harbour.example",
    contact="desk@harbour.example",
    postal_address="1 Quay Street, Seahaven",
)
ENTRY = EntryView(
    title="Harbour gate closed",
    text="The harbour gate was closed at 06:40. Ferries stay in port.",
    html="<p>The gate was <b>closed</b>.</p><ul><li>Ferries <a href='https://f.example/?a=1&b'>stay</a></ul>"
    "<table><tr><th>from<td>06:40</table><blockquote>Nobody was hurt.</blockquote><h2>Later</h2><p><p>More.",
    author="Ana Petrović",
    url="https://harbour.example/live?a=1&b=2#17",
    published_at=NOW,
    is_key_event=True,
    source="The flood, as it happens",
    also_by=("Another <desk>",),
)


def sample_mails() -> dict[str, Rendered]:
    """Gives them by name."""
    renderer = Renderer(SITE, ())
    bare = replace(ENTRY, author="", url="", source="", also_by=(), is_key_event=None)
    alert = AlertView((ENTRY,), ("The flood", "Harbour & trains"), "flash", "en", NOW)
    told = (
        DigestEntry(ENTRY, ("The flood",)),
        DigestEntry(replace(ENTRY, title="Mended"), ("Harbour & trains",), "corrected"),
        DigestEntry(bare, ("Harbour & trains",), "updated"),
    )
    digest = DigestView(told, ("The flood", "Harbour & trains"), "daily", "en", NOW, "Europe/Berlin")
    asked = (("The flood", "flash"), ("Harbour & trains", "daily"))
    return {
        "an alert": renderer.render(alert),
        "an alert of every update": renderer.render(replace(alert, entries=(bare,), frequency="every")),
        "an alert in German": renderer.render(replace(alert, language="de")),
        "a digest": renderer.render_digest(digest),
        "a late digest": renderer.render_digest(replace(digest, is_late=True, entries=told * 200)),
        **{
            f"a notice: {kind}": renderer.render_notice(NoticeView(kind, "en", asked, NOW))
            for kind in NoticeKind
        },
    }
