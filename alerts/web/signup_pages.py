"""The pages of signing up, from values to HTML."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime

from alerts.audience.consents import Words
from alerts.audience.offers import Offer
from alerts.audience.signups import ChosenTopic, Pending
from alerts.mail.words import clean, clip
from alerts.web.pages import Pages
from alerts.web.signup_form import OF_TOPIC, TRAP, Fault, Filled

_EXCERPT_LIMIT = 280


@dataclass(frozen=True, slots=True)
class Welcome:
    """What a new reader is told: what they get, and when the next digest comes, by frequency."""

    subscriber_id: int
    language: str
    zone: str
    topics: tuple[ChosenTopic, ...]
    digests: tuple[tuple[str, datetime], ...]
    is_paused: bool
    has_moved: bool  # from another address


class SignUpPages:
    """Renders them; where a language is asked for, it is as Accept-Language says it."""

    def __init__(self, pages: Pages) -> None:
        self._pages = pages

    def known(self, accepted: str) -> str:
        """Gives the first accepted language that we have words in, else the site's."""
        return self._pages.known(accepted)

    def words(self, accepted: str) -> Words:
        """Gives what a visitor agrees to, as the form shows it."""
        language = self.known(accepted)
        return Words(language, clean(self._pages.render("consent.txt", language)))

    def form(
        self, accepted: str, offers: Sequence[Offer], filled: Filled, faults: Collection[Fault] = ()
    ) -> str:
        return self._pages.render(
            "signup.html",
            self.known(accepted),
            offers=offers,
            filled=filled,
            faults=faults,
            of_topic=OF_TOPIC,
            trap=TRAP,
            words=self.words(accepted).text,
            excerpt=_excerpt,
            script=self._pages.script,
        )

    def question(self, accepted: str, filled: Filled, meant: str) -> str:
        return self._pages.render(
            "question.html", self.known(accepted), filled=filled, meant=meant, of_topic=OF_TOPIC, trap=TRAP
        )

    def sent(self, accepted: str, address: str) -> str:
        return self._pages.render("sent.html", self.known(accepted), address=address)

    def too_many(self, accepted: str) -> str:
        return self._pages.render("too-many.html", self.known(accepted))

    def elsewhere(self, accepted: str) -> str:
        return self._pages.render("elsewhere.html", self.known(accepted))

    def link_form(self, accepted: str, typed: str = "", fault: Fault | None = None) -> str:
        return self._pages.render("link.html", self.known(accepted), typed=typed, fault=fault, trap=TRAP)

    def link_sent(self, accepted: str, address: str) -> str:
        return self._pages.render("link-sent.html", self.known(accepted), address=address)

    def confirm(self, pending: Pending, *, is_changed: bool = False) -> str:
        return self._pages.render("confirm.html", pending.language, pending=pending, is_changed=is_changed)

    def welcome(self, welcome: Welcome, token: str) -> str:
        return self._pages.render("welcome.html", welcome.language, welcome=welcome, token=token)

    def expired(self, accepted: str) -> str:
        return self._pages.fixed("expired.html", accepted)

    def topics_gone(self, language: str) -> str:
        return self._pages.render("topics-gone.html", language)

    def suppressed(self, accepted: str) -> str:
        return self._pages.fixed("suppressed.html", accepted)


def _excerpt(text: str, title: str) -> str:
    """Gives the beginning of a sample's text; nothing where it only repeats the title."""
    words = clean(text[: 4 * _EXCERPT_LIMIT])
    return "" if words == clean(title) else clip(words, _EXCERPT_LIMIT)
