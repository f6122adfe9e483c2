"""A web site for tests: real HTTP on loopback, each path answering as scripted, each request remembered.

Requests for robots.txt are remembered apart: a fetcher asks for it when it must, and few tests are about that.
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from aiohttp import web
from multidict import CIMultiDict


@dataclass(slots=True)
class Reply:
    """What a path answers; with an `etag`, 304 to whoever shows it again."""

    body: bytes = b""
    status: int = 200
    content_type: str = "text/html; charset=utf-8"
    headers: dict[str, str] = field(default_factory=dict)
    etag: str = ""
    last_modified: str = ""
    never_ends: bool = False


@dataclass(slots=True)
class Request:
    path: str
    headers: CIMultiDict[str]


@dataclass(slots=True)
class Site:
    base: str = ""
    replies: dict[str, Reply] = field(default_factory=dict)
    requests: list[Request] = field(default_factory=list)
    robots_requests: list[Request] = field(default_factory=list)
    closing: asyncio.Event = field(default_factory=asyncio.Event)

    def url(self, path: str) -> str:
        return f"{self.base}{path}"

    def shows(self, path: str, body: str | bytes, **fields: object) -> None:
        """Makes a path answer 200 with a body from now on."""
        raw = body.encode() if isinstance(body, str) else body
        self.replies[path] = Reply(raw, **fields)  # type: ignore[arg-type]  # fields of Reply, named at the call

    async def _answer(self, request: web.Request) -> web.StreamResponse:
        remembered = self.robots_requests if request.path == "/robots.txt" else self.requests
        remembered.append(Request(request.path_qs, CIMultiDict(request.headers)))
        reply = self.replies.get(request.path, Reply(status=404))
        headers = dict(reply.headers)
        if reply.etag:
            headers["ETag"] = reply.etag
        if reply.last_modified:
            headers["Last-Modified"] = reply.last_modified
        if reply.etag and request.headers.get("If-None-Match") == reply.etag:
            return web.Response(status=304, headers=headers)
        headers["Content-Type"] = reply.content_type
        if reply.never_ends:
            response = web.StreamResponse(headers=headers)
            await response.prepare(request)
            await response.write(b"<html>")
            await self.closing.wait()
            return response
        return web.Response(status=reply.status, body=reply.body, headers=headers)


@asynccontextmanager
async def site() -> AsyncIterator[Site]:
    """Serves a site on a free port of loopback until the block ends."""
    served = Site()
    app = web.Application()
    app.router.add_route("*", "/{path:.*}", served._answer)
    runner = web.AppRunner(app, shutdown_timeout=1)
    await runner.setup()
    try:
        server = web.TCPSite(runner, "127.0.0.1", 0)
        await server.start()
        served.base = f"http://127.0.0.1:{runner.addresses[0][1]}"
        yield served
    finally:
        served.closing.set()
        await runner.cleanup()
