"""The door for addresses: what passes, what it becomes, and what a refusal says."""

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from alerts.audience import addresses
from alerts.audience.addresses import Address, normalise
from alerts.errors import Refused

LETTERS = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789"
NAMES = st.lists(st.text(LETTERS, min_size=1, max_size=12), min_size=1, max_size=3).map(".".join)


@pytest.mark.parametrize(
    ("given_address", "address", "key"),
    [
        ("reader@example.org", "reader@example.org", "reader@example.org"),
        ("  Reader@Example.ORG ", "Reader@example.org", "reader@example.org"),
        ("Ann.B+news@example.com", "Ann.B+news@example.com", "ann.b+news@example.com"),
        ("reader@bücher.example", "reader@xn--bcher-kva.example", "reader@xn--bcher-kva.example"),
        ("reader@BÜCHER.example", "reader@xn--bcher-kva.example", "reader@xn--bcher-kva.example"),
        ("Lesér@Example.org", "Lesér@example.org", "lesér@example.org"),
        ("ÉCLAIR@example.org", "ÉCLAIR@example.org", "éclair@example.org"),
        ("E\u0301clair@example.org", "Éclair@example.org", "éclair@example.org"),
        ("Strauß@example.org", "Strauß@example.org", "strauß@example.org"),
        ("ａｎｎü@example.org", "ａｎｎü@example.org", "ａｎｎü@example.org"),
        ("reader1@example.test", "reader1@example.test", "reader1@example.test"),
        ("user@test.example", "user@test.example", "user@test.example"),
        ("user@mail.localhost", "user@mail.localhost", "user@mail.localhost"),
    ],
)
def test_an_address_has_one_form_for_the_wire_and_one_for_comparing(
    given_address: str, address: str, key: str
) -> None:
    assert normalise(given_address) == Address(address, key)


@pytest.mark.parametrize(
    "refused",
    [
        "",
        "reader",
        "reader@",
        "@example.org",
        "reader@example",
        "reader@localhost",
        "reader@nowhere.invalid",
        "reader@printer.local",
        "reader@[192.0.2.1]",
        "two@signs@example.org",
        "Reader <reader@example.org>",
        '"quoted name"@example.org',
        "reader@example.org\r\nBcc: other@example.org",
        "rea der@example.org",
        "reader..dots@example.org",
        f"{'a' * 65}@example.org",
        f"reader@{'a' * 64}.example",
        "reader@xn--zzzzz-.example",
        "\uff41\uff4e\uff4e@example.org",  # the same in full width
        "\u017fam@example.org",  # with a long s
        "ﬁnn@example.org",
    ],
)
def test_what_cannot_be_mailed_is_refused_without_being_repeated(refused: str) -> None:
    with pytest.raises(Refused) as caught:
        normalise(refused)
    text = str(caught.value)
    assert text
    assert len(refused) < 2 or refused not in text
    assert refused.partition("@")[2] not in text or refused.partition("@")[2] in ("", "example")


@given(NAMES, NAMES)
def test_spellings_that_differ_in_case_only_are_one_reader(name: str, domain: str) -> None:
    assume(len(domain) < 50)
    address = f"{name}@{domain}.example"
    try:
        once = normalise(address)
    except Refused:
        assume(False)
    assert (
        normalise(address.upper()).key == once.key == normalise(once.address).key == normalise(once.key).key
    )


@given(st.text(max_size=80))
def test_whatever_is_typed_ends_in_an_ascii_address_or_in_a_refusal(text: str) -> None:
    try:
        found = normalise(text)
    except Refused as error:
        said = str(error)
        found = None
    if found is None:
        assert len(text) < 4 or text not in said
    else:
        assert found.address.isascii()
        assert found.address.count("@") == 1
        assert not set(found.address) & set(" \r\n<>,;")


@given(
    st.one_of(
        st.emails(),
        st.builds(
            "{}@{}".format,
            st.text("abcXYZ019.!#'+=-_~\"@ \u00e9", max_size=70),
            st.sampled_from(
                ["example.org", "EXAMPLE.org", "b\u00fccher.example", "a..b", "localhost", "x", "[192.0.2.1]"]
            ),
        ),
    )
)
def test_the_short_way_that_most_addresses_take_ends_where_the_long_one_does(text: str) -> None:
    short = addresses._wire_of_most(text)
    try:
        long = addresses._wire(text)
    except Refused:
        long = None
    assert short in {None, long}
