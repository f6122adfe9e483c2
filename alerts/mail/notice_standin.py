"""A stand-in until the mails of notices are made."""

from dataclasses import dataclass
from datetime import datetime

from alerts.mail.render import Rendered, SiteView, _hole_not_in


@dataclass(frozen=True, slots=True)
class NoticeView:
    kind: str
    language: str
    topics: tuple[str, ...]
    expires_at: datetime


def render_notice(site: SiteView, view: NoticeView) -> Rendered:
    hole = _hole_not_in(repr(view))
    link = f"{site.base_url}/n/{hole}"
    topics = ", ".join(view.topics)
    return Rendered(
        f"{view.kind}: {site.name}",
        f"{topics}\n{link}\n",
        f'<p>{topics}</p><a href="{link}">{link}</a>\n',
        hole,
    )
