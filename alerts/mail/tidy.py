"""A feed's HTML, made fit for a mail: parsed as browsers do, written anew from eight tags, split into blocks.

nh3 parses, and drops what no mail may hold. Of what is left only words, emphasis, links, lists and quotations
are written, without attributes but for a link's target; a feed's own layout becomes plain paragraphs. The
look is the template's affair.
"""

from html import escape
from html.parser import HTMLParser
from typing import Final

import nh3

_DEEPEST = 4
_INLINE: Final = {"strong": "strong", "b": "strong", "em": "em", "i": "em", "cite": "em", "a": "a"}
_HEADINGS: Final = frozenset({"h1", "h2", "h3", "h4", "h5", "h6"})
_CONTAINERS: Final = frozenset({"ul", "ol", "li", "blockquote"})
_LAYOUT: Final = frozenset(
    {
        *("p", "div", "section", "article", "header", "footer", "main", "aside", "figure", "figcaption"),
        *("pre", "hr", "dl", "dt", "dd", "details", "summary", "table"),
        *("caption", "thead", "tbody", "tfoot", "tr", "td", "th"),
    }
)
_CLEANER = nh3.Cleaner(
    tags={*_INLINE, *_HEADINGS, *_CONTAINERS, *_LAYOUT, "br"},
    attributes={"a": {"href"}},
    url_schemes={"http", "https", "mailto"},
    url_relative="deny",
    link_rel=None,
)


def tidy(html: str) -> list[str]:
    """Gives the blocks of `html` that hold words: each a whole p, ul, ol or blockquote, safe to be mailed."""
    tidier = _Tidier()
    tidier.feed(_CLEANER.clean(html))
    tidier.close()
    return tidier.blocks


def as_html(text: str) -> str:
    """Gives plain text as HTML: an empty line ends a paragraph, a newline a line."""
    paragraphs = escape(text, quote=False).replace("\r\n", "\n").split("\n\n")
    return "".join(f"<p>{paragraph.strip()}</p>" for paragraph in paragraphs).replace("\n", "<br>")


class _Tidier(HTMLParser):
    """Reads nh3's output, which is well-formed, and writes ours; it never recurses, however deep that goes."""

    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.blocks: list[str] = []
        self._written: list[str] = []
        self._has_words = False
        self._are_shown: list[bool] = []  # of all tags that are open: too deep or useless ones are left out
        self._containers: list[str] = []  # that are open and shown
        self._inlines: list[tuple[str, str]] = []  # same, as their opening and closing tags
        self._paragraph_end: str | None = None  # None outside of a paragraph

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag in _INLINE:
            self._open_inline(_INLINE[tag], dict(attrs).get("href"))
        elif tag == "br":
            self._write_in_paragraph("<br>")
        else:
            self._end_paragraph()
            if tag in _CONTAINERS:
                self._open_container(tag)
            elif tag in _HEADINGS:
                self._open_inline("strong", None)

    def handle_endtag(self, tag: str) -> None:
        if tag in _INLINE:
            self._close_inline()
        else:
            self._end_paragraph()
            if tag in _CONTAINERS:
                self._close_container()
            elif tag in _HEADINGS:
                self._close_inline()

    def handle_data(self, data: str) -> None:
        if data.strip():
            self._begin_paragraph()
        self._write_in_paragraph(escape(data, quote=False))

    def close(self) -> None:
        super().close()
        self._end_paragraph()

    def _open_inline(self, name: str, href: str | None) -> None:
        tags = (f'<a href="{escape(href)}">' if href else f"<{name}>", f"</{name}>")
        is_shown = bool(href or name != "a") and all(tags[1] != closing for _, closing in self._inlines)
        self._are_shown.append(is_shown)
        if is_shown:
            self._inlines.append(tags)
            self._write_in_paragraph(tags[0])

    def _close_inline(self) -> None:
        if self._are_shown.pop():
            self._write_in_paragraph(self._inlines.pop()[1])

    def _open_container(self, tag: str) -> None:
        is_in_place = tag != "li" or self._containers[-1:] in (["ul"], ["ol"])
        is_shown = is_in_place and len(self._containers) < _DEEPEST
        self._are_shown.append(is_shown)
        if is_shown:
            self._containers.append(tag)
            self._written.append(f"<{tag}>")

    def _close_container(self) -> None:
        if self._are_shown.pop():
            self._written.append(f"</{self._containers.pop()}>")
            self._end_block()

    def _begin_paragraph(self) -> None:
        if self._paragraph_end is not None:
            return
        is_item = self._containers[-1:] == ["li"]
        if not is_item:
            self._written.append("<p>")
        elif self._written[-1] != "<li>":
            self._written.append("<br>")
        self._paragraph_end = "" if is_item else "</p>"
        self._has_words = True
        self._written += [opening for opening, _ in self._inlines]

    def _write_in_paragraph(self, html: str) -> None:
        if self._paragraph_end is not None:
            self._written.append(html)

    def _end_paragraph(self) -> None:
        if self._paragraph_end is not None:
            self._written += [closing for _, closing in reversed(self._inlines)]
            self._written.append(self._paragraph_end)
            self._paragraph_end = None
            self._end_block()

    def _end_block(self) -> None:
        if self._containers:
            return
        if self._has_words:
            self.blocks.append("".join(self._written))
        self._written.clear()
        self._has_words = False
