"""A live blog on loopback, as a JSON Feed, that says when it first answered with its newest entry."""

import json
import threading
import time
from collections.abc import Callable, Sequence
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Self

from bench import mail
from bench.processes import Failed

_WAIT_SECONDS = 60


class NewsFeed:
    """Serves the feed at `url` from a thread of its own."""

    def __init__(self) -> None:
        self._entries = [_entry(0, "Good morning from the harbour", "<p>The day begins quietly.</p>")]
        self._asked = threading.Condition()
        self._answers = 0
        self._answered_at: dict[int, float] = {}  # by how many entries the answer had
        feed = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self) -> None:
                is_feed = self.path == "/live"
                entries = feed._entries
                answer = _document(entries) if is_feed else b""
                self.send_response(200 if is_feed else 404)
                self.send_header("Content-Type", "application/feed+json")
                self.send_header("Content-Length", str(len(answer)))
                self.end_headers()
                self.wfile.write(answer)
                if is_feed:
                    feed._note(len(entries))

            def log_message(self, *_: object) -> None:
                """Keeps the terminal for the figures."""

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self._thread = threading.Thread(target=self._server.serve_forever, name="feed")
        self.url = f"http://127.0.0.1:{self._server.server_port}/live"

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    def publish(self) -> None:
        """Puts the one entry of the bench on top."""
        number = len(self._entries)
        self._entries = [_entry(number, mail.TITLE, mail.story()), *self._entries]

    def answered_at(self) -> float:
        """When the newest entry first went out, by CLOCK_MONOTONIC; waits for it."""
        count = len(self._entries)
        self._wait(lambda: count in self._answered_at)
        return self._answered_at[count]

    def polls(self, more: int) -> None:
        """Returns once the feed was asked so many times more."""
        wanted = self._answers + more
        self._wait(lambda: self._answers >= wanted)

    def _wait(self, condition: Callable[[], bool]) -> None:
        with self._asked:
            if not self._asked.wait_for(condition, _WAIT_SECONDS):
                raise Failed("the feed was not polled")

    def _note(self, entries: int) -> None:
        now = time.monotonic()
        with self._asked:
            self._answers += 1
            self._answered_at.setdefault(entries, now)
            self._asked.notify_all()


def _entry(number: int, title: str, html: str) -> dict[str, str]:
    link = f"https://news.example.org/live/harbour#post-{number}"
    return {
        "id": link,
        "url": link,
        "title": title,
        "content_html": html,
        "date_published": f"2026-11-22T07:{number:02}:00Z",
    }


def _document(entries: Sequence[dict[str, str]]) -> bytes:
    feed = {
        "version": "https://jsonfeed.org/version/1.1",
        "title": "Example News",
        "home_page_url": "https://news.example.org/live/harbour",
        "items": entries,
    }
    return json.dumps(feed).encode()
