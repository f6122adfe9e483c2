"""The callback that hubs call (W3C WebSub, sections 5.2, 5.3 and 7).

The path is unguessable and known to one hub. It stands in no log line, as it is half of the right to speak for
a feed; the other half is the signature.
"""

import asyncio
from collections.abc import Callable
from datetime import datetime
from random import Random

import structlog
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response

from alerts.db import Database
from alerts.feeds.push import word as push_word
from alerts.feeds.push.rules import Signature
from alerts.feeds.push.word import Callback, Deed, Heard, HubWord

log = structlog.get_logger()

_CONTENT_LIMIT = 10_000_000  # bytes: hubs send the whole of a page
_CONTENT_SECONDS = 10
_NO_SUCH = 404
_TAKEN = 202
_GONE = 410
_NUL = "\0"  # which PostgreSQL takes in no text, nor do we in a path


class Callbacks:
    """Answers hubs; `wake` is called when a push has made a feed due."""

    def __init__(self, database: Database, wake: Callable[[], object], clock: Callable[[], datetime]) -> None:
        self._database = database
        self._wake = wake
        self._clock = clock
        self._random = Random()  # noqa: S311 - jitter

    async def hear(self, path: str, request: Request) -> Response:
        """Says yes to a hub that asks whether we asked, and no to all else.

        The one GET that changes anything: section 5.3 has hubs confirm by GET. It only confirms what we asked
        for ourselves, and whoever opens the address without knowing that changes nothing.
        """
        given = request.query_params
        word = HubWord(
            mode=given.get("hub.mode", ""),
            topic=given.get("hub.topic", ""),
            lease_seconds=given.get("hub.lease_seconds", ""),
            reason=given.get("hub.reason", ""),
        )
        challenge = given.get("hub.challenge", "")
        is_word = challenge or word.mode == "denied"
        if not is_word or _NUL in path:
            raise HTTPException(_NO_SUCH)
        heard = await self._database.run(push_word.hear, path, word, self._clock(), self._random)
        if heard is None:
            raise HTTPException(_NO_SUCH)
        _log_heard(heard)
        return PlainTextResponse(challenge)

    async def take(self, path: str, request: Request) -> Response:
        """Takes a push: its feed is polled at once. One that the hub did not sign is taken as well, and dropped.

        Section 7.1.2: who tries signatures must not learn from the answer. A hub that pushes what nobody wants
        any more is told so, and may stop (section 7).
        """
        pushed = None if _NUL in path else await self._database.run(push_word.callback, path)
        if pushed is None:
            raise HTTPException(_GONE)
        why_not = await _why_not(pushed, request)
        if why_not:
            await self._database.run(push_word.discard, pushed)
            log.warning("push_discarded", feed=pushed.feed, reason=why_not)
        else:
            is_sooner = await self._database.run(push_word.hasten_poll, pushed, self._clock())
            self._wake()
            log.info("push_received", feed=pushed.feed, hastened=is_sooner)
        return Response(status_code=_TAKEN)


async def _why_not(pushed: Callback, request: Request) -> str:
    """Reads a content past its signature, and keeps none of it; gives why it does not count, if so."""
    signature = Signature(request.headers.get("X-Hub-Signature", ""), pushed.secret)
    size = 0
    try:
        async with asyncio.timeout(_CONTENT_SECONDS):
            async for chunk in request.stream():
                size += len(chunk)
                if size > _CONTENT_LIMIT:
                    return f"larger than {_CONTENT_LIMIT:,} bytes"
                signature.update(chunk)
    except TimeoutError:
        return f"not here within {_CONTENT_SECONDS} seconds"
    return "" if signature.is_right() else "signature wrong or missing"


def _log_heard(heard: Heard) -> None:
    match heard.deed:
        case Deed.VERIFIED:
            log.info("push_verified", feed=heard.feed, until=str(heard.lease_until))
        case Deed.ENDED:
            log.info("push_ended", feed=heard.feed)
        case Deed.DENIED:
            log.warning("push_denied", feed=heard.feed)
