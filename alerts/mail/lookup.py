"""Asks DNS what it holds: the system's resolver, or one server."""

from collections.abc import Sequence
from urllib.parse import urlsplit

import dns.exception
import dns.resolver
from dns.rdatatype import TXT

from alerts.errors import Refused, Unavailable

_SECONDS = 5.0
_PORT = 53


def texts(name: str, server: str = "") -> Sequence[str]:
    """Gives the TXT records at `name`, the strings of each joined; none when there are none.

    `server` is an IP address, with a port if it is another than 53. Waits five seconds at most, then raises
    Unavailable; raises Refused when `server` is no address.
    """
    try:
        answer = _resolver(server).resolve(name, TXT, search=False, lifetime=_SECONDS)
    except (dns.resolver.NXDOMAIN, dns.resolver.NoAnswer):
        return ()
    except dns.exception.DNSException as error:
        raise Unavailable(
            f"DNS gave no answer for {name} ({type(error).__name__}): try again, or ask another with --server."
        ) from None
    return tuple(b"".join(record.strings).decode("utf-8", "replace") for record in answer)


def _resolver(server: str) -> dns.resolver.Resolver:
    if not server:
        return dns.resolver.Resolver()
    resolver = dns.resolver.Resolver(configure=False)
    try:
        parts = urlsplit(f"//{server}")
        resolver.nameservers = [parts.hostname or ""]
        resolver.port = parts.port or _PORT
    except ValueError:
        raise Refused("A DNS server is an IP address: --server 192.0.2.53, or 192.0.2.53:5353.") from None
    return resolver
