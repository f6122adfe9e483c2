"""Slips, roles and mailboxes to throw away: what is asked about, and what is not."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from alerts.audience import hints
from alerts.audience.hints import domains_in, is_disposable, is_role, suggestion


@pytest.mark.parametrize(
    ("typed", "meant"),
    [
        ("gmial.com", "gmail.com"),
        ("gmal.com", "gmail.com"),
        ("gmaill.com", "gmail.com"),
        ("gmail.con", "gmail.com"),
        ("gmail.co", "gmail.com"),
        ("hotnail.com", "hotmail.com"),
        ("hotmial.com", "hotmail.com"),
        ("yaho.com", "yahoo.com"),
        ("outlok.com", "outlook.com"),
        ("iclould.com", "icloud.com"),
        ("gmx.dee", "gmx.de"),
        ("t-onlin.de", "t-online.de"),
        ("newsroom.con", "newsroom.com"),
        ("GMIAL.com", "gmail.com"),
    ],
)
def test_a_slip_is_asked_about(typed: str, meant: str) -> None:
    assert suggestion(f"Ann.Marsh@{typed}") == f"Ann.Marsh@{meant}"


@pytest.mark.parametrize(
    "domain",
    [
        "gmail.com",
        "mail.com",
        "ymail.com",
        "gmx.ch",
        "example.org",
        "google.com",
        "xn--mnchen-3ya.de",
        "live.nl",
    ],
)
def test_what_is_right_or_real_is_not(domain: str) -> None:
    assert suggestion(f"ann@{domain}") is None


@pytest.mark.parametrize("provider", hints._PROVIDERS)
def test_no_provider_is_a_slip_of_another(provider: str) -> None:
    assert suggestion(f"ann@{provider}") is None


@given(st.sampled_from(hints._PROVIDERS), st.data())
def test_any_one_slip_is_found(provider: str, data: st.DataObject) -> None:
    at = data.draw(st.integers(0, len(provider) - 1))
    letter = data.draw(st.sampled_from("qxz"))
    slips = [
        provider[:at] + provider[at + 1 :],
        provider[:at] + letter + provider[at:],
        provider[:at] + letter + provider[at + 1 :],
        provider[:at] + provider[at : at + 2][::-1] + provider[at + 2 :],
    ]
    for slip in {*slips} - {*hints._PROVIDERS} - hints._NEIGHBOURS:
        assert suggestion(f"ann@{slip}") is not None


@given(st.emails())
def test_a_suggestion_keeps_the_name_and_is_never_the_same(address: str) -> None:
    found = suggestion(address)
    assert found is None or (found != address and found.rpartition("@")[0] == address.rpartition("@")[0])


def test_roles() -> None:
    assert all(map(is_role, ["postmaster@x.example", "NoReply@x.example", "abuse+list@x.example"]))
    assert not any(map(is_role, ["ann@x.example", "postmasters@x.example", "news.ann@x.example"]))


def test_disposable_domains() -> None:
    own = domains_in("# ours\nThrow.example # away\n\n  other.example\n")
    assert own == {"throw.example", "other.example"}
    assert is_disposable("ann@a.b.throw.example", own)
    assert not is_disposable("ann@throw.example.org", own)
    assert not is_disposable("ann@mailinator.com", own)
    assert is_disposable("ann@mailinator.com")
    assert not is_disposable("ann@throw.example", frozenset())
