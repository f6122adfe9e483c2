"""Which addresses may be connected to: global ones, and the operator's own networks; pure.

An address is judged as the numbers that a socket takes, so that no spelling of it and no name can hide what
it is; docs/adr/0008 has the policy.
"""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network
from typing import Self
from urllib.parse import urlsplit

Address = IPv4Address | IPv6Address
Network = IPv4Network | IPv6Network

# The IANA special-purpose registries (RFC 6890 and what was added since) as far as nobody's public site is
# there. Written out, because what `ipaddress` calls global changed between Python's patch releases.
_NOT_GLOBAL_4 = tuple(
    IPv4Network(each)
    for each in (
        "0.0.0.0/8",  # this host
        "10.0.0.0/8",
        "100.64.0.0/10",  # carrier's NAT, and one cloud's metadata
        "127.0.0.0/8",
        "168.63.129.16/32",  # Azure's platform service answers its machines here
        "169.254.0.0/16",  # link-local, and most clouds' metadata
        "172.16.0.0/12",
        "192.0.0.0/24",
        "192.0.2.0/24",  # documentation
        "192.88.99.0/24",  # relays of 6to4
        "192.168.0.0/16",
        "198.18.0.0/15",  # benchmarks
        "198.51.100.0/24",
        "203.0.113.0/24",
        "224.0.0.0/4",  # multicast
        "240.0.0.0/4",  # reserved, and broadcast
    )
)
_GLOBAL_6 = IPv6Network("2000::/3")  # all that was ever given out as global unicast
_NOT_GLOBAL_6 = tuple(
    IPv6Network(each)
    for each in (
        "2001::/23",  # protocol assignments: Teredo, ORCHID, benchmarks
        "2001:db8::/32",  # documentation
        "3fff::/20",
    )
)
_MAPPED = IPv6Network("::ffff:0:0/96")
_NAT64 = IPv6Network("64:ff9b::/96")  # RFC 6052: how an IPv6-only network reaches every IPv4 site
_6TO4 = IPv6Network("2002::/16")

_LAST_LABEL_IS_NUMBER = re.compile(r"(?:^|\.)(?:[0-9]+|0[xX][0-9a-fA-F]*)\.?$")
_PLAIN_LOOPBACK = re.compile(r"localhost|127(?:\.(?:0|[1-9][0-9]{0,2})){3}|::1")
_DEFAULT_PORTS = {"http": 80, "https": 443}


@dataclass(frozen=True, slots=True)
class Guard:
    """The policy for every connection to a publisher; `allow` names networks of the operator's own."""

    allow: tuple[Network, ...] = ()

    @classmethod
    def of(cls, networks: Iterable[str]) -> Self:
        """Makes the policy from addresses and networks as they are written in the settings."""
        return cls(tuple(ip_network(each) for each in networks))

    def admits(self, address: str) -> bool:
        """Whether a numeric address, as a socket takes it, may be connected to; what cannot be read may not."""
        found = _read(address)
        if found is None:
            return False
        return is_global(found) or any(
            each in network
            for each in (found, meaning(found))
            for network in self.allow
            if network.version == each.version
        )

    def admits_by_word(self, host: str) -> bool:
        """Whether a URL's host may be asked for through a proxy, which resolves it out of our sight."""
        if ":" in host or _LAST_LABEL_IS_NUMBER.search(host):
            return self.admits(host)
        name = host.rstrip(".").lower()
        return name != "localhost" and not name.endswith((".localhost", ".local", ".internal"))


def is_global(address: Address) -> bool:
    """Whether an address is one of the public internet, behind whatever form it is written in."""
    address = meaning(address)
    if isinstance(address, IPv4Address):
        return not any(address in network for network in _NOT_GLOBAL_4)
    return address in _GLOBAL_6 and not any(address in network for network in _NOT_GLOBAL_6)


def is_loopback(address: str) -> bool:
    """Whether a numeric address, as a socket takes it, is this machine's own, and written as such."""
    found = _read(address)
    return found is not None and found.is_loopback and meaning(found) == found


def meaning(address: Address) -> Address:
    """Gives the IPv4 address that an IPv6 address leads to (mapped, NAT64, 6to4), or the address itself.

    The forms that lead nowhere today (compatible, translated, Teredo, local NAT64) need no reading: they are
    outside of what counts as global.
    """
    if not isinstance(address, IPv6Address):
        return address
    if address in _MAPPED or address in _NAT64:
        return IPv4Address(int(address) & 0xFFFFFFFF)
    if address in _6TO4:
        return IPv4Address(int(address) >> 80 & 0xFFFFFFFF)
    return address


def own_port(url: str) -> int | None:
    """Gives the port of a URL that names this machine in plain words, and None for every other.

    Plain are `localhost`, four numbers from 127 on, and `[::1]`: who writes that means it.
    """
    try:
        parts = urlsplit(url)
        if parts.hostname is None or not _PLAIN_LOOPBACK.fullmatch(parts.hostname):
            return None
        return parts.port or _DEFAULT_PORTS.get(parts.scheme)
    except ValueError:
        return None


def is_oddly_numeric(host: str) -> bool:
    """Whether a host is an IPv4 address in disguise: one number, octal, hexadecimal, or too few parts."""
    if ":" in host or not _LAST_LABEL_IS_NUMBER.search(host):
        return False
    try:
        IPv4Address(host)
    except ValueError:
        return True
    return False


def _read(address: str) -> Address | None:
    try:
        found = ip_address(address)
    except ValueError:
        return None
    # A zone (RFC 4007) names an interface of this machine: no address with one is global.
    return None if isinstance(found, IPv6Address) and found.scope_id else found
