"""robots.txt as RFC 9309 has it: groups, longest match, wildcards; and rules that mean harm cost little."""

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from alerts.feeds.fetch.robots import LONGEST, Rules, product, read

US = "alerts/0.1 (+https://example.org/alerts)"


def allow(text: str | bytes, path: str, us: str = US) -> bool:
    return read(text.encode() if isinstance(text, str) else text, us).allow(path)


@pytest.mark.parametrize(
    ("rules", "path", "expected"),
    [
        ("", "/", True),
        ("Disallow: /", "/live", False),
        ("Disallow:", "/live", True),
        ("Disallow: /live", "/live", False),
        ("Disallow: /live", "/live/1?page=2", False),
        ("Disallow: /live", "/Live", True),
        ("Disallow: /live/", "/live", True),
        ("Disallow: /\nAllow: /live", "/live/x", True),
        ("Allow: /live\nDisallow: /live/x", "/live/x", False),
        ("Disallow: /page\nAllow: /page", "/page", True),
        ("Allow: /page\nDisallow: /*.html", "/page.html", False),
        ("Disallow: /*.php", "/a/index.php?x=1", False),
        ("Disallow: /*.php$", "/index.php?x=1", True),
        ("Disallow: /*.php$", "/index.php", False),
        ("Disallow: /$", "/", False),
        ("Disallow: /$", "/live", True),
        ("Disallow: *", "/", False),
        ("Disallow: /*a*b*c", "/xaybzc", False),
        ("Disallow: /*a*b*c", "/xcybza", True),
        ("Disallow: /a*a$", "/a", True),
        ("Disallow: /a*a$", "/aa", False),
        ("Disallow: /a**b", "/axb", False),
        ("Disallow: /*?", "/live", True),
        ("Disallow: /*?", "/live?x", False),
        ("Disallow: /caf%C3%A9", "/caf\u00e9", False),
        ("Disallow: /caf\u00e9", "/caf%c3%a9", False),
        ("Disallow: /%7Ejoe", "/~joe", False),
        ("Disallow: /~joe", "/%7ejoe", False),
        ("Disallow: /a%2fb", "/a/b", True),
        ("Disallow: /a%2Fb", "/a%2fb", False),
        ("Disallow: /", "/robots.txt", True),
        ("Disallow: /live # not now", "/live", False),
        ("disallow : /live", "/live", False),
        ("Noindex: /live\nCrawl-delay: 10", "/live", True),
    ],
)
def test_follows_the_rules(rules: str, path: str, expected: bool) -> None:
    assert allow(f"User-agent: *\n{rules}\n", path) is expected


@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
def test_takes_our_own_groups_and_else_everybodys(end: str) -> None:
    text = end.join(
        [
            "User-agent: *",
            "Disallow: /",
            "",
            "User-Agent: ALERTS/9",
            "User-agent: other",
            "Disallow: /a",
            "User-agent: third",
            "Disallow: /",
            "user-agent: alerts",
            "Disallow: /b",
        ]
    )
    assert allow(text, "/live")
    assert not allow(text, "/a")
    assert not allow(text, "/b")
    assert not allow(text, "/live", "another/1")
    assert allow(text, "/live", "other/1")


def test_an_empty_group_of_ours_allows_all() -> None:
    assert allow("User-agent: *\nDisallow: /\n\nUser-agent: alerts\nDisallow:\n", "/live")


def test_rules_before_any_group_and_other_lines_count_for_nothing() -> None:
    assert allow("Disallow: /\nSitemap: https://news.example/map\nUser-agent: *\nAllow: /\n", "/live")


def test_a_line_between_agents_and_rules_does_not_part_them() -> None:
    assert not allow("User-agent: alerts\nCrawl-delay: 5\nDisallow: /live\n", "/live")


@pytest.mark.parametrize(
    "body", [b"\xef\xbb\xbfUser-agent: *\nDisallow: /live", b"\xff\xfe\x00\nUser-agent: *\nDisallow: /live"]
)
def test_reads_through_odd_bytes(body: bytes) -> None:
    assert not allow(body, "/live")


def test_a_page_in_its_place_forbids_nothing() -> None:
    assert allow("<!doctype html><title>Home</title><p>User-agent: *</p>", "/live")


def test_reads_half_a_megabyte_and_no_more() -> None:
    assert allow(b"User-agent: *\n" + b"#" * LONGEST + b"\nDisallow: /live\n", "/live")


@pytest.mark.parametrize(
    ("user_agent", "token"),
    [(US, "alerts"), ("My-Alerts_Bot (x)", "my-alerts_bot"), ("9lives/1", ""), ("", "")],
)
def test_knows_our_own_name(user_agent: str, token: str) -> None:
    assert product(user_agent) == token


def test_a_product_without_a_name_takes_everybodys_rules() -> None:
    assert not allow("User-agent: \nDisallow:\nUser-agent: *\nDisallow: /", "/live", "9lives/1")


def test_rules_that_mean_harm_cost_little() -> None:
    stars = "Disallow: /" + "*a" * 100_000 + "b$\n"
    many = "Disallow: /*a*a*a*a*b\n" * 10_000
    begun = time.process_time()
    rules = read(f"User-agent: *\n{stars}{many}".encode(), US)
    assert rules.allow("/" + "a" * 4_000)
    assert time.process_time() - begun < 5, "seconds; a search that goes back takes hours"


@given(st.binary(max_size=400), st.text(max_size=40))
def test_reads_anything(body: bytes, path: str) -> None:
    assert read(b"User-agent: *\n" + body, US).allow("/" + path) in (True, False)


@given(st.text("/ab*$", min_size=1, max_size=8), st.text("/ab", max_size=8))
def test_a_pattern_fits_as_its_slow_and_plain_reading_says(pattern: str, path: str) -> None:
    def fits(pattern: str, path: str) -> bool:
        if not pattern:
            return True
        if pattern == "$":
            return not path
        if pattern[0] == "*":
            return any(fits(pattern[1:], path[start:]) for start in range(len(path) + 1))
        return path[:1] == pattern[0] and fits(pattern[1:], path[1:])

    escaped = pattern[:-1].replace("$", "%24") + pattern[-1]
    if "$" not in pattern[:-1]:
        assert allow(f"User-agent: *\nDisallow: {escaped}", path) is not fits(pattern, path)


def test_no_rules_allow_all() -> None:
    assert Rules().allow("/live")
