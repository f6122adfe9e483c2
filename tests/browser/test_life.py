"""The whole life of a reader, from the first page to the last, as different people live it."""

from dataclasses import dataclass
from email.message import EmailMessage

import pytest
from sqlmodel import col, select

from alerts.models import Subscriber
from browser.conftest import OpenWindow
from browser.hands import Keyboard, Pointer
from browser.house import House, in_browser
from browser.window import Window

pytestmark = [pytest.mark.asyncio(loop_scope="session"), pytest.mark.slow]


@dataclass(frozen=True, slots=True)
class Person:
    """What a reader has in their hands."""

    name: str
    width: int
    scripts: bool
    hand: type[Pointer]


PEOPLE = (
    Person("a phone", 320, scripts=True, hand=Pointer),
    Person("a phone without scripts, and a keyboard", 320, scripts=False, hand=Keyboard),
    Person("a desk", 1280, scripts=False, hand=Pointer),
    Person("a desk, and a keyboard alone", 1280, scripts=True, hand=Keyboard),
)


@pytest.mark.parametrize("person", PEOPLE, ids=lambda person: person.name)
async def test_a_reader_comes_stays_and_leaves(person: Person, site: House, open_window: OpenWindow) -> None:
    window = await open_window(
        width=person.width,
        scripts=person.scripts,
        timezone_id="America/New_York",
        has_touch=person.width < 480,
    )
    hand = person.hand(window)
    address = site.address()
    await _sign_up(site, hand, address)
    await _confirm(site, hand, address)
    is_told = "New York" in await _next_mail(window)
    assert is_told == person.scripts, "only a script can tell the browser's zone"
    await _settle_in(hand)
    site.announce("The ferry is late again")
    mail = (await site.mails(2, to=address))[-1]
    await _read(window, mail)
    await _leave_a_topic(hand, mail)
    await _leave(hand)
    await window.goto(_link(mail))
    assert window.status == 410
    assert window.words == []
    with site.database.begin() as session:
        assert session.exec(select(Subscriber).where(col(Subscriber.address) == address)).all() == []


async def _sign_up(site: House, hand: Pointer, address: str) -> None:
    window = hand.window
    await window.goto(f"{site.url}/")
    await hand.choose("Ferries & trains", "Every update, at once")
    await hand.unfold("The last alert Ferries & trains")
    assert "The ferry is late" in await _text(window)
    await hand.choose("Storm on the coast", "One mail a day")
    await hand.type("Your e-mail address", address)
    await hand.press("Sign up")
    assert await window.heading() == "Please look into your inbox"


async def _confirm(site: House, hand: Pointer, address: str) -> None:
    window = hand.window
    await window.goto(await site.linked(address))
    assert await window.heading() == "Confirm your alerts"
    await hand.press("Yes, send me these")
    assert await window.heading() == "You are signed up"
    await hand.follow("Open my page")
    assert await window.heading() == "Your alerts"


async def _settle_in(hand: Pointer) -> None:
    window = hand.window
    await hand.choose("Storm on the coast", "One mail a week")
    await hand.press("Save", after="Storm on the coast")
    assert "one mail a week has the news about Storm on the coast" in await window.said()
    await hand.press("Undo")
    assert "one mail a day has the news about Storm on the coast" in await window.said()
    await hand.unfold("Change hour, day or time zone")
    await hand.press("Another time zone …")
    await hand.choose("Time zone: the nearest city of yours", "Berlin")
    await hand.press("Save", after="Time zone: the nearest city of yours")
    assert "Berlin" in await _next_mail(window)
    await hand.press("For a week")
    assert "Paused" in await window.said()
    await window.goto(window.page.url)
    await hand.press("End the pause now")
    assert "The pause is over" in await window.said()


async def _read(window: Window, mail: EmailMessage) -> None:
    """Reads a mail in the browser."""
    await window.goto(in_browser(mail))
    assert await window.heading() == "The ferry is late again"


async def _leave_a_topic(hand: Pointer, mail: EmailMessage) -> None:
    window = hand.window
    await window.goto(_link(mail))
    assert "Your mail came for Ferries & trains" in await _text(window)
    await hand.press("Stop Ferries & trains")
    assert "no more alerts about Ferries & trains" in await window.said()
    await hand.press("Undo")
    assert "every update about Ferries & trains" in await window.said()
    await hand.press("Stop Ferries & trains")
    await hand.unfold("Tell us why")
    await hand.pick("Too many mails", of="Why did you leave?")
    await hand.type("In your own words, if you like", "Ten ferries a day.")
    await hand.press("Send")
    assert "Thank you" in await window.said()


async def _leave(hand: Pointer) -> None:
    window = hand.window
    await hand.press("Stop all alerts")
    assert "All alerts are stopped" in await window.said()
    await hand.unfold("Erase everything about you")
    await hand.press("Erase me …")
    await hand.press("Erase everything")
    assert await window.heading() == "You are erased"


def _link(mail: EmailMessage) -> str:
    """Gives the link that every mail has at its end, as a mail program's button opens it."""
    return str(mail["List-Unsubscribe"]).strip("<>")


async def _text(window: Window) -> str:
    return await window.page.locator("main").inner_text()


async def _next_mail(window: Window) -> str:
    """Gives what the page says of the next daily mail."""
    return (await window.page.get_by_text("next daily mail").inner_text()).replace("_", " ")
