"""What stands in an element of a page, without the furniture around the words."""

from selectolax.lexbor import LexborNode

_MOST = 50  # pieces of furniture in one post


def inner(node: LexborNode, leave_out: str) -> str:
    """Gives an element's inner HTML; takes what the selector `leave_out` names off the page."""
    for _ in range(_MOST):
        # One at a time: what stood inside a piece is gone with it.
        furniture = node.css_first(leave_out)
        if furniture is None:
            break
        furniture.decompose()
    return node.inner_html or ""
