"""Every page of the site in every state that it has: how a visitor comes there."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import UTC, datetime

from alerts.audience.tokens import Purpose
from alerts.models import Frequency
from browser.house import House
from browser.window import Window

PAGE_BYTES = 20_000  # of which the style has 7,000
_ZONES_BYTES = 40_000  # some hundred of them

Come = Callable[[House, Window], Awaitable[None]]


@dataclass(frozen=True, slots=True)
class State:
    """A page in one state; `status` is what its answer says to machines.

    A variant differs by some words from a page that is looked at whole in another state.
    """

    name: str
    come: Come
    status: int = 200
    is_variant: bool = False
    most_bytes: int = PAGE_BYTES


STATES: list[State] = []


def state(
    name: str, status: int = 200, *, is_variant: bool = False, most_bytes: int = PAGE_BYTES
) -> Callable[[Come], Come]:
    """Adds a state to those that every check goes through."""

    def add(come: Come) -> Come:
        STATES.append(State(name, come, status, is_variant, most_bytes))
        return come

    return add


# --- signing up ------------------------------------------------------------------------------------------


async def sign_up(house: House, window: Window) -> str:
    """Gives the new address that asked for two topics."""
    address = house.address()
    await window.goto(f"{house.url}/")
    await window.choose("Storm on the coast", "One mail a day")
    await window.choose("Ferries & trains", "Every update, at once")
    await window.type("Your e-mail address", address)
    await window.press("Sign up")
    return address


@state("the sign-up page")
async def _(house: House, window: Window) -> None:
    await window.goto(f"{house.url}/")


@state("the sign-up page, opened for a topic", is_variant=True)
async def _(house: House, window: Window) -> None:
    await window.goto(f"{house.url}/signup?topic=storm&from=front-page")


@state("the sign-up page, sent empty", status=400)
async def _(house: House, window: Window) -> None:
    await window.goto(f"{house.url}/")
    await window.press("Sign up")


@state("the sign-up page, sent with an office's address", status=400)
async def _(house: House, window: Window) -> None:
    await window.goto(f"{house.url}/signup?topic=storm")
    await window.type("Your e-mail address", "postmaster@example.org")
    await window.press("Sign up")


@state("a slip in an address")
async def _(house: House, window: Window) -> None:
    await window.goto(f"{house.url}/signup?topic=storm")
    await window.type("Your e-mail address", "a.rather.long.name.of.some.reader.or.other@gmial.com")
    await window.press("Sign up")


@state("signed up")
async def _(house: House, window: Window) -> None:
    await sign_up(house, window)


@state("a form of another site", status=403)
async def _(house: House, window: Window) -> None:
    await window.goto("about:blank")
    await window.send({"address": house.address(), "frequency.storm": "every"}, to=f"{house.url}/signup")


@state("the page that sends links")
async def _(house: House, window: Window) -> None:
    await window.goto(f"{house.url}/link")


@state("the page that sends links, sent empty", status=400)
async def _(house: House, window: Window) -> None:
    await window.goto(f"{house.url}/link")
    await window.press("Send me the link")


@state("a link sent to whoever it is")
async def _(house: House, window: Window) -> None:
    await window.goto(f"{house.url}/link")
    await window.type("Your e-mail address", house.address())
    await window.press("Send me the link")


@state("a sign-up to confirm")
async def _(house: House, window: Window) -> None:
    await window.goto(await house.linked(await sign_up(house, window)))


@state("a sign-up that changed before it was confirmed", status=409, is_variant=True)
async def _(house: House, window: Window) -> None:
    await window.goto(await house.linked(await sign_up(house, window)))
    await window.send({"version": "0"})


@state("a sign-up confirmed")
async def _(house: House, window: Window) -> None:
    await window.goto(await house.linked(await sign_up(house, window)))
    await window.press("Yes, send me these")


@state("a sign-up confirmed before", is_variant=True)
async def _(house: House, window: Window) -> None:
    await window.goto(await house.linked(await sign_up(house, window)))
    await window.press("Yes, send me these")
    await window.goto(window.page.url)


@state("a sign-up whose address was suppressed meanwhile", status=409)
async def _(house: House, window: Window) -> None:
    address = await sign_up(house, window)
    await window.goto(await house.linked(address))
    house.suppress(address)
    await window.press("Yes, send me these")


@state("a sign-up whose topics are no more", status=410)
async def _(house: House, window: Window) -> None:
    address = await sign_up(house, window)
    link = await house.linked(address)
    house.take_topics_from(address)
    await window.goto(link)


@state("a sign-up that is too old", status=410)
async def _(house: House, window: Window) -> None:
    await window.goto(house.link_to(Purpose.CONFIRM, 10**9))


# --- a reader's own page ---------------------------------------------------------------------------------


@state("a reader's page")
async def _(house: House, window: Window) -> None:
    await window.goto(house.link(house.reader()))


@state("a reader's page whose mail has no choice behind it any more", is_variant=True)
async def _(house: House, window: Window) -> None:
    await window.goto(house.link(house.reader({"council": Frequency.WEEKLY})))


@state("a reader's page with every kind of digest")
async def _(house: House, window: Window) -> None:
    digests = {"storm": Frequency.HOURLY, "trains": Frequency.DAILY, "council": Frequency.WEEKLY}
    await window.goto(house.link(house.reader(digests, zone="Australia/Lord_Howe")))


@state("a reader's page without topics", is_variant=True)
async def _(house: House, window: Window) -> None:
    await window.goto(house.link(house.reader({})))


@state("a reader's page whose address is suppressed", is_variant=True)
async def _(house: House, window: Window) -> None:
    await window.goto(house.link(house.reader(suppressed="bounce")))


@state("a reader's page, by a link of the time before another address")
async def _(house: House, window: Window) -> None:
    await window.goto(house.link(house.reader(address_since=datetime.now(UTC))))


@state("a topic stopped from the time before another address", is_variant=True)
async def _(house: House, window: Window) -> None:
    await window.goto(house.link(house.reader(address_since=datetime.now(UTC))))
    await window.press("Stop Storm on the coast")


@state("a reader's page in German")
async def _(house: House, window: Window) -> None:
    await window.goto(house.link(house.reader(language="de")))


@state("a topic stopped", is_variant=True)
async def _(house: House, window: Window) -> None:
    await window.goto(house.link(house.reader()))
    await window.press("Stop Storm on the coast")


@state("a topic stopped, and taken up again", is_variant=True)
async def _(house: House, window: Window) -> None:
    await window.goto(house.link(house.reader()))
    await window.press("Stop Storm on the coast")
    await window.press("Undo")


@state("two topics changed at once", is_variant=True)
async def _(house: House, window: Window) -> None:
    await window.goto(house.link(house.reader()))
    await window.choose("Storm on the coast", "One mail a day")
    await window.choose("Ferries & trains", "One mail a week")
    await window.press("Save")


@state("all stopped", is_variant=True)
async def _(house: House, window: Window) -> None:
    await window.goto(house.link(house.reader()))
    await window.press("Stop all alerts")


@state("a reason given")
async def _(house: House, window: Window) -> None:
    await window.goto(house.link(house.reader()))
    await window.press("Stop all alerts")
    await window.pick("Too many mails")
    await window.press("Send")


@state("another hour", is_variant=True)
async def _(house: House, window: Window) -> None:
    await window.goto(house.link(house.reader({"storm": Frequency.DAILY})))
    await window.choose("Day of the weekly mail", "Sunday")
    await window.press("Save", after="Day of the weekly mail")


@state("a pause", is_variant=True)
async def _(house: House, window: Window) -> None:
    await window.goto(house.link(house.reader()))
    await window.press("For a week")


@state("a pause that was there already", is_variant=True)
async def _(house: House, window: Window) -> None:
    await window.goto(house.link(house.reader()))
    await window.press("For a week")
    await window.goto(window.page.url)


@state("a pause that is over", is_variant=True)
async def _(house: House, window: Window) -> None:
    await window.goto(house.link(house.reader()))
    await window.press("For a week")
    await window.goto(window.page.url)
    await window.press("End the pause now")


@state("a pause until no day", status=400, is_variant=True)
async def _(house: House, window: Window) -> None:
    await window.goto(house.link(house.reader()))
    await window.send({"action": "pause", "until": "2020-01-01"})


@state("a form that is none of ours", status=400, is_variant=True)
async def _(house: House, window: Window) -> None:
    await window.goto(house.link(house.reader()))
    await window.send({"action": "dance"})


@state("an address that is none", status=400, is_variant=True)
async def _(house: House, window: Window) -> None:
    await window.goto(house.link(house.reader()))
    await window.send({"action": "address", "address": '"><b>nobody</b>'})


@state("a change of address asked for", is_variant=True)
async def _(house: House, window: Window) -> None:
    await window.goto(house.link(house.reader()))
    await window.type("New e-mail address", house.address())
    await window.press("Ask for the change")


@state("a change of address that waits", is_variant=True)
async def _(house: House, window: Window) -> None:
    await window.goto(house.link(house.reader()))
    await window.type("New e-mail address", house.address())
    await window.press("Ask for the change")
    await window.goto(window.page.url)


async def ask_for_link(house: House, window: Window) -> str:
    """Gives the address of a reader who wants to be known as its owner."""
    await window.goto(house.link(reader := house.reader()))
    await window.press("Send me the link")
    return house.address_of(reader)


@state("a link to the download sent", is_variant=True)
async def _(house: House, window: Window) -> None:
    await ask_for_link(house, window)


@state("another time zone asked for", most_bytes=_ZONES_BYTES)
async def _(house: House, window: Window) -> None:
    await window.goto(house.link(house.reader()))
    await window.press("Another time zone …")


@state("an erasure asked for")
async def _(house: House, window: Window) -> None:
    await window.goto(house.link(house.reader()))
    await window.press("Erase me …")


@state("a reader erased")
async def _(house: House, window: Window) -> None:
    await window.goto(house.link(house.reader()))
    await window.press("Erase me …")
    await window.press("Erase everything")


@state("the page of a reader who was erased", status=410)
async def _(house: House, window: Window) -> None:
    await window.goto(house.link(house.reader()))
    await window.press("Erase me …")
    await window.press("Erase everything")
    await window.goto(window.page.url)


# --- links of notices --------------------------------------------------------------------------------------


@state("the owner's page")
async def _(house: House, window: Window) -> None:
    await window.goto(await house.linked(await ask_for_link(house, window)))


async def ask_for_change(house: House, window: Window) -> tuple[str, str]:
    """Gives the old and the new address of a reader who wants the change."""
    new = house.address()
    await window.goto(house.link(reader := house.reader()))
    await window.type("New e-mail address", new)
    await window.press("Ask for the change")
    return house.address_of(reader), new


@state("a change of address, to the new one")
async def _(house: House, window: Window) -> None:
    _, new = await ask_for_change(house, window)
    await window.goto(await house.linked(new))


@state("a change of address, to the old one")
async def _(house: House, window: Window) -> None:
    old, _ = await ask_for_change(house, window)
    await window.goto(await house.linked(old))


@state("a change of address, half done")
async def _(house: House, window: Window) -> None:
    _, new = await ask_for_change(house, window)
    await window.goto(await house.linked(new))
    await window.press("Yes, change it")


@state("a change of address, done")
async def _(house: House, window: Window) -> None:
    for address in await ask_for_change(house, window):
        await window.goto(await house.linked(address))
        await window.press("Yes, change it")


@state("a change of address, refused")
async def _(house: House, window: Window) -> None:
    old, _ = await ask_for_change(house, window)
    await window.goto(await house.linked(old))
    await window.press("No, I did not ask for this")


# --- what was mailed -----------------------------------------------------------------------------------------


@state("the archive")
async def _(house: House, window: Window) -> None:
    await window.goto(f"{house.url}/archive")


@state("the archive of a topic")
async def _(house: House, window: Window) -> None:
    await window.goto(f"{house.url}/archive/storm")


@state("a mail that is not kept", status=404)
async def _(house: House, window: Window) -> None:
    await window.goto(f"{house.link(house.reader())}/mail")


# --- where there is nothing ----------------------------------------------------------------------------------


@state("a link that is none", status=404)
async def _(house: House, window: Window) -> None:
    await window.goto(f"{house.url}/u/none")


@state("a notice's link that is over", status=410)
async def _(house: House, window: Window) -> None:
    await window.goto(house.link_to(Purpose.NEW_ADDRESS, 10**9))


@state("a link of a notice that is none", status=404)
async def _(house: House, window: Window) -> None:
    await window.goto(f"{house.url}/n/none")
