"""Who asks, behind a proxy: the word of networks that are named counts, and one that is not named is noticed."""

import structlog
from starlette.types import ASGIApp, Receive, Scope, Send
from uvicorn.middleware.proxy_headers import ProxyHeadersMiddleware

log = structlog.get_logger()

_NOTICED_AT = 20  # requests: a proxy sends it with each, a stranger who tries something with few


class Forwarded:
    """Has the application see the client that proxies in `trusted` name; X-Forwarded-For of others is not heard.

    Then all visitors have the proxy's address, and share one network's limits: that is logged, once.
    """

    def __init__(self, app: ASGIApp, trusted: list[str]) -> None:
        self._app = ProxyHeadersMiddleware(app, trusted)  # type: ignore[arg-type]  # uvicorn has types of its own
        self._unheard = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http" and self._is_unheard(scope):
            self._unheard += 1
            if self._unheard == _NOTICED_AT:
                log.warning("forwarded_for_not_heard", requests=self._unheard)
        await self._app(scope, receive, send)  # type: ignore[arg-type]  # as above

    def _is_unheard(self, scope: Scope) -> bool:
        client = scope["client"]
        is_trusted = client is not None and client[0] in self._app.trusted_hosts
        return not is_trusted and any(name == b"x-forwarded-for" for name, _ in scope["headers"])
