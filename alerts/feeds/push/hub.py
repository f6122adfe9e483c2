"""One request to a WebSub hub (sections 5.1 and 5.1.2): the form, and what the answer means. No database."""

from datetime import datetime
from http import HTTPStatus

from yarl import URL

from alerts.errors import FetchFailed
from alerts.feeds.fetch import Fetcher, hops
from alerts.feeds.push import rules as push_rules
from alerts.feeds.push.rules import Request

_REDIRECTS = 5
# The two that section 5.1.2 gives hubs, and that keep a POST a POST.
_MOVES = frozenset({HTTPStatus.TEMPORARY_REDIRECT, HTTPStatus.PERMANENT_REDIRECT})
_SUCCESS = 2  # hundred and something: section 5.1.2 has 202, older hubs say 204
_LONGEST_WORD = 200


async def ask(fetcher: Fetcher, request: Request, base_url: str, now: datetime) -> None:
    """Asks a hub, and returns when it has accepted; raises FetchFailed with its word when it has not."""
    url, form = hops.first(request.hub), fields(request, base_url)
    for _ in range(_REDIRECTS + 1):
        answer = await fetcher.post(str(url), form, now=now, beside=request.feed_url)
        if answer.status not in _MOVES:
            break
        url = _following(url, answer.location)
    else:
        raise FetchFailed("The hub redirects without end.")
    if answer.status // 100 != _SUCCESS:
        raise FetchFailed(_words(answer.status, answer.body, request), retry_after=answer.retry_after)


def fields(request: Request, base_url: str) -> dict[str, str]:
    """Gives the form that a hub is sent."""
    form = {
        "hub.mode": request.mode,
        "hub.topic": request.topic,
        "hub.callback": f"{base_url}{push_rules.CALLBACK}{request.path}",
    }
    if not request.is_goodbye:
        form["hub.lease_seconds"] = str(int(push_rules.LEASE.total_seconds()))
        form["hub.secret"] = request.secret
    return form


def _following(url: URL, location: str) -> URL:
    following = hops.following(url, location)
    if url.scheme == "https" and following.scheme == "http":
        raise FetchFailed("The hub redirects from https to http, which would show our secret to the network.")
    return following


def _words(status: int, body: bytes, request: Request) -> str:
    """Puts a refusal into words, with those of the hub, which may quote the form: without our secrets."""
    said = body.decode(errors="replace").replace(request.path, "...").replace(request.secret, "...")
    said = " ".join("".join(letter if letter.isprintable() else " " for letter in said).split())
    return f"The hub answered {status}: {said[:_LONGEST_WORD]}" if said else f"The hub answered {status}."
