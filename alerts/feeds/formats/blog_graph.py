"""Which of a page's objects is its live blog, and which are the updates: decided by what is there, not by a label.

The label alone proves little: lotteries and dashboards wear it, and lists of articles. A blog has updates, or says
when its coverage begins.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any
from urllib.parse import urldefrag, urlsplit

from alerts.feeds.formats.json_ld import Found, Object, has_type, words
from alerts.feeds.formats.posts import MOST_ENTRIES
from alerts.feeds.formats.times import Clock

_TYPE = "LiveBlogPosting"
_UPDATES = ("liveBlogUpdate", "liveBlogUpdates")
_PARTS = ("blogPost", "blogPosts", "hasPart")
_LISTS = ("@list", "@set", "itemListElement", "item")
_POSTS = (
    "BlogPosting",
    "NewsArticle",
    "Article",
    "SocialMediaPosting",
    "LiveBlogUpdate",
    "ReportageNewsArticle",
)
_HEADLINES = ("headline", "name")
_BODIES = ("articleBody", "text", "description")
_SAYING = (*_HEADLINES, *_BODIES)
_MOST_STEPS = 20 * MOST_ENTRIES


@dataclass(frozen=True, slots=True)
class Blog:
    """A candidate: an object with its updates; `empty` counts updates that hold nothing."""

    value: Object
    updates: tuple[Object, ...]
    empty: int = 0
    is_own: bool = True  # it does not stand where the page speaks of other pages

    @property
    def address(self) -> str:
        """The page that this blog is, as its publisher writes it; empty when it is not given."""
        for field in ("url", "mainEntityOfPage", "@id"):
            value = self.value.get(field)
            if isinstance(value, list):
                value = next(iter(value), None)
            if isinstance(value, dict):
                value = value.get("@id") or value.get("url")
            if isinstance(value, str) and value.strip():
                return value.strip()
        return ""


def candidates(found: Sequence[Found]) -> list[Blog]:
    """Gives every object that may be a live blog, each with its updates."""
    known: dict[str, Object] = {}
    parts: dict[str, list[Object]] = {}
    for value, _ in found:
        name = value.get("@id")
        if isinstance(name, str) and len(value) > len(known.get(name, ())):
            known[name] = value
        whole = value.get("isPartOf")
        if isinstance(whole, dict) and isinstance(whole.get("@id"), str) and _is_post(value):
            parts.setdefault(whole["@id"], []).append(value)
    blogs = []
    for value, is_own in found:
        is_named = has_type(value, _TYPE)
        if not is_named and not any(value.get(name) for name in _UPDATES):
            continue
        blog = _with_updates(value, known, parts, is_own=is_own)
        if is_named or any(_is_post(update) for update in blog.updates):
            blogs.append(blog)
    return blogs


def chosen(blogs: Sequence[Blog], page: str) -> Blog | None:
    """Gives the page's own blog: of those with updates one that bears the page's address, then the fullest.

    A page may hold one blog twice, as canonical and as AMP: their updates count once. Where none has updates, it is
    the one that says when its coverage begins; None where nothing speaks for a blog but the label.
    """
    filled = [blog for blog in blogs if blog.updates and not _repeats_the_page(blog)]
    if filled:
        here = [blog for blog in filled if _bare(blog.address) == _bare(page)] if page else []
        best = max(here or filled, key=lambda blog: (blog.is_own, len(blog.updates)))
        return _joined(best, filled)
    if any(blog.updates for blog in blogs):
        return None
    waiting = [blog for blog in blogs if _may_be_here(blog, page) and _is_announced(blog.value)]
    one_page = len({_bare(blog.address) for blog in waiting}) == 1
    return waiting[0] if one_page else None  # several are a list of blogs


def _may_be_here(blog: Blog, page: str) -> bool:
    """Whether a page may be a blog's own: not where it names the blog as another page of its site."""
    there, here = _bare(blog.address), _bare(page)
    host = there.partition("/")[0]
    is_elsewhere = there != here and host != "" and host == here.partition("/")[0]
    return blog.is_own and not is_elsewhere


def copies(blogs: Iterable[Blog]) -> int:
    """Gives how many different addresses a page's live blogs bear."""
    return len({urldefrag(blog.address).url for blog in blogs})


def _with_updates(
    value: Object, known: Mapping[str, Object], parts: Mapping[str, list[Object]], *, is_own: bool
) -> Blog:
    found, empty = _flat([value.get(name) for name in _UPDATES], known)
    if not found:
        reverse = value.get("@reverse")
        pointing = reverse.get("isPartOf") if isinstance(reverse, dict) else None
        others, _ = _flat([*(value.get(name) for name in _PARTS), pointing], known)
        name = value.get("@id")
        others += parts.get(name, []) if isinstance(name, str) else []
        found = [one for one in others if _is_post(one)]
    return Blog(value, tuple(found), empty, is_own)


