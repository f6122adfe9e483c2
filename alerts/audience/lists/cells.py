"""Cells that a spreadsheet shows as they are: one that would be a formula gets an apostrophe in front, and loses it again.

Who opens an export in a spreadsheet must not run what a reader typed (OWASP, "CSV Injection"). Both ways together
give back every text.
"""

_APOSTROPHE = "'"
# Beside the ASCII ones their full-width forms: some programs take them for the same.
_STARTS = ("=", "+", "-", "@", "\t", "\r", "\n", "\uff1d", "\uff0b", "\uff0d", "\uff20")


def guarded(text: str) -> str:
    """Gives a text that no spreadsheet takes for a formula."""
    return _APOSTROPHE + text if text.startswith(_STARTS) or _is_guarded(text) else text


def plain(cell: str) -> str:
    """Gives the text that `guarded` was given."""
    return cell[1:] if _is_guarded(cell) else cell


def _is_guarded(text: str) -> bool:
    return text.startswith(_APOSTROPHE) and text[1:].startswith((*_STARTS, _APOSTROPHE))
