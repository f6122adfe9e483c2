"""The inbox as web pages: the mails by reader, and each one as HTML, as text and as source."""

from collections import Counter
from datetime import datetime

from aiohttp import web

from alerts.demo.inbox import Inbox, Mail
from alerts.demo.page import PAGES

# A mail is a stranger's HTML: it may style itself, and load, run and submit nothing.
_MAIL_POLICY = (
    "default-src 'none'; style-src 'unsafe-inline'; img-src data:; form-action 'none'; "
    "sandbox allow-popups allow-popups-to-escape-sandbox"
)
_PAGE_POLICY = (
    "default-src 'none'; style-src 'unsafe-inline'; img-src data:; frame-src 'self'; form-action 'none'"
)
VIEWS = ("html", "text", "source")


def application(inbox: Inbox, names: dict[str, str], *, title: str = "Inbox") -> web.Application:
    """Gives the pages over one inbox; `names` says who is behind an address, where that is known."""
    app = web.Application()
    pages = _Pages(inbox, names, title)
    app.router.add_get("/", pages.list)
    app.router.add_get(r"/mail/{number:\d+}", pages.mail)
    app.router.add_get(r"/mail/{number:\d+}/body", pages.body)
    app.router.add_get(r"/mail/{number:\d+}/raw", pages.raw)
    return app


class _Pages:
    def __init__(self, inbox: Inbox, names: dict[str, str], title: str) -> None:
        self._inbox = inbox
        self._names = names
        self._title = title

    async def list(self, request: web.Request) -> web.Response:
        return self._page(self._reader(request), None, "html")

    async def mail(self, request: web.Request) -> web.Response:
        view = request.query.get("view", "html")
        if view not in VIEWS:
            raise web.HTTPNotFound(text="There are three views: html, text and source.")
        return self._page(self._reader(request), self._mail(request), view)

    async def body(self, request: web.Request) -> web.Response:
        # In the frame a link would replace the mail; in a new tab it opens as it does in a mail client.
        body = self._mail(request).part("html").replace("<head>", '<head><base target="_blank">', 1)
        return web.Response(
            text=body, content_type="text/html", headers={"Content-Security-Policy": _MAIL_POLICY}
        )

    async def raw(self, request: web.Request) -> web.Response:
        mail = self._mail(request)
        name = f'attachment; filename="mail-{mail.number}.eml"'
        return web.Response(
            body=mail.raw, content_type="message/rfc822", headers={"Content-Disposition": name}
        )

    def _page(self, reader: str, chosen: Mail | None, view: str) -> web.Response:
        mails = [mail for mail in self._inbox.mails if reader in ("", mail.recipient)]
        body = PAGES.get_template("inbox.html").render(
            title=self._title,
            mails=mails[::-1],
            total=len(self._inbox.mails),
            counts=self._counts(),
            name=lambda address: self._names.get(address, address),
            reader=reader,
            chosen=chosen,
            view=view,
            views=VIEWS,
            clock=_clock,
        )
        return web.Response(
            text=body,
            content_type="text/html",
            headers={"Content-Security-Policy": _PAGE_POLICY, "Cache-Control": "no-store"},
        )

    def _counts(self) -> dict[str, int]:
        received = Counter(mail.recipient for mail in self._inbox.mails)
        return {address: received[address] for address in dict.fromkeys([*self._names, *received])}

    def _reader(self, request: web.Request) -> str:
        return request.query.get("reader", "")

    def _mail(self, request: web.Request) -> Mail:
        number = int(request.match_info["number"])
        if not 1 <= number <= len(self._inbox.mails):
            raise web.HTTPNotFound(text="There is no such mail.")
        return self._inbox.mails[number - 1]


def _clock(moment: datetime) -> str:
    return moment.astimezone().strftime("%H:%M:%S")
