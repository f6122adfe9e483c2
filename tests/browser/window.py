"""A browser's window, and all that happened in it."""

from dataclasses import dataclass, field

from playwright.async_api import ConsoleMessage, Error, Page, Request, Response

_SEND = """([fields, to]) => {
  const form = document.body.appendChild(document.createElement("form"));
  Object.assign(form, { method: "post", action: to });
  for (const [name, value] of Object.entries(fields)) {
    form.appendChild(Object.assign(document.createElement("input"), { name, value }));
  }
  form.submit();
}"""


@dataclass
class Window:
    """`page` is what is shown; the rest is remembered from the start."""

    page: Page
    words: list[str] = field(default_factory=list)  # of the console: violated policies, failed scripts
    requests: list[Request] = field(default_factory=list)
    _last: Response | None = None

    def __post_init__(self) -> None:
        self.page.on("console", self._heard)
        self.page.on("pageerror", self._failed)
        self.page.on("request", self._asked)
        self.page.on("response", self._answered)

    async def goto(self, url: str) -> None:
        await self.page.goto(url)

    async def press(self, label: str, *, after: str = "") -> None:
        """Presses the first button of this name, or of this form's field, and waits for the page that answers."""
        await self.unfold()
        place = self.page.locator("form", has=self.page.get_by_label(after)) if after else self.page
        async with self.page.expect_navigation():
            await place.get_by_role("button", name=label, exact=True).first.click()

    async def choose(self, label: str, option: str) -> None:
        await self.unfold()
        await self.page.get_by_label(label, exact=True).select_option(option)

    async def pick(self, label: str) -> None:
        """Picks a button of a group by its label."""
        await self.unfold()
        await self.page.get_by_label(label, exact=True).check()

    async def type(self, label: str, text: str) -> None:
        await self.unfold()
        await self.page.get_by_label(label, exact=True).fill(text)

    async def send(self, fields: dict[str, str], *, to: str = "") -> None:
        """Sends a form that the page does not have, as an old page or an attacker does; to its own address."""
        async with self.page.expect_navigation():
            await self.page.evaluate(_SEND, [fields, to or self.page.url])

    async def unfold(self) -> None:
        """Opens whatever is folded away."""
        await self.page.evaluate(
            "() => document.querySelectorAll('details').forEach((each) => { each.open = true })"
        )

    async def heading(self) -> str:
        return await self.page.locator("h1").inner_text()

    async def said(self) -> str:
        """Gives what the page says became of the form."""
        return await self.page.get_by_role("status").inner_text()

    async def source(self) -> bytes:
        """Gives the document as it came."""
        assert self._last is not None
        return await self._last.body()

    @property
    def status(self) -> int:
        assert self._last is not None
        return self._last.status

    def _asked(self, request: Request) -> None:
        self.requests.append(request)

    def _heard(self, message: ConsoleMessage) -> None:
        # A page that says 404 is no fault of the page: the browser has a line for it all the same.
        is_status = message.text.startswith("Failed to load resource: the server responded with a status of")
        if not (is_status and message.location["url"] == self.page.url):
            self.words.append(f"{message.type}: {message.text}")

    def _failed(self, error: Error) -> None:
        self.words.append(f"error: {error}")

    def _answered(self, response: Response) -> None:
        if response.request.is_navigation_request() and response.frame == self.page.main_frame:
            self._last = response
