"""Tidy HTML as plain text that is good to read: wrapped, lists with their marks, links on lines of their own."""

from dataclasses import dataclass, field
from html.parser import HTMLParser

from alerts.mail.words import clean, wrap


class PlainWriter(HTMLParser):
    """Turns the blocks of one story into text, one after the other; its links are numbered throughout."""

    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self._links = 0
        self._written: list[str] = []
        self._containers: list[_Container] = []
        self._paragraph = _Paragraph()

    def write(self, block: str) -> str:
        """Gives the text of one block, as `tidy` made it."""
        self.feed(block)
        self._end_paragraph()
        text = "".join(self._written).strip("\n")
        self._written.clear()
        return text

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag == "br":
            self._paragraph.words.append("\n")
        elif tag == "a":
            self._paragraph.href = dict(attrs).get("href") or ""
            self._paragraph.link_start = len(self._paragraph.words)
        elif tag == "li":
            self._end_paragraph()
            self._containers.append(_item(self._containers[-1]))
        elif tag in {"ul", "ol", "blockquote"}:
            self._end_paragraph()
            mark = "> " if tag == "blockquote" else ""
            self._containers.append(_Container(tag, mark, mark))

    def handle_endtag(self, tag: str) -> None:
        if tag == "a":
            self._end_link()
        elif tag in {"p", "li", "ul", "ol", "blockquote"}:
            self._end_paragraph()
            if tag != "p":
                self._containers.pop()

    def handle_data(self, data: str) -> None:
        self._paragraph.words.append(data.replace("\n", " "))

    def _end_link(self) -> None:
        paragraph = self._paragraph
        label = clean("".join(paragraph.words[paragraph.link_start :]))
        if label and label not in (paragraph.href, paragraph.href.removeprefix("mailto:")):
            self._links += 1
            paragraph.words.append(f" [{self._links}]")
            paragraph.links.append(f"[{self._links}] {paragraph.href.removeprefix('mailto:')}")

    def _end_paragraph(self) -> None:
        lines = [clean(line) for line in "".join(self._paragraph.words).split("\n")]
        if any(lines):
            rest = "".join(container.rest for container in self._containers)
            first = "".join(container.take_first() for container in self._containers)
            text = wrap("\n".join(filter(None, lines)), first, rest)
            links = [f"{rest}{link}" for link in self._paragraph.links]
            is_item = any(container.tag == "li" for container in self._containers)
            self._written.append("\n".join([text, *links]) + ("\n" if is_item else "\n\n"))
        self._paragraph = _Paragraph()


@dataclass(slots=True)
class _Container:
    tag: str
    first: str  # before the first line inside, once
    rest: str  # before every other
    items: int = 0

    def take_first(self) -> str:
        mark, self.first = self.first, self.rest
        return mark


@dataclass(slots=True)
class _Paragraph:
    words: list[str] = field(default_factory=list)
    links: list[str] = field(default_factory=list)
    href: str = ""
    link_start: int = 0


def _item(of: _Container) -> _Container:
    of.items += 1
    mark = f"{of.items}. " if of.tag == "ol" else "- "
    return _Container("li", mark, " " * len(mark))
