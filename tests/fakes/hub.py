"""A WebSub hub for tests: real HTTP on loopback; it verifies, signs and pushes as told, also wrongly."""

import asyncio
import hmac
import secrets
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from io import BytesIO

import aiohttp
from aiohttp import web

_TIMEOUT = aiohttp.ClientTimeout(total=10)


@dataclass(slots=True)
class Manners:
    """How the hub answers a request, and what it says when it verifies one; None leaves a word out."""

    status: int = 202
    location: str = ""
    quotes: bool = False  # the form, in its answer
    headers: dict[str, str] = field(default_factory=dict)
    verifies: bool = True
    is_synchronous: bool = False  # verifies before it answers, as hubs did before WebSub
    denies: str | None = None
    mode: str = ""  # instead of the one asked for
    topic: str = ""
    challenge: str | None = ""  # empty: a random one
    lease: str | None = "864000"


@dataclass(frozen=True, slots=True)
class Answer:
    """What came back from the callback."""

    status: int
    text: str
    content_type: str


@dataclass(frozen=True, slots=True)
class Held:
    """A subscription that was verified."""

    topic: str
    callback: str
    secret: str


@dataclass(slots=True)
class Hub:
    base: str = ""
    manners: Manners = field(default_factory=Manners)
    requests: list[dict[str, str]] = field(default_factory=list)
    answers: list[Answer] = field(default_factory=list)  # to its verifications
    held: dict[str, Held] = field(default_factory=dict)  # by callback
    changed: asyncio.Event = field(default_factory=asyncio.Event)
    _client: aiohttp.ClientSession | None = None
    _verifying: set[asyncio.Task[None]] = field(default_factory=set)

    @property
    def url(self) -> str:
        return f"{self.base}/hub"

    async def wait_until(self, is_so: Callable[[], bool]) -> None:
        """Returns once something holds of the hub."""
        async with asyncio.timeout(30):
            while not is_so():
                self.changed.clear()
                await self.changed.wait()

    async def settled(self) -> None:
        """Returns once every request so far was verified, or was not to be."""
        await asyncio.gather(*self._verifying)

    async def asks(self, callback: str, **words: str) -> Answer:
        """Calls a callback with `hub.` words; `lease_seconds="60"` is sent as `hub.lease_seconds=60`."""
        return await self.call("GET", callback, params={f"hub.{name}": word for name, word in words.items()})

    async def push(
        self,
        callback: str,
        body: bytes = b"<feed/>",
        *,
        secret: str | None = None,
        method: str = "sha256",
        signature: str | None = None,
    ) -> Answer:
        """Posts a content, signed with the subscription's secret, with another, or with what is given."""
        if signature is None:
            key = secret if secret is not None else self.held[callback].secret
            signature = f"{method}={hmac.new(key.encode(), body, method).hexdigest()}"
        link = f'<{self.url}>; rel="hub", <https://news.example/feed>; rel="self"'
        headers = {"Content-Type": "application/atom+xml", "Link": link}
        if signature:
            headers["X-Hub-Signature"] = signature
        return await self.call("POST", callback, data=BytesIO(body), headers=headers)

    async def _answer(self, request: web.Request) -> web.Response:
        form = {name: str(value) for name, value in (await request.post()).items()}
        manners, status = self.manners, self.manners.status
        if request.path == "/other":
            status = 202
        else:
            self.requests.append(form)
            self.changed.set()
            if manners.location:
                return web.Response(status=status, headers={"Location": manners.location})
        if manners.is_synchronous:
            await self._verify(form, manners)
        elif manners.verifies and status < 300:
            self._verifying.add(asyncio.create_task(self._verify(form, manners)))
        text = f"I mind\n{form}" if manners.quotes else ""
        return web.Response(status=status, headers=manners.headers, text=text)

    async def _verify(self, form: dict[str, str], manners: Manners) -> None:
        callback, topic = form["hub.callback"], manners.topic or form["hub.topic"]
        if manners.denies is not None:
            self._note(await self.asks(callback, mode="denied", topic=topic, reason=manners.denies))
            return
        mode = manners.mode or form["hub.mode"]
        words = {"mode": mode, "topic": topic}
        challenge = secrets.token_urlsafe(16) if manners.challenge == "" else manners.challenge
        if challenge is not None:
            words["challenge"] = challenge
        if manners.lease is not None:
            words["lease_seconds"] = manners.lease
        answer = await self.asks(callback, **words)
        if answer.status == 200 and answer.text == challenge:
            if mode == "subscribe":
                self.held[callback] = Held(form["hub.topic"], callback, form.get("hub.secret", ""))
            else:
                self.held.pop(callback, None)
        self._note(answer)

    def _note(self, answer: Answer) -> None:
        self.answers.append(answer)
        self.changed.set()

    async def call(self, verb: str, callback: str, **given: object) -> Answer:
        assert self._client is not None, "serving"
        async with self._client.request(verb, callback, allow_redirects=False, **given) as response:  # type: ignore[arg-type]  # aiohttp's own names, at the calls
            return Answer(response.status, await response.text(), response.content_type)


@asynccontextmanager
async def hub(**manners: object) -> AsyncIterator[Hub]:
    """Serves a hub on a free port of loopback; `/other` is where it may redirect to."""
    served = Hub(manners=Manners(**manners))  # type: ignore[arg-type]  # fields of Manners, named at the call
    app = web.Application()
    app.router.add_post("/hub", served._answer)
    app.router.add_post("/other", served._answer)
    runner = web.AppRunner(app, shutdown_timeout=1)
    await runner.setup()
    try:
        server = web.TCPSite(runner, "127.0.0.1", 0)
        await server.start()
        served.base = f"http://127.0.0.1:{runner.addresses[0][1]}"
        async with aiohttp.ClientSession(timeout=_TIMEOUT) as client:
            served._client = client
            yield served
            await served.settled()
    finally:
        await runner.cleanup()
