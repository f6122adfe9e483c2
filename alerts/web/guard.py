"""What holds for every request and every answer: headers, the size of a body, and what a failure may say."""

import traceback
from collections.abc import Callable, Mapping

import structlog
from starlette.datastructures import MutableHeaders
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

log = structlog.get_logger()

BODY_LIMIT = 64 * 1024


def headers(style_source: str, script_source: str, *, is_secure: bool) -> Mapping[str, str]:
    """Gives the headers of every answer: pages load and frame nothing, and their address stays with us.

    They run one script, named by its hash, which tells a form the visitor's time zone. A site that is secure
    (`is_secure`) is never to be asked without TLS, where its links would be open to read.
    """
    policy = (
        f"default-src 'none'; style-src {style_source}; script-src {script_source}; form-action 'self'; "
        "base-uri 'none'; frame-ancestors 'none'"
    )
    transport = {"Strict-Transport-Security": "max-age=31536000"} if is_secure else {}
    return transport | {
        "Content-Security-Policy": policy,
        "Referrer-Policy": "no-referrer",
        "X-Content-Type-Options": "nosniff",
        "Cache-Control": "no-store",
        "Permissions-Policy": "camera=(), geolocation=(), microphone=()",
        "Cross-Origin-Opener-Policy": "same-origin",
        "Cross-Origin-Resource-Policy": "same-origin",
        "X-Robots-Tag": "noindex, nofollow",
    }


class Guard:
    """The middleware around all routes; `failed` gives the answer to what no route foresaw.

    A header that a route sets itself stands in place of that of `headers`.

    Routes under a prefix in `limits_itself` read a body piece by piece, and stop where they will.
    """

    def __init__(
        self,
        app: ASGIApp,
        *,
        headers: Mapping[str, str],
        failed: Callable[[Request, Exception], Response],
        limits_itself: tuple[str, ...] = (),
    ) -> None:
        self._app = app
        self._headers = headers
        self._failed = failed
        self._limits_itself = limits_itself

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return

        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                own = MutableHeaders(scope=message)
                for name, value in self._headers.items():
                    own.setdefault(name, value)
            await send(message)

        try:
            is_free = scope["path"].startswith(self._limits_itself)
            await self._app(scope, receive if is_free else _limited(receive), send_with_headers)
        except ClientDisconnect:
            return
        except Exception as error:  # noqa: BLE001 - beyond us it would be logged with what it says
            _report(error)
            # Our answers are sent whole: whatever failed, failed before the first byte of one.
            await self._failed(Request(scope), error)(scope, receive, send_with_headers)


def _limited(receive: Receive) -> Receive:
    """Gives a body's parts until they are too large together, whatever Content-Length claimed."""
    size = 0

    async def receive_limited() -> Message:
        nonlocal size
        message = await receive()
        size += len(message.get("body", b""))
        if size > BODY_LIMIT:
            raise HTTPException(413, "The request is too large.", headers={"Connection": "close"})
        return message

    return receive_limited


def _report(error: Exception) -> None:
    """Logs where it failed, but not what the error says: it may quote a token or a row."""
    log.error(
        "request_failed",
        error=type(error).__name__,
        where="".join(traceback.format_tb(error.__traceback__)),
    )
