"""Text that means harm, for properties: what a feed, a name or a URL may hold."""

from hypothesis import strategies as st

FRAGMENTS = (
    "\r\nBcc: victim@example.net\r\n",
    "=?utf-8?q?Hi=0D=0ABcc=3A_victim=40example=2Enet?=",
    "=?utf-8?b?DQpCY2M6IHZpY3RpbUBleGFtcGxlLm5ldA==?=",
    "\r\n.\r\nMAIL FROM:<x@example.net>\r\n",
    "\n.leading dot\n..two\n.\n",
    "--=_0123456789abcdef0123456789abcdef--",
    "{{ manage_url }} {% raw %} {{ ''.__class__ }}",
    "%(site)s %s %",
    "</title></style><script>alert(1)</script><img src=https://spy.example/p.gif>",
    '"><a href="javascript:alert(1)">x</a>',
    '" <evil@example.net>, ',
    "\u202egnp.exe\u2066",
    "line\u2028paragraph\u2029next\x85end",
    "\x00\x07\x1b[31m",
    "\ud800",
    "ä" * 90,
    "🚢" * 40,
    "x" * 1200,
    "word " * 60,
    "a=b=",
)

anything = st.text(st.characters(exclude_categories=()), max_size=30)
hostile = st.lists(st.one_of(anything, st.sampled_from(FRAGMENTS)), max_size=6).map("".join)
