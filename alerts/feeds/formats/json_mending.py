"""JSON that publishers broke: read as far as it goes, so that one bad quote costs one post and not the page.

Met in pages: line ends and quotes unescaped in texts, commas too many or missing, comments, JavaScript in the
place of values, and documents cut off in the middle. The reader never looks back, and never recurses.
"""

import re
from typing import Any

_LONGEST = 4_000_000  # characters: a longer document is not worth the seconds
_DEEPEST = 200
# Lists whose owner is worth keeping though it was cut off: what stands whole in them is whole.
_COLLECTIONS = frozenset(
    {"liveBlogUpdate", "liveBlogUpdates", "@graph", "itemListElement", "hasPart", "blogPost", "blogPosts"}
)
_BLANK = re.compile(r"(?:[\s\ufeff\u00a0;]+|//[^\n]*|/\*[^*]{0,300}\*+/|<!--|-->)+")
_CHUNK = re.compile(r'[^"\\]*')
_LITERAL = re.compile(r'[^\s,:{}\[\]"]+')
_NUMBER = re.compile(r"-?\d{1,18}(?:\.\d{1,30})?(?:[eE][+-]?\d{1,3})?")
_ESCAPE = re.compile(r"\\(u[0-9a-fA-F]{4}|.|$)", re.DOTALL)
_NAMED = {"b": "\b", "f": "\f", "n": "\n", "r": "\r", "t": "\t"}
_WORDS = {"true": True, "false": False, "null": None}
# A quote ends a text only where the document goes on as a document, not as a sentence.
_ENDS_KEY = re.compile(r"\s*:")
_ENDS_FIELD = re.compile(
    r"""\s*(?: ,\s*(?:/\*[^*]{0,200}\*/\s*)?(?: "[^"\\]{1,80}"\s*: | [}\]] | $ )  # the next field
          | [}\]]\s*(?: [,}\]{<;/] | $ )
          | "[^"\\]{1,80}"\s*:  # the next field, its comma forgotten
          | $ )""",
    re.VERBOSE,
)
_ENDS_ITEM = re.compile(r"""\s*(?: ,\s*(?: ["{\[\]\d-] | true | false | null | $ ) | \] | $ )""", re.VERBOSE)


def mended(text: str) -> list[Any]:
    """Gives the objects and lists that can be read from broken JSON; what was cut off half-way is left out."""
    if len(text) > _LONGEST:
        return []
    return _Reader(text).read()


class _Reader:
    def __init__(self, text: str) -> None:
        self._text = text
        self._at = 0
        self._found: list[Any] = []
        self._open: list[Any] = []  # the containers that we are in, outermost first
        self._keys: list[str | None] = []  # the field that each of them is about to fill

    def read(self) -> list[Any]:
        while self._at < len(self._text):
            if blank := _BLANK.match(self._text, self._at):
                self._at = blank.end()
                continue
            self._step(self._text[self._at])
        self._leave_out_the_unfinished()
        return self._found

    def _step(self, sign: str) -> None:
        if sign in "{[":
            self._enter({} if sign == "{" else [])
        elif sign in "}]":
            self._leave(dict if sign == "}" else list)
        elif sign == '"':
            self._string()
        elif sign in ",:":
            self._at += 1
            if sign == "," and self._keys:
                self._keys[-1] = None
        else:
            self._literal()

    def _enter(self, container: Any) -> None:
        self._at += 1
        if len(self._open) >= _DEEPEST:
            return
        if not self._open:
            self._found.append(container)
        else:
            self._place(container)
        self._open.append(container)
        self._keys.append(None)

    def _leave(self, kind: type) -> None:
        """Closes the innermost container of this kind, and what was left open in it; a stray bracket is nothing."""
        self._at += 1
        if any(isinstance(container, kind) for container in self._open[-3:]):
            while not isinstance(self._open.pop(), kind):
                self._keys.pop()
            self._keys.pop()

    def _string(self) -> None:
        is_field = bool(self._open) and isinstance(self._open[-1], dict)
        is_key = is_field and self._keys[-1] is None
        text, is_whole = self._quoted(_ENDS_KEY if is_key else _ENDS_FIELD if is_field else _ENDS_ITEM)
        if is_key:
            self._keys[-1] = text if is_whole else None
        elif is_whole and self._open:
            self._place(text)

    def _quoted(self, end: re.Pattern[str]) -> tuple[str, bool]:
        """Gives the text of a string, and whether its end was found."""
        start = at = self._at + 1
        text = self._text
        is_key = end is _ENDS_KEY
        while True:
            at = _CHUNK.match(text, at).end()  # type: ignore[union-attr] # it matches nothing, too
            if at >= len(text):
                self._at = len(text)
                return "", False
            if text[at] == "\\":
                at += 2
                continue
            is_end = end.match(text, at + 1) is not None
            if is_end or is_key:
                self._at = at + 1
                return _unescaped(text[start:at]), is_end
            at += 1

    def _literal(self) -> None:
        literal = _LITERAL.match(self._text, self._at)
        self._at = literal.end() if literal else self._at + 1
        if literal is None or not self._open:
            return
        word = literal[0]
        if isinstance(self._open[-1], dict) and self._keys[-1] is None:
            if _ENDS_KEY.match(self._text, self._at):
                self._keys[-1] = word.strip("'")
        elif word in _WORDS:
            self._place(_WORDS[word])
        elif _NUMBER.fullmatch(word):
            self._place(float(word) if re.search("[.eE]", word) else int(word))

    def _place(self, value: Any) -> None:
        container = self._open[-1]
        if isinstance(container, list):
            container.append(value)
        elif (key := self._keys[-1]) is not None:
            container[key] = value
            self._keys[-1] = None

    def _leave_out_the_unfinished(self) -> None:
        """Takes back the innermost of what the end cut off, outwards to a list that has something whole in it."""
        for depth in range(len(self._open) - 1, 0, -1):
            container, outer = self._open[depth], self._open[depth - 1]
            if isinstance(container, dict) and not any(container.get(name) for name in _COLLECTIONS):
                if isinstance(outer, list):
                    outer.pop()
                else:
                    _drop(outer, container)
            elif isinstance(container, dict):
                return
            elif isinstance(outer, dict) and not any(outer.get(name) is container for name in _COLLECTIONS):
                _drop(outer, container)


def _drop(owner: dict[str, Any], value: Any) -> None:
    for key in [key for key, held in owner.items() if held is value]:
        del owner[key]


def _unescaped(text: str) -> str:
    if "\\" not in text:
        return text
    plain = _ESCAPE.sub(_character, text)
    return plain.encode("utf-16", "surrogatepass").decode("utf-16", "replace")


def _character(escape: re.Match[str]) -> str:
    sign = escape[1]
    if len(sign) > 1:
        return chr(int(sign[1:], 16))
    return _NAMED.get(sign, sign)