def _flat(given: list[Any], known: Mapping[str, Object]) -> tuple[list[Object], int]:
    """Gives the updates in a list of lists, references, texts and objects; counts what holds nothing."""
    found: list[Object] = []
    empty = 0
    seen: set[int] = set()  # what was referred to: a page may refer in circles
    waiting = list(reversed(given))
    for _ in range(_MOST_STEPS):
        if not waiting:
            break
        one = waiting.pop()
        inner = _inside(one, known)
        if inner is not None:
            waiting += reversed([part for part in inner if _is_first(part, seen)])
        elif isinstance(one, str) and " " in one.strip():
            found.append({"articleBody": one})
        elif isinstance(one, dict) and (_says(one) or _is_addressed(one)):
            found.append(one)
        else:
            empty += one is not None
    return found, empty


def _inside(one: Any, known: Mapping[str, Object]) -> list[Any] | None:
    """Gives what a list holds or a reference means; None for what stands for itself."""
    if isinstance(one, list):
        return one
    if isinstance(one, str):
        return [known[one]] if one in known else None
    if not isinstance(one, dict):
        return None
    target = known.get(one["@id"]) if _is_reference(one) else None
    if target is not None and target is not one:
        return [target]
    inner = [one[name] for name in _LISTS if one.get(name)]
    return inner if inner and not _says(one) else None


def _is_first(part: Any, seen: set[int]) -> bool:
    """Whether an object is met for the first time; texts and lists are no circle."""
    if not isinstance(part, dict):
        return True
    is_first = id(part) not in seen
    seen.add(id(part))
    return is_first


def _is_reference(value: Object) -> bool:
    return isinstance(value.get("@id"), str) and value.keys() <= {"@id", "@type"}


def _says(value: Object) -> bool:
    return any(words(value.get(name)).strip() for name in _SAYING)


def _is_addressed(value: Object) -> bool:
    """Whether an update without words has an address and something at it: a post of pictures only."""
    return not _is_reference(value) and any(
        words(value.get(name)).strip() for name in ("@id", "url", "fragment")
    )


def _is_post(value: Object) -> bool:
    is_typed = any(has_type(value, name) for name in _POSTS) or not value.get("@type")
    return is_typed and _says(value) and bool(words(value.get("datePublished")))


def _repeats_the_page(blog: Blog) -> bool:
    """Whether all updates are one fixed text, the page's own description, without an address of their own."""
    bodies, headlines = _said(blog.value, _BODIES), _said(blog.value, _HEADLINES)
    return all(
        bool(said := _said(update, _BODIES))
        and said <= bodies
        and _said(update, _HEADLINES) <= headlines
        and _bare(words(update.get("url")) or blog.address) == _bare(blog.address)
        and "#" not in words(update.get("url"))
        and not update.get("@id")
        and not update.get("fragment")
        for update in blog.updates
    )


def _said(value: Object, fields: Iterable[str]) -> set[str]:
    return {words(value.get(name)).strip() for name in fields} - {""}


def _is_announced(value: Object) -> bool:
    """Whether a blog without updates says that it will have some: an empty list of them, or the hour it begins.

    A beginning that is also the last change, to the second, is no plan: it is when the page was made.
    """
    if any(name in value for name in _UPDATES):
        return True
    clock = Clock()
    begins, ends, changed = (
        clock.read(words(value.get(name)))
        for name in ("coverageStartTime", "coverageEndTime", "dateModified")
    )
    if begins is None:
        return ends is not None
    return begins != changed or (begins.second, begins.microsecond) == (0, 0)


def _joined(best: Blog, filled: Sequence[Blog]) -> Blog:
    """Adds the updates of objects that are the same blog, page by page: same address, no update in common."""
    updates = list(best.updates)
    seen = {_words_of(update) for update in updates}
    for blog in filled:
        if blog is best or not best.address or urldefrag(blog.address) != urldefrag(best.address):
            continue
        others = {_words_of(update) for update in blog.updates}
        if seen.isdisjoint(others):
            updates += blog.updates
            seen |= others
    return replace(best, updates=tuple(updates))


def _words_of(update: Object) -> tuple[str, ...]:
    return tuple(words(update.get(name)).strip() for name in ("headline", "articleBody", "datePublished"))


def _bare(address: str) -> str:
    """Gives an address without what tells no page from another: scheme, www, AMP, query, fragment."""
    try:
        parts = urlsplit(address)
    except ValueError:
        return address
    host = parts.netloc.lower().removeprefix("www.").removeprefix("amp.")
    path = parts.path.rstrip("/").removesuffix("/amp").removeprefix("/amp/").strip("/")
    return f"{host}/{path.removesuffix('.amp')}"
