"""The publishers of `feeds.py`, in a process of their own, so that what they cost is not measured.

GET /feed/7   a live blog of 20 posts, in the way that `mode` says
GET /bad/3    a document made to do harm
PUT /mode     etag, same, redrawn (other bytes, the same posts), changed (a new post)
"""

import argparse
import asyncio
import itertools
import json
import random
import sys
from contextlib import suppress

from aiohttp import web

from fakes.blog import Post, page

POSTS = 20
_WORDS = [
    a + b
    for a in ("har", "fer", "tug", "cra", "pil", "quay", "buo", "slu")
    for b in ("bour", "ry", "ne", "ot", "side", "y", "ice", "man")
]
_ITEM = "<item><guid>{0}</guid><title>Story {0}</title><description>Words {0}</description></item>"
_BLOG = '{{"@type": "LiveBlogPosting", "liveBlogUpdate": [{{"headline": "x", "articleBody": "{}"}}]}}'


class Publishers:
    def __init__(self) -> None:
        self.mode = "etag"
        self.version = 0
        self._drawn = itertools.count()
        self._pages: dict[int, tuple[int, str]] = {}

    async def feed(self, request: web.Request) -> web.StreamResponse:
        if self.mode == "etag" and "If-None-Match" in request.headers:
            return web.Response(status=304, headers={"ETag": '"1"'})
        text = self._page(int(request.match_info["number"]))
        headers = {"ETag": '"1"'} if self.mode == "etag" else {}
        if self.mode == "redrawn":
            text += f"<!-- {next(self._drawn)} -->"
        return web.Response(text=text, content_type="text/html", headers=headers)

    async def bad(self, request: web.Request) -> web.StreamResponse:
        number = int(request.match_info["number"])
        response = web.StreamResponse(headers={"Content-Type": "text/html"})
        await response.prepare(request)
        with suppress(ConnectionError):  # who asked has had enough
            await self._send_bad(response, number)
        return response

    async def _send_bad(self, response: web.StreamResponse, number: int) -> None:
        mark = f"<!-- {next(self._drawn)} -->".encode()  # other bytes each time: no short cut by their hash
        if number % len(_BAD) == 0:  # a byte a second
            for _ in range(600):
                await response.write(b"<")
                await asyncio.sleep(1)
        body = _BAD[number % len(_BAD)] or self._flood()
        for start in range(0, len(body := body + mark), 65_536):
            await response.write(body[start : start + 65_536])

    def _flood(self) -> bytes:
        """Gives a thousand posts that were never seen."""
        first = 1_000 * next(self._drawn)
        items = "".join(_ITEM.format(first + number) for number in range(1_000))
        return f"<rss version='2.0'><channel>{items}</channel></rss>".encode()

    async def set_mode(self, request: web.Request) -> web.Response:
        self.mode = await request.text()
        self.version += self.mode == "changed"
        return web.Response()

    def _page(self, number: int) -> str:
        version, text = self._pages.get(number, (-1, ""))
        if version != self.version:
            posts = [_post(number, each) for each in range(self.version, self.version + POSTS)]
            text = page(posts[::-1], title=f"Live {number}")
            self._pages[number] = (self.version, text)
        return text


def _post(feed: int, number: int) -> Post:
    """Gives a post like no other, of three sentences."""
    chance = random.Random(f"{feed}/{number}")
    words = [chance.choice(_WORDS) for _ in range(60)]
    return Post(f"p{chance.randrange(10**8)}", " ".join(words[:8]), " ".join(words[8:]) + ".", number)


def _bad() -> list[bytes]:
    items = "".join(_ITEM.format(number) for number in range(50_000))
    entities = "".join(f'<!ENTITY e{n} "{f"&e{n - 1};" * 10}">' for n in range(1, 12))
    return [
        b"",  # a byte a second
        b"<rss><channel>" + b"<a>" * 200_000,
        b"<html><body>" + b"<div>" * 200_000 + b"LiveBlogPosting",
        f"<rss version='2.0'><channel>{items}</channel></rss>".encode(),
        f'<!DOCTYPE rss [<!ENTITY e0 "x">{entities}]><rss><channel><title>&e11;</title></channel></rss>'.encode(),
        b'{"a":' * 200_000,
        ("<html><script type='application/ld+json'>" + _BLOG.format("&amp;" * 400_000)).encode(),
        b"<!--" * 500_000,
        b"<html><script type='application/ld+json'>" + json.dumps([{"@graph": []}] * 200_000).encode(),
        b"<rss><channel><item><description>" + b"&lt;b " * 600_000,
        b"",  # a flood
    ]


_BAD = _bad()


async def _serve(hosts: int) -> None:
    publishers = Publishers()
    app = web.Application()
    app.router.add_get("/feed/{number}", publishers.feed)
    app.router.add_get("/bad/{number}", publishers.bad)
    app.router.add_put("/mode", publishers.set_mode)
    runner = web.AppRunner(app)
    await runner.setup()
    port = 0
    for number in range(1, hosts + 1):
        await web.TCPSite(runner, f"127.0.0.{number}", port).start()
        port = runner.addresses[0][1]
    sys.stdout.write(f"{port}\n")
    sys.stdout.flush()
    await asyncio.get_running_loop().run_in_executor(None, sys.stdin.read)  # until who started us is gone


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--hosts", type=int, default=1)
    asyncio.run(_serve(parser.parse_args().hosts))
