"""What an address looks like to who knows a few names: a slip of the keyboard, a role, a mailbox to throw away.

Pure, and none of it is certain: a slip is only ever asked about.
"""

from collections.abc import Iterable

# Where most readers of most sites have their mailbox.
_PROVIDERS = (
    "gmail.com",
    "googlemail.com",
    "hotmail.com",
    "hotmail.co.uk",
    "hotmail.de",
    "hotmail.fr",
    "outlook.com",
    "outlook.de",
    "live.com",
    "yahoo.com",
    "yahoo.co.uk",
    "yahoo.de",
    "yahoo.fr",
    "icloud.com",
    "aol.com",
    "gmx.de",
    "gmx.net",
    "gmx.at",
    "web.de",
    "t-online.de",
    "freenet.de",
    "proton.me",
    "protonmail.com",
    "btinternet.com",
    "orange.fr",
    "wanadoo.fr",
    "laposte.net",
    "libero.it",
    "comcast.net",
    "verizon.net",
    "bluewin.ch",
    "mailbox.org",
    "posteo.de",
)
# Near one of them, and real.
_NEIGHBOURS = frozenset(
    {"mail.com", "email.com", "ymail.com", "hotmail.co", "gmx.fr", "gmx.ch", "gmx.com", "yahoo.co", "live.co"}
    | {"yahoo.dk", "yahoo.fi", "hotmail.dk", "outlook.dk", "life.com", "love.com", "aon.com", "gmx.it"}
)
_SLIPS_OF_COM = frozenset({"con", "cmo", "ocm", "vom", "xom", "comm", "coom", "cpm", "cim"})

# RFC 2142, and what is read by nobody.
_ROLES = frozenset(
    {
        "abuse",
        "admin",
        "administrator",
        "billing",
        "bounce",
        "bounces",
        "daemon",
        "devnull",
        "dns",
        "do-not-reply",
        "donotreply",
        "ftp",
        "hostmaster",
        "mailer-daemon",
        "majordomo",
        "marketing",
        "news",
        "no-reply",
        "nobody",
        "noc",
        "noreply",
        "null",
        "postmaster",
        "root",
        "sales",
        "security",
        "spam",
        "support",
        "sysadmin",
        "trouble",
        "unsubscribe",
        "usenet",
        "uucp",
        "webmaster",
        "www",
    }
)

# Mailboxes for ten minutes, the best known; a site may have a longer list.
DISPOSABLE = frozenset(
    {
        "10minutemail.com",
        "discard.email",
        "dispostable.com",
        "emailondeck.com",
        "fakeinbox.com",
        "getnada.com",
        "guerrillamail.com",
        "guerrillamail.net",
        "mailcatch.com",
        "maildrop.cc",
        "mailinator.com",
        "mailnesia.com",
        "mintemail.com",
        "mohmal.com",
        "mytemp.email",
        "sharklasers.com",
        "spamgourmet.com",
        "temp-mail.org",
        "tempmail.dev",
        "tempr.email",
        "throwawaymail.com",
        "trashmail.com",
        "trash-mail.com",
        "wegwerfmail.de",
        "yopmail.com",
    }
)


def suggestion(address: str) -> str | None:
    """Gives the address that may have been meant, when the domain is one slip away from a large provider's."""
    local, _, domain = address.rpartition("@")
    domain = domain.lower()
    if domain in _PROVIDERS or domain in _NEIGHBOURS:
        return None
    for provider in _PROVIDERS:
        if _is_one_slip(domain, provider):
            return f"{local}@{provider}"
    name, _, last = domain.rpartition(".")
    return f"{local}@{name}.com" if last in _SLIPS_OF_COM else None


def is_role(address: str) -> bool:
    """Whether an address stands for an office, or for nobody, rather than for a person."""
    return address.rpartition("@")[0].partition("+")[0].lower() in _ROLES


def is_disposable(address: str, domains: Iterable[str] = DISPOSABLE) -> bool:
    """Whether an address is at one of these domains, or below one."""
    domain = address.rpartition("@")[2].lower()
    labels = domain.split(".")
    known = domains if isinstance(domains, frozenset) else frozenset(domains)
    return any(".".join(labels[start:]) in known for start in range(len(labels) - 1))


def domains_in(text: str) -> frozenset[str]:
    """Reads a list of domains: one a line, and what follows a # is a remark."""
    lines = (line.partition("#")[0].strip().lower() for line in text.splitlines())
    return frozenset(filter(None, lines))


def _is_one_slip(one: str, other: str) -> bool:
    """Whether one letter is missing, too many, another, or changed places with its neighbour (Damerau)."""
    if abs(len(one) - len(other)) > 1 or one == other:
        return False
    shorter, longer = sorted((one, other), key=len)
    at = next((index for index, letter in enumerate(shorter) if letter != longer[index]), len(shorter))
    if len(shorter) < len(longer):
        return shorter[at:] == longer[at + 1 :]
    is_swapped = shorter[at : at + 2] == longer[at : at + 2][::-1] and shorter[at + 2 :] == longer[at + 2 :]
    return is_swapped or shorter[at + 1 :] == longer[at + 1 :]
