"""What a WebSub subscriber decides: whom to ask, for what, when, and whom to believe."""

import hmac
from datetime import timedelta
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from alerts.feeds.push.rules import Offer, Signature, backoff, can_reach, lease, offer, renewal

FEED = "https://news.example/live"
HUB = "https://hub.example/"
SECRET = "a secret of the tests"
METHODS = ("sha1", "sha256", "sha384", "sha512")


def is_signed(header: str, *chunks: bytes, secret: str = SECRET) -> bool:
    signature = Signature(header, secret)
    for chunk in chunks:
        signature.update(chunk)
    return signature.is_right()


def signed(body: bytes, method: str, secret: str = SECRET) -> str:
    return f"{method}={hmac.new(secret.encode(), body, method).hexdigest()}"


@pytest.mark.parametrize(
    "topic",
    [FEED, "https://news.example/other.atom", "http://news.example/live", "https://www.news.example/live"],
)
def test_a_topic_at_the_feeds_own_host_is_asked_for(topic: str) -> None:
    assert offer(FEED, HUB, topic) == Offer(HUB, topic)


def test_a_feed_that_names_no_topic_is_its_own() -> None:
    assert offer(FEED, HUB, "") == Offer(HUB, FEED)


@pytest.mark.parametrize(
    "topic",
    [
        "https://bank.example/",
        "https://news.example.evil.example/live",
        "https://evil.example/news.example",
        "https://news.example@evil.example/",
        "//news.example/live",
        "urn:news",
        "https://[::1",
        "https://evil.example\\@news.example/\n",
    ],
)
def test_a_topic_elsewhere_is_refused_with_the_reason(topic: str) -> None:
    found = offer(FEED, HUB, topic)
    assert found is not None
    assert "another host" in found.refusal


@pytest.mark.parametrize(
    "hub",
    ["", "hub", "ftp://hub.example/", "https://", "https://user:word@hub.example/", "https://hub.example/ x"],
)
def test_what_is_no_hub_is_passed_over(hub: str) -> None:
    assert offer(FEED, hub, FEED) is None


@given(st.text(max_size=40), st.text(max_size=40))
def test_no_text_breaks_an_offer_and_what_is_asked_for_is_at_the_feeds_host(hub: str, topic: str) -> None:
    found = offer(FEED, hub, topic)
    assert found is None or found.refusal or found.topic == FEED or "news.example" in found.topic


@pytest.mark.parametrize(
    ("base_url", "hub", "is_reached"),
    [
        ("http://localhost:8025", HUB, False),
        ("http://127.0.0.1:8025", HUB, False),
        ("http://[::1]:8025", HUB, False),
        ("http://0.0.0.0:8025", HUB, False),
        ("http://localhost:8025", "http://127.0.0.1:9000/hub", True),
        ("http://localhost:8025", "http://localhost.evil.example/hub", False),
        ("https://alerts.example", HUB, True),
        ("https://alerts.example", "http://localhost/hub", True),
    ],
)
def test_a_hub_elsewhere_cannot_call_a_loopback_name(base_url: str, hub: str, is_reached: bool) -> None:
    assert can_reach(hub, base_url) is is_reached


@pytest.mark.parametrize(
    ("said", "understood"),
    [
        ("60", timedelta(minutes=1)),
        ("864000", timedelta(days=10)),
        ("99999999", timedelta(days=14)),
        ("9" * 400, timedelta(days=14)),
        ("", timedelta(days=1)),
        ("0", timedelta(days=1)),
        ("-5", timedelta(days=1)),
        ("soon", timedelta(days=1)),
        ("٣٠", timedelta(days=1)),
    ],
)
def test_a_lease_is_read_and_bounded(said: str, understood: timedelta) -> None:
    assert lease(said) == understood


@given(st.integers(0, 10**12).map(str), st.integers())
def test_a_lease_is_renewed_before_its_end_and_no_oftener_than_each_minute(said: str, seed: int) -> None:
    length = lease(said)
    wait = renewal(length, Random(seed))
    assert wait >= timedelta(minutes=1)
    assert wait < length * 0.71 or wait == timedelta(minutes=1)


@given(st.integers(0, 10**6), st.integers())
def test_a_backoff_grows_to_about_a_day(failures: int, seed: int) -> None:
    wait = backoff(failures, Random(seed))
    assert timedelta(seconds=48) <= wait <= timedelta(hours=28.8)
    assert failures < 9 or wait >= timedelta(hours=19)


# Signatures


@given(st.binary(), st.sampled_from(METHODS), st.integers(0, 50))
def test_what_the_hub_signed_is_right_in_whatever_pieces_it_comes(body: bytes, method: str, cut: int) -> None:
    header = signed(body, method)
    assert is_signed(header, body[:cut], body[cut:])
    assert is_signed(header.upper(), body)


@given(st.binary(min_size=1), st.sampled_from(METHODS), st.data())
def test_another_content_or_secret_or_method_is_wrong(body: bytes, method: str, data: st.DataObject) -> None:
    header = signed(body, method)
    at = data.draw(st.integers(0, len(body) - 1))
    changed = body[:at] + bytes([body[at] ^ 1]) + body[at + 1 :]
    other = data.draw(st.sampled_from([each for each in METHODS if each != method]))
    assert not is_signed(header, changed)
    assert not is_signed(header, body, b"more")
    assert not is_signed(header, body, secret="another secret")
    assert not is_signed(header.replace(method, other), body)
    assert not is_signed(header[:-2], body)


@given(st.text())
def test_no_text_passes_for_a_signature(header: str) -> None:
    assert not is_signed(header, b"body")


@pytest.mark.parametrize("header", ["", "sha256=", "=", "md5=" + "0" * 32, "sha3_256=" + "0" * 64])
def test_an_empty_or_unknown_signature_is_wrong(header: str) -> None:
    assert not is_signed(header, b"")


def test_methods_the_recommendation_does_not_name_are_not_believed() -> None:
    assert not is_signed(signed(b"body", "md5"), b"body")
    assert not is_signed(signed(b"body", "sha3_256"), b"body")
