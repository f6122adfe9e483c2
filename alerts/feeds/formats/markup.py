"""From publishers' markup to what a mail may carry: plain text, and HTML of a short list of elements."""

import html
import re
from collections.abc import Callable
from urllib.parse import urljoin

import nh3

# No images: a mail of ours loads nothing from elsewhere.
_ELEMENTS = {
    "a", "b", "strong", "i", "em", "u", "s", "sub", "sup", "code", "pre", "p", "br", "hr", "ul", "ol", "li",
    "blockquote", "h2", "h3", "h4", "table", "thead", "tbody", "tr", "th", "td",
}  # fmt: skip
_SCHEMES = {"http", "https", "mailto"}
# Their content is not for reading.
_DROPPED = {
    "script", "style", "template", "noscript", "iframe", "object", "svg", "math", "title", "head", "textarea",
    "select", "audio", "video", "canvas",
}  # fmt: skip
_BLOCKS = {
    "p", "div", "li", "ul", "ol", "blockquote", "h1", "h2", "h3", "h4", "h5", "h6", "table", "tr", "section",
    "article", "header", "footer", "figure", "figcaption", "pre", "hr", "dl", "dt", "dd", "aside",
}  # fmt: skip
_CELLS = {"td", "th"}
# Said for every element, or nh3 keeps its own two: `lang`, which each embedded tweet has, and `title`.
_BARE: dict[str, set[str]] = {"*": set()}
_LINES = {"li", "tr", "dt", "dd"}
# To bare elements without attributes: every tag has one exact shape then.
_BARE_WORDS = nh3.Cleaner(tags=_BLOCKS | _CELLS | {"br"}, clean_content_tags=_DROPPED, attributes=_BARE)

_TAG = re.compile(r"</?[a-zA-Z][a-zA-Z0-9]*(?:\s[^<>]*|/?)>|<!--|<!\[CDATA\[")
_BLOCK_TAG = re.compile(
    r"<(?:p|div|li|ul|ol|blockquote|h[1-6]|table|section|article|figure|pre|br|dl)\b", re.IGNORECASE
)
_BOX = re.compile(
    rf"\s*</?(?:{'|'.join(sorted(_BLOCKS - _ELEMENTS, key=len, reverse=True))})>\s*", re.IGNORECASE
)
_ENDS_BLOCK = re.compile(
    r"(?:</(?:p|li|ul|ol|blockquote|h[1-6]|table|pre|td|th|tr)>|<(?:br|hr|li|td|th|blockquote)>)\s*$"
)
_ENTITY = re.compile(r"&(?:#\d{1,7}|#[xX][0-9a-fA-F]{1,6}|[a-zA-Z][a-zA-Z0-9]{1,31});")
_TWICE_ESCAPED = re.compile(r"&amp;(?=(?:#\d{1,7}|#[xX][0-9a-fA-F]{1,6}|[a-zA-Z][a-zA-Z0-9]{1,31});)")
_PREFORMATTED = re.compile(r"<pre>.*?</pre>", re.DOTALL)
_KEPT_TAG = re.compile(r"<(/?)([a-z0-9]+)>")
# PostgreSQL takes no NUL, UTF-8 no lone surrogate, and no reader a control character or a zero-width space.
_UNPRINTABLE = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\u200b\u2060\ufeff\ufffe\uffff\ud800-\udfff]")
_SPACE = re.compile(r"[^\S\n]+")
_LONGEST_TAG = 20  # characters of an element that is kept, closed
_LONGEST = 100_000  # characters of one post: more fits no mail, and cleaning takes the square of it
_TITLE_LENGTH = 500
_OPENING_LENGTH = 100


def tidy(words: str) -> str:
    """Drops what no database, mail or screen can carry; keeps tabs and line ends."""
    return _UNPRINTABLE.sub(lambda found: "\ufffd" if "\ud800" <= found[0] <= "\udfff" else "", words)


def as_html(raw: str) -> str:
    """Gives HTML for what may be HTML, HTML escaped once more, or plain text with entities.

    Double escaping is as common in the wild as none; a text with a real tag is taken at its word.
    """
    raw = raw[:_LONGEST]
    for markup in (raw, html.unescape(raw)):
        if _TAG.search(markup):
            once = _TWICE_ESCAPED.sub("&", markup)
            return once if _BLOCK_TAG.search(once) else _with_paragraphs(once)
    return plain_as_html(unescaped_twice(raw))


