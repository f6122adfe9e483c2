"""The kinds of values a setting can have, each with its check and with what to write instead."""

import ipaddress
import math
import re
from datetime import timedelta
from pathlib import Path
from typing import Annotated
from urllib.parse import urlsplit

from pydantic import AfterValidator, BeforeValidator, Field, SecretStr, ValidationInfo
from pydantic_core import PydanticCustomError
from sqlalchemy.engine import make_url
from sqlalchemy.exc import ArgumentError

from alerts.audience.addresses import normalise
from alerts.audience.zones import is_zone
from alerts.errors import ConfigError, Refused
from alerts.mail import dkim
from alerts.settings.secret import SECRET_LENGTH
from alerts.settings.words import OWN_ERROR, Advice

_UNITS = {"": 1, "s": 1, "m": 60, "h": 3600, "d": 86400}
_DURATION = re.compile(r"(\d+(?:\.\d+)?)\s*([smhd]?)")
_MOST_SECONDS = 10**9  # beyond it timedelta would overflow; every setting's own limit is far below


def _duration(value: object) -> timedelta:
    """Reads seconds, or a number with its unit: `90`, `"90s"`, `"5m"`, `"2h"`, `"1d"`."""
    if isinstance(value, timedelta):
        return value
    if isinstance(value, str) and (match := _DURATION.fullmatch(value.strip())):
        value = float(match[1]) * _UNITS[match[2]]
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        raise ValueError("no duration")
    return timedelta(seconds=max(min(value, _MOST_SECONDS), -_MOST_SECONDS))


def _address(value: str) -> str:
    try:
        return normalise(value).address
    except Refused as error:
        advice = "write an e-mail address: {reason}"
        raise PydanticCustomError(OWN_ERROR, advice, {"reason": str(error)}) from None


def _address_or_none(value: str) -> str:
    return _address(value) if value else value


def _web_address(value: str) -> str:
    parts = urlsplit(value)
    if parts.scheme not in ("http", "https") or not parts.hostname or parts.port == 0:
        raise ValueError("no web address")
    if re.search(r"[\s\x00-\x1f]", value):
        raise ValueError("blanks in a web address")
    return value


def _web_address_or_none(value: str) -> str:
    return _web_address(value) if value else value


def _network(value: str) -> str:
    """Checks an address or a network with its mask; bits behind the mask are a slip."""
    ipaddress.ip_network(value)
    return value


def _zone(value: str) -> str:
    if not is_zone(value):
        raise ValueError("no zone")
    return value


def _base_url(value: str) -> str:
    _web_address(value)
    if value.endswith("/"):
        raise PydanticCustomError(OWN_ERROR, "write it without the slash at the end")
    if "?" in value or "#" in value:
        raise ValueError("links are made by adding a path")
    return value


def _database_url(value: SecretStr, info: ValidationInfo) -> SecretStr:
    try:
        url = make_url(value.get_secret_value())
    except ArgumentError:
        raise ValueError("no database URL") from None
    if url.get_backend_name() not in ("sqlite", "postgresql") or not url.database:
        raise ValueError("no database of ours")
    if url.get_backend_name() == "sqlite":
        url = url.set(database=str(_anchored(Path(url.database), info)))
    return SecretStr(url.render_as_string(hide_password=False))


def _anchored(value: Path, info: ValidationInfo) -> Path:
    """Makes a path start at the configuration's folder, when it is read from one."""
    return info.context["folder"] / value if info.context else value


def _long_enough(value: SecretStr) -> SecretStr:
    if 0 < len(value.get_secret_value()) < SECRET_LENGTH:
        raise ValueError("too short")
    return value


def _dkim_key(value: SecretStr) -> SecretStr:
    if pem := value.get_secret_value():
        try:
            dkim.load_key(pem.encode())
        except ConfigError as error:
            raise PydanticCustomError(OWN_ERROR, "{reason}", {"reason": str(error)}) from None
    return value


def _not_empty(value: object) -> object:
    if value == "":
        raise ValueError("empty")
    return value


def _between(least: timedelta, most: timedelta) -> tuple[object, object]:
    return BeforeValidator(_duration), Field(ge=least, le=most)


_WEB = "write an address that starts with https:// or http://"
_ONE_LINE = Advice("write one line of text in quotes")

Pause = Annotated[timedelta, *_between(timedelta(0), timedelta(days=1))]
Timeout = Annotated[timedelta, *_between(timedelta(seconds=1), timedelta(days=1))]
Lease = Annotated[timedelta, *_between(timedelta(seconds=5), timedelta(hours=1))]
LongTime = Annotated[timedelta, *_between(timedelta(seconds=1), timedelta(days=3650))]
Name = Annotated[
    str,
    Field(pattern=r"^[a-z0-9][a-z0-9-]{0,62}$"),
    Advice("write lower-case letters, digits and hyphens, at most 63"),
]
Text = Annotated[str, Field(min_length=1, pattern=r"^[^\x00-\x1f\x7f]*$"), _ONE_LINE]
Line = Annotated[str, Field(pattern=r"^[^\x00-\x1f\x7f]*$"), _ONE_LINE]
Host = Annotated[str, Field(pattern=r"^[^\s/@]+$"), Advice('write a host name: "smtp.example.org"')]
HostOrNone = Annotated[str, Field(pattern=r"^[^\s/@]*$"), Advice('write a host name: "news.example.org"')]
Language = Annotated[
    str, Field(pattern=r"^[a-z]{2,3}(-[A-Za-z0-9]{2,8})*$"), Advice('write a language tag: "en"')
]
Domain = Annotated[
    str,
    Field(pattern=r"^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?(\.[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?)*$"),
    Advice('write lower case, a domain in quotes: "mail.example", an international one as "xn--..."'),
]
WebAddress = Annotated[str, AfterValidator(_web_address), Advice(_WEB)]
WebAddressOrNone = Annotated[str, AfterValidator(_web_address_or_none), Advice(_WEB)]
Network = Annotated[
    str, AfterValidator(_network), Advice('write an address or a network: "10.1.0.0/16", "127.0.0.1"')
]
Zone = Annotated[
    str, AfterValidator(_zone), Advice('write an IANA name of a place, such as "Europe/Berlin", or "UTC"')
]
BaseUrl = Annotated[str, AfterValidator(_base_url), Advice(f"{_WEB}, with no slash or query at the end")]
EmailAddress = Annotated[str, AfterValidator(_address)]
EmailAddressOrNone = Annotated[str, AfterValidator(_address_or_none)]
_LABEL = "[A-Za-z0-9]([A-Za-z0-9-]{0,61}[A-Za-z0-9])?"
DomainOrNone = Annotated[
    str,
    Field(pattern=rf"^({_LABEL}(\.{_LABEL})+)?$"),
    AfterValidator(str.lower),
    Advice('write a domain: "example.org", an international one as "xn--..."'),
]
DkimKey = Annotated[SecretStr, AfterValidator(_dkim_key)]
File = Annotated[
    Path, BeforeValidator(_not_empty), AfterValidator(_anchored), Advice("write a path in quotes")
]
Secret = Annotated[
    SecretStr, AfterValidator(_long_enough), Advice(f"write {SECRET_LENGTH} characters or more")
]
DatabaseUrl = Annotated[
    SecretStr,
    AfterValidator(_database_url),
    Advice('write "sqlite:///state/alerts.db" or "postgresql://user:password@host/database"'),
]
