"""Who asks, as far as limits and refusals need it: the network, and whether another site sent the form. Pure."""

import ipaddress
from collections.abc import Mapping
from urllib.parse import urlsplit

# What one household or office has, and so what one visitor can change at will; of IPv6 also the largest that is handed
# to anybody who asks (RFC 6177).
_BITS = {4: (24,), 6: (64, 48)}
_PORTS = {"http": 80, "https": 443}
_UNKNOWN = "unknown"


def networks_of(host: str) -> tuple[str, ...]:
    """Gives the networks of an address, the narrowest first: of IPv4 the /24, of IPv6 the /64 and the /48.

    All that is no address is one network.
    """
    try:
        address = ipaddress.ip_address(host.partition("%")[0])  # without the zone of a link-local one
    except ValueError:
        return (_UNKNOWN,)
    if isinstance(address, ipaddress.IPv6Address) and address.ipv4_mapped is not None:
        address = address.ipv4_mapped
    bits = _BITS[address.version]
    return tuple(str(ipaddress.ip_network(f"{address}/{each}", strict=False)) for each in bits)


def is_from_elsewhere(headers: Mapping[str, str], base_url: str) -> bool:
    """Whether the browser says that a page of another site sent a form.

    Where it knows Sec-Fetch-Site, that alone counts. What it says of the Host is what was asked for, not where we are.
    """
    site = headers.get("sec-fetch-site")
    if site is not None:
        return site == "cross-site"
    origin = headers.get("origin")
    return origin is not None and origin != _origin(base_url)


def _origin(base_url: str) -> str:
    """Gives an address's origin as browsers write it (RFC 6454, section 6.2)."""
    parts = urlsplit(base_url)
    port = "" if parts.port in (None, _PORTS.get(parts.scheme)) else f":{parts.port}"
    host = f"[{parts.hostname}]" if ":" in (parts.hostname or "") else parts.hostname
    return f"{parts.scheme}://{host}{port}"
