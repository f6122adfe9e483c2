"""A live blog as a real HTTP page, with schema.org LiveBlogPosting, that grows when it is told to."""

import json
import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from html import escape
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Self

_WINDOW = 15  # a page shows its newest posts only


@dataclass(frozen=True, slots=True)
class Post:
    """One post; its mark, by which mails are matched with it, stands in the headline and the text."""

    mark: int
    word: str  # what topics look for
    at: datetime

    @property
    def headline(self) -> str:
        return f"Harbour news for {self.word}, mark-{self.mark:04}"

    @property
    def text(self) -> str:
        return f"The pilot boat has left for {self.word}. This is mark-{self.mark:04} of the day."


class Blog:
    """Serves the page at `url` from a thread of its own."""

    def __init__(self) -> None:
        self._posts: list[Post] = []
        self._page = b""
        self.polls = 0  # how often the page was asked for
        blog = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self) -> None:
                self.send_response(200)
                self.send_header("Content-Type", "text/html; charset=utf-8")
                page = blog._serve()
                self.send_header("Content-Length", str(len(page)))
                self.end_headers()
                self.wfile.write(page)

            def log_message(self, *_: object) -> None:
                """Keeps the terminal for the story."""

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self._thread = threading.Thread(target=self._server.serve_forever, name="blog")
        self.url = f"http://127.0.0.1:{self._server.server_port}/harbour"

    def __enter__(self) -> Self:
        self.publish("nobody")
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    def publish(self, word: str) -> int:
        """Puts a post on top of the page; gives its mark."""
        post = Post(len(self._posts), word, datetime.now(UTC))
        self._posts.append(post)
        self._page = _page(self.url, self._posts[: -_WINDOW - 1 : -1])
        return post.mark

    def _serve(self) -> bytes:
        self.polls += 1
        return self._page


def _page(url: str, posts: Sequence[Post]) -> bytes:
    data: Mapping[str, object] = {
        "@context": "https://schema.org",
        "@type": "LiveBlogPosting",
        "@id": url,
        "url": url,
        "headline": "A day at the harbour",
        "coverageStartTime": posts[-1].at.isoformat(),
        "liveBlogUpdate": [
            {
                "@type": "BlogPosting",
                "@id": f"{url}#post-{post.mark:04}",
                "url": f"{url}#post-{post.mark:04}",
                "headline": post.headline,
                "articleBody": post.text,
                "datePublished": post.at.isoformat(),
                "author": {"@type": "Person", "name": "A. Reporter"},
            }
            for post in posts
        ],
    }
    articles = "".join(
        f'<article id="post-{post.mark:04}"><h2>{escape(post.headline)}</h2><p>{escape(post.text)}</p></article>'
        for post in posts
    )
    script = json.dumps(data).replace("</", "<\\/")
    return (
        '<!doctype html><html lang="en"><head><meta charset="utf-8"><title>A day at the harbour</title>'
        f'<script type="application/ld+json">{script}</script></head><body>{articles}</body></html>'
    ).encode()
