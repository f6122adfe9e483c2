"""Which addresses may be connected to: no private one, in no form of it; and the operator's word."""

from collections.abc import Callable
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address

import pytest
from hypothesis import given
from hypothesis import strategies as st

from alerts.feeds.fetch.guard import Guard, is_loopback, is_oddly_numeric, own_port

GUARD = Guard()

PRIVATE = [
    "0.0.0.0",
    "10.0.0.1",
    "100.64.0.1",
    "100.100.100.200",
    "127.0.0.1",
    "127.255.255.254",
    "168.63.129.16",
    "169.254.169.254",
    "172.16.0.1",
    "172.31.255.255",
    "192.0.0.192",
    "192.0.2.1",
    "192.88.99.1",
    "192.168.1.1",
    "198.18.0.1",
    "198.19.255.255",
    "198.51.100.1",
    "203.0.113.1",
    "224.0.0.1",
    "239.255.255.255",
    "240.0.0.1",
    "255.255.255.255",
    "::",
    "::1",
    "::127.0.0.1",
    "::8.8.8.8",
    "::ffff:0:8.8.8.8",
    "100::1",
    "64:ff9b:1::808:808",
    "2001::1",
    "2001:2::1",
    "2001:10::1",
    "2001:db8::1",
    "3fff::1",
    "5f00::1",
    "fc00::1",
    "fd00:ec2::254",
    "fe80::1",
    "fe80::1%eth0",
    "2600::1%eth0",
    "::1%lo",
    "fec0::1",
    "ff02::1",
]
PUBLIC = [
    "8.8.8.8",
    "100.63.255.255",
    "172.32.0.1",
    "192.0.1.1",
    "198.20.0.1",
    "223.255.255.255",
    "2600::1",
    "2a00:1450:4001::1",
    "::ffff:8.8.8.8",
    "64:ff9b::8.8.8.8",
    "2002:808:808::1",
]
_NETWORKS = [
    IPv4Network(each)
    for each in (
        "0.0.0.0/8",
        "10.0.0.0/8",
        "100.64.0.0/10",
        "127.0.0.0/8",
        "169.254.0.0/16",
        "172.16.0.0/12",
        "192.168.0.0/16",
        "198.18.0.0/15",
        "224.0.0.0/3",
    )
]
private_v4 = st.sampled_from(_NETWORKS).flatmap(
    lambda network: st.integers(int(network[0]), int(network[-1])).map(IPv4Address)
)


# Each writes an IPv4 address, as a number, into an IPv6 form; the filler stands in the bits that are free.
FORMS: dict[str, Callable[[int, int], int]] = {
    "mapped": lambda inner, _: 0xFFFF << 32 | inner,
    "compatible": lambda inner, _: inner,
    "translated": lambda inner, _: 0xFFFF << 48 | inner,
    "nat64": lambda inner, _: 0x64FF9B << 96 | inner,
    "local nat64": lambda inner, filler: 0x64FF9B0001 << 80 | filler % 2**48 << 32 | inner,
    "6to4": lambda inner, filler: 0x2002 << 112 | inner << 80 | filler,
    "teredo server": lambda inner, filler: 0x20010000 << 96 | inner << 64 | filler % 2**64,
    "teredo client": lambda inner, filler: 0x20010000 << 96 | filler % 2**64 << 32 | inner ^ 0xFFFFFFFF,
}


@pytest.mark.parametrize("address", PRIVATE)
def test_refuses_what_is_not_of_the_public_internet(address: str) -> None:
    assert not GUARD.admits(address)


@pytest.mark.parametrize("address", PUBLIC)
def test_admits_the_public_internet(address: str) -> None:
    assert GUARD.admits(address)


@given(inner=private_v4, form=st.sampled_from(list(FORMS)), filler=st.integers(0, 2**80 - 1))
def test_refuses_every_private_address_in_every_form(inner: IPv4Address, form: str, filler: int) -> None:
    outer = IPv6Address(FORMS[form](int(inner), filler))
    assert not GUARD.admits(str(outer))
    assert not GUARD.admits(outer.exploded)


@given(st.integers(0, 2**128 - 1).map(IPv6Address))
def test_admits_no_ipv6_address_that_python_knows_as_special(address: IPv6Address) -> None:
    special = address.is_private or address.is_multicast or address.is_reserved or address.is_link_local
    embeds = address in IPv6Network("64:ff9b::/96") or address.ipv4_mapped is not None
    if special and not embeds:
        assert not GUARD.admits(str(address))