def plain_as_html(text: str) -> str:
    """Gives HTML for plain text: a paragraph for each run of lines, a break for each line."""
    paragraphs = [
        part.strip() for part in re.split(r"\n\s*\n", text[:_LONGEST].replace("\r\n", "\n")) if part.strip()
    ]
    return "".join(f"<p>{html.escape(part, quote=False).replace(chr(10), '<br>')}</p>" for part in paragraphs)


def _with_paragraphs(markup: str) -> str:
    """Gives text with inline elements only the paragraphs that its empty lines mean."""
    parts = [part.strip() for part in re.split(r"(?:\r?\n[ \t]*){2,}", markup)]
    return "".join(f"<p>{part}</p>" for part in parts if part)


def sanitised(markup: str, base: str) -> str:
    """Gives the HTML that a mail may carry: known elements, and web or mail links made absolute."""
    cleaned = nh3.clean(
        tidy(markup),
        tags=_ELEMENTS | _BLOCKS,
        clean_content_tags=_DROPPED,
        attributes={"a": {"href"}} | _BARE,
        attribute_filter=_absolute_links(base),
        url_schemes=_SCHEMES,
        link_rel=None,
    )
    return _unwrapped(cleaned).strip()


def _unwrapped(cleaned: str) -> str:
    """Takes the boxes off; where nothing but a box kept two texts apart, a break does."""
    kept = [""]
    for part in filter(None, _BOX.split(cleaned)):
        is_glued = (
            kept[-1] and not _ENDS_BLOCK.search(kept[-1][-_LONGEST_TAG:]) and not _BLOCK_TAG.match(part)
        )
        kept += ["<br>", part] if is_glued else [part]
    return "".join(kept)


def plain(markup: str) -> str:
    """Gives the words of HTML: paragraphs apart by an empty line, entities undone twice."""
    bare = _BARE_WORDS.clean(tidy(markup))
    if "<pre>" in bare:
        bare = _PREFORMATTED.sub(lambda block: block[0].replace("\n", "<br>"), bare)
    # A line end inside a paragraph is no line end in HTML, except that plain text given as HTML means it.
    lines = bare if not _KEPT_TAG.search(bare) else bare.replace("\n", " ")
    broken = _KEPT_TAG.sub(_as_space, lines)
    return paragraphs(unescaped_twice(broken))


def paragraphs(text: str) -> str:
    """Gives text with single spaces, no space at a line's ends, and at most one empty line in a row."""
    lines = [
        _SPACE.sub(" ", line).strip()
        for line in tidy(text).replace("\r\n", "\n").replace("\r", "\n").split("\n")
    ]
    return re.sub(r"\n{3,}", "\n\n", "\n".join(lines)).strip()


def one_line(raw: str, *, is_plain: bool = False) -> str:
    """Gives a headline or a name as one line of plain text, cut at a length no headline needs.

    `is_plain` says that its format declares plain text: what looks like a tag is words then.
    """
    is_bare = is_plain or not ("<" in raw or "&" in raw)
    text = unescaped_twice(raw) if is_bare else plain(as_html(raw))
    text = " ".join(tidy(text).split())
    return text if len(text) <= _TITLE_LENGTH else text[: _TITLE_LENGTH - 1].rstrip() + "…"


def opening(text: str) -> str:
    """Gives the first sentence of a text, or its first words, to stand in for a headline that is not given."""
    line = text.split("\n", 1)[0]
    sentence = re.match(r".{10,}?[.!?…](?=\s|$)", line)
    words = sentence[0] if sentence else line
    if len(words) <= _OPENING_LENGTH:
        return words
    return words[:_OPENING_LENGTH].rsplit(" ", 1)[0].rstrip(" ,;:") + "…"


def unescaped_twice(text: str) -> str:
    """Undoes entities, and those that undoing brings to light."""
    once = html.unescape(text)
    return html.unescape(once) if _ENTITY.search(once) else once


def _as_space(tag: re.Match[str]) -> str:
    name = tag[2]
    if name == "br":
        return "\n"
    if name in _CELLS:
        return " "
    if name in _LINES:
        return "" if tag[1] else "\n"
    return "\n\n"


def _absolute_links(base: str) -> Callable[[str, str, str], str | None]:
    def resolve(_element: str, _attribute: str, value: str) -> str | None:
        try:
            link = urljoin(base, value.strip())
        except ValueError:
            return None
        return link if link.partition(":")[0].lower() in _SCHEMES else None

    return resolve
