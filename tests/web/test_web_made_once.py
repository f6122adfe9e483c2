"""What strangers ask for is made once, and little of it at a time."""

import asyncio
from collections.abc import Awaitable, Callable

import pytest
from starlette.exceptions import HTTPException

from alerts.web.made_once import MadeOnce


class Maker:
    """Makes texts when it is let, and notes which."""

    def __init__(self) -> None:
        self.made: list[str] = []
        self.may_go_on = asyncio.Event()

    def make(self, text: str) -> Callable[[], Awaitable[str]]:
        async def made() -> str:
            self.made.append(text)
            await self.may_go_on.wait()
            return text

        return made


def kept(seconds: float = 60, room: int = 100, at_once: int = 2) -> MadeOnce[str, str]:
    return MadeOnce(seconds=seconds, room=room, at_once=at_once, weigh=len)


async def test_all_who_ask_at_once_wait_for_one() -> None:
    maker, pages = Maker(), kept(at_once=1)
    asking = [asyncio.create_task(pages.get("a", maker.make("page"))) for _ in range(9)]
    asking[3].cancel()
    maker.may_go_on.set()
    answers = await asyncio.gather(*asking, return_exceptions=True)
    assert answers.count("page") == 8
    assert await pages.get("a", maker.make("page")) == "page"
    assert maker.made == ["page"]


async def test_who_would_be_one_too_many_is_told_when_to_come_back() -> None:
    maker, pages = Maker(), kept(at_once=2)
    asking = [asyncio.create_task(pages.get(key, maker.make(key))) for key in "abc"]
    done, _ = await asyncio.wait(asking, return_when=asyncio.FIRST_COMPLETED)
    (refused,) = (each.exception() for each in done)
    assert isinstance(refused, HTTPException)
    assert refused.status_code == 503
    assert refused.headers
    maker.may_go_on.set()
    assert await asyncio.gather(*asking[:2]) == ["a", "b"]
    assert await pages.get("c", maker.make("c")) == "c"


async def test_what_is_old_or_has_no_room_is_made_again() -> None:
    maker = Maker()
    maker.may_go_on.set()
    pages = kept(room=5)
    for key in ("aaa", "bb", "cc", "bb", "aaa"):
        assert await pages.get(key, maker.make(key)) == key
    assert maker.made == ["aaa", "bb", "cc", "aaa"]
    pages = kept(seconds=0)
    for _ in range(2):
        await pages.get("a", maker.make("old"))
    assert maker.made[4:] == ["old", "old"]


async def test_a_failure_is_not_kept() -> None:
    async def fails() -> str:
        raise OSError

    maker, pages = Maker(), kept(at_once=1)
    maker.may_go_on.set()
    with pytest.raises(OSError):  # noqa: PT011 - it says nothing
        await pages.get("a", fails)
    assert await pages.get("a", maker.make("page")) == "page"
