"""What goes wrong with a connection, in one line each that says what to do."""

import aiohttp

REFUSED = (
    "The address, or one it leads to, is not on the public internet: "
    "if it is your own, name its network in polling.allow."
)


class NotAdmittedError(OSError):
    """The guard does not let a connection to this address be made."""


class TalkError(aiohttp.ClientPayloadError):
    """The server sends and sends, and next to nothing of it is a body."""


# The first kind that fits speaks: some are kinds of others.
_WORDS: tuple[tuple[type[Exception], str], ...] = (
    (aiohttp.ClientConnectorDNSError, "The host name is not known: check the spelling, or the DNS."),
    (
        aiohttp.ClientSSLError,
        "The server does not speak TLS that is safe today: check the URL and its port, or tell its owner.",
    ),
    (aiohttp.ClientProxyConnectionError, "The proxy cannot be reached: look at polling.proxy."),
    (aiohttp.ClientHttpProxyError, "The proxy refuses us: look at polling.proxy, and at the proxy's rules."),
    (
        aiohttp.ClientConnectorError,
        "The server cannot be reached: it is down, or a firewall stands between.",
    ),
    (
        aiohttp.ConnectionTimeoutError,
        "The server cannot be reached: it is silent. It is down, or a firewall stands between.",
    ),
    (TalkError, "The server sends endless headers instead of a page: it is broken, or means harm."),
    (
        (aiohttp.ClientPayloadError),
        "The server broke off in the middle of the page: a later try may get it whole.",
    ),
    (aiohttp.ServerDisconnectedError, "The server hung up without an answer: a later try may get one."),
    (aiohttp.ClientOSError, "The connection to the server broke: a later try may hold."),
)
# OpenSSL's verify codes (x509_vfy.h).
_UNTRUSTED = {
    9: "it is not valid yet",
    10: "it has expired",
    18: "it is signed by itself",
    19: "its authority is unknown here",
    20: "its authority is unknown here, or a certificate of its chain is missing",
    62: "it is made out to another host",
}


def in_words(error: Exception) -> str:
    """Says what an exception of a connection means."""
    if isinstance(error, aiohttp.ClientConnectorCertificateError):
        code = getattr(error.certificate_error, "verify_code", 0)
        reason = _UNTRUSTED.get(code, f"OpenSSL's verify code {code}")
        return f"The server's TLS certificate is not to be trusted ({reason}): tell its owner."
    if isinstance(error, aiohttp.ClientConnectorError) and isinstance(error.os_error, NotAdmittedError):
        return REFUSED
    found = next((text for kind, text in _WORDS if isinstance(error, kind)), "")
    return found or f"The server answered nonsense ({type(error).__name__}): check the URL in a browser."