@given(st.integers(0, 2**32 - 1).map(IPv4Address))
def test_admits_no_ipv4_address_that_python_knows_as_special(address: IPv4Address) -> None:
    if address.is_private or address.is_multicast or address.is_reserved:
        assert not GUARD.admits(str(address))


@given(st.text(max_size=20))
def test_refuses_what_is_no_address(text: str) -> None:
    try:
        ip_address(text)
    except ValueError:
        assert not GUARD.admits(text)


@pytest.mark.parametrize(
    "text", ["", "2130706433", "0x7f.1", "127.1", "0177.0.0.1", "010.8.8.8", "8.8.8.8 ", "8.8.8.8:80"]
)
def test_refuses_numbers_in_a_disguise(text: str) -> None:
    assert not GUARD.admits(text)


def test_admits_the_networks_of_the_operators_own_and_no_others() -> None:
    guard = Guard.of(["10.1.0.0/16", "192.168.7.7", "fd12::/16"])
    for address in ("10.1.2.3", "::ffff:10.1.2.3", "64:ff9b::10.1.2.3", "192.168.7.7", "fd12::1", "8.8.8.8"):
        assert guard.admits(address)
    for address in ("10.2.0.1", "192.168.7.8", "::ffff:10.2.0.1", "fd13::1", "127.0.0.1"):
        assert not guard.admits(address)


@pytest.mark.parametrize(
    ("url", "port"),
    [
        ("http://localhost:8000/", 8000),
        ("http://LOCALHOST/", 80),
        ("https://127.0.0.1/", 443),
        ("http://127.8.9.10:81/", 81),
        ("http://[::1]:8000/", 8000),
        ("http://user:password@localhost:8000/", 8000),
        ("http://localhost.:8000/", None),
        ("http://127.1:8000/", None),
        ("http://2130706433:8000/", None),
        ("http://0177.0.0.1/", None),
        ("http://\uff11\uff12\uff17.0.0.1/", None),
        ("http://[::ffff:127.0.0.1]/", None),
        ("http://[0:0:0:0:0:0:0:1]/", None),
        ("http://[::1%25lo]/", None),
        ("http://localhost.example.org/", None),
        ("http://localhost@news.example/", None),
        ("http://news.example/?localhost", None),
        ("http://0.0.0.0/", None),
        ("http://localhost:99999/", None),
        ("//localhost/", None),
    ],
)
def test_knows_loopback_in_plain_words_only(url: str, port: int | None) -> None:
    assert own_port(url) == port


@pytest.mark.parametrize(
    ("address", "expected"),
    [
        ("127.0.0.1", True),
        ("127.9.9.9", True),
        ("::1", True),
        ("::ffff:127.0.0.1", False),
        ("::1%lo", False),
        ("10.0.0.1", False),
        ("localhost", False),
    ],
)
def test_knows_loopback_by_its_number(address: str, expected: bool) -> None:
    assert is_loopback(address) is expected


@pytest.mark.parametrize(
    "host", ["2130706433", "0x7f000001", "0x7f.1", "127.1", "0177.0.0.1", "1.2.3.4.", "1.2.3.256"]
)
def test_finds_numbers_in_a_disguise(host: str) -> None:
    assert is_oddly_numeric(host)


@pytest.mark.parametrize(
    "host", ["127.0.0.1", "8.8.8.8", "::1", "news.example", "a1", "4chan.example", "1.2.3.example"]
)
def test_takes_plain_numbers_and_names_for_what_they_are(host: str) -> None:
    assert not is_oddly_numeric(host)


@pytest.mark.parametrize(
    "host",
    ["localhost", "LocalHost.", "db.localhost", "10.0.0.1", "2130706433", "::1", "printer.local", "0x7f.1"],
)
def test_asks_a_proxy_for_nothing_that_is_plainly_inside(host: str) -> None:
    assert not GUARD.admits_by_word(host)


@pytest.mark.parametrize("host", ["news.example", "8.8.8.8", "2600::1"])
def test_asks_a_proxy_for_the_rest(host: str) -> None:
    assert GUARD.admits_by_word(host)
