"""What an operator can set: one frozen value, read from config.toml, the environment and secret files.

The line under each setting is its documentation: config.toml and docs/reference/config.md repeat it, and a
test holds them together.
"""

import difflib
from collections.abc import Iterator, Mapping, Sequence
from datetime import timedelta
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, SecretStr, ValidationInfo, field_validator
from sqlalchemy.engine import URL, make_url

from alerts import settings
from alerts.audience import hints, tokens
from alerts.dispatch.digests.announcing import Late
from alerts.errors import ConfigError
from alerts.mail import dkim
from alerts.mail.dkim import Signer
from alerts.mail.headers import wire_address
from alerts.mail.views import Archive, SiteView
from alerts.models import InDoubt
from alerts.settings import Problem
from alerts.settings.secret import own_secret
from alerts.settings.values import (
    BaseUrl,
    DatabaseUrl,
    DkimKey,
    Domain,
    DomainOrNone,
    EmailAddress,
    EmailAddressOrNone,
    File,
    Host,
    HostOrNone,
    Language,
    Lease,
    Line,
    LongTime,
    Name,
    Network,
    Pause,
    Secret,
    Text,
    Timeout,
    WebAddress,
    WebAddressOrNone,
    Zone,
)

_TAGGED_NAME = 64 - 1 - tokens.TAG_LENGTH  # RFC 5321, 4.5.3.1.1


class Section(BaseModel):
    """Frozen, and no key that we do not know: a typo must not pass for a default."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)

    @field_validator("*", mode="before")
    @classmethod
    def _true_is_no_number(cls, value: object, info: ValidationInfo) -> object:
        if isinstance(value, bool) and cls.model_fields[str(info.field_name)].annotation is not bool:
            raise ValueError("true and false are for switches")
        return value


class SiteConfig(Section):
    """Who writes to the readers."""

    name: Text = "Live Alerts"
    """The service's name, in mails and on pages."""
    base_url: BaseUrl = "http://localhost:8025"
    """Where readers reach the pages; links in mails start with it. No slash at the end."""
    sender_name: Text = "Live Alerts"
    """The name in From."""
    sender: EmailAddress = "alerts@example.org"
    """The address in From; its domain must be one that your relay may send for."""
    bounce: EmailAddressOrNone = ""
    """The envelope sender, where bounces go; the sender when empty."""
    bounce_tag: Literal["", "+", "-", "="] = ""
    """Put this sign and a tag of the mail behind that sender's name (VERP), if your relay takes them; empty for none."""
    contact: Line = ""
    """A person's address or page, shown in each mail's foot; left out when empty."""
    postal_address: str = ""
    """Your postal address for each mail's foot, which the law of many countries asks for."""
    language: Language = "en"
    """The language of new readers."""
    templates: File | None = None
    """A folder searched before the built-in templates; copy there only what you change."""


class DatabaseConfig(Section):
    """Where everything is kept."""

    url: DatabaseUrl = SecretStr("sqlite:///state/alerts.db")
    """A SQLite file for one daemon, or postgresql://... for many; alerts.db in state_dir when not given."""
    threads: int = Field(default=4, ge=1, le=64)
    """Transactions at once; SQLite has one whatever stands here."""


class TransportConfig(Section):
    """The relay that mail is handed to."""

    host: Host = "localhost"
    """Your SMTP server."""
    hello: HostOrNone = ""
    """The name to greet it with; this machine's full name when empty."""
    port: int = Field(default=25, ge=1, le=65535)
    """Its port: 587 with starttls, 465 with tls, 25 inside your own network."""
    tls: Literal["none", "starttls", "tls"] = "none"
    """How the connection is secured: none, starttls or tls."""
    ca_file: File | None = None
    """Trust the authorities in this PEM file instead of the system's."""
    username: str = ""
    """Log in with this name; no login when empty."""
    password: SecretStr = SecretStr("")
    """Its password; better as password_file, or from ALERTS_TRANSPORT__MAIN__PASSWORD."""
    weight: int = Field(default=1, ge=1, le=1000)
    """With several transports, its share of the mail; one that is out of reach is left out."""
    connections: int = Field(default=10, ge=1, le=500)
    """Connections at once; ask your relay how many it allows."""
    rate: float | None = Field(default=None, gt=0, le=1_000_000)
    """Mails a second at most, from all daemons together; no limit when not given."""
    connect_timeout: Timeout = timedelta(seconds=30)
    """Give up connecting after this long."""
    reply_timeout: Timeout = timedelta(minutes=5)
    """Wait this long for a reply (RFC 5321, 4.5.3.2)."""
    final_timeout: Timeout = timedelta(minutes=10)
    """Wait this long for the reply to a whole mail; shorter makes repeats (RFC 5321, 4.5.3.2.6)."""


class DkimConfig(Section):
    """A key that signs your mails (DKIM), by its selector; several that sign all do. None when the relay signs."""

    key: DkimKey = SecretStr("")
    """The private key in PEM; better as key_file. `alerts dkim keygen` makes one."""
    domain: DomainOrNone = ""
    """The domain that signs, in whose DNS the public key stands; the sender's when empty."""
    sign: bool = True
    """Sign new mails; false for an old key, which stays for mails that are sent again."""


class DestinationConfig(Section):
    """How politely the mailboxes at one domain are served; no limits when it has no section."""

    rate: float | None = Field(default=None, gt=0, le=1_000_000)
    """Mails a second at most, from all daemons and by all transports together."""
    connections: int | None = Field(default=None, ge=1, le=1000)
    """Its mails on the wire at once at most, for each daemon and transport; fewer when it says "slow down"."""


class SendingConfig(Section):
    """How mail is worked off."""

    lease: Lease = timedelta(seconds=30)
    """A worker that is silent for this long loses its batch to another."""
    batch: int = Field(default=2000, ge=1, le=10_000)
    """Readers that are taken in hand at once, at most: no more than the relays take in a second."""
    parallel: int = Field(default=2, ge=1, le=64)
    """Batches in hand at once."""
    signing_threads: int | None = Field(default=None, ge=1, le=64)
    """Threads that sign mails ahead of the wire; one for each core that may be used when not set."""
    retry_first: Timeout = timedelta(seconds=10)
    """Try again after this long when a server says "not now"; doubled each time ..."""
    retry_most: Timeout = timedelta(minutes=10)
    """... up to this."""


class DigestsConfig(Section):
    """What becomes of digests that could not be sent in time, because nothing ran."""

    late: Late = Late.SEND
    """A late digest: send (one over the whole time, and it says that it is late) or skip."""
    late_after: LongTime = timedelta(minutes=30)
    """A digest is late when it could not be begun for this long."""


class WebConfig(Section):
    """The pages behind the links in mails."""

    enabled: bool = True
    """Serve them from this daemon."""
    host: Host = "127.0.0.1"
    """Listen on this address; 0.0.0.0 in a container, behind your proxy."""
    port: int = Field(default=8025, ge=0, le=65535)
    """Listen on this port; 0 takes a free one."""
    archive: Archive = Archive.UNLISTED
    """Let everybody read what was mailed, at /archive: "indexed", "unlisted" (search engines are asked not to show it) or "off"; then the sign-up page shows no last alert, either."""
    proxies: tuple[Network, ...] = ()
    """Networks of your own proxies: only their word counts about who asks (X-Forwarded-For)."""


class SignupConfig(Section):
    """The page on which readers sign up, and the one that sends them the link to their own."""

    enabled: bool = True
    """Serve them, the first at base_url itself."""
    confirm_within: LongTime = timedelta(days=2)
    """Forget a sign-up that is not confirmed within this time."""
    link_works_for: LongTime = timedelta(days=1)
    """The link to their own page that a reader asked for works for this long."""
    zone: Zone = "UTC"
    """The time zone of new readers whose browser does not say, by the IANA name of a place, or UTC."""
    hourly_by_network: int = Field(default=60, ge=1, le=1_000_000)
    """How often an hour one network may ask (of IPv4 a /24, of IPv6 a /64, and a /48 twice as often)."""
    hourly_by_domain: int = Field(default=1000, ge=1, le=1_000_000)
    """How often an hour may be asked for addresses of one domain."""
    hourly_in_all: int = Field(default=5000, ge=1, le=1_000_000)
    """How often an hour may be asked in all."""
    refuse_roles: bool = True
    """Take no addresses of offices, or of nobody, such as postmaster and noreply."""
    refuse_disposable: bool = True
    """Take no addresses of mailboxes that last for minutes ..."""
    disposable_domains: File | None = None
    """... at the domains in this file, one a line; a short list of ours when not given."""


class PollingConfig(Section):
    """How feeds are fetched."""

    user_agent: Text = "alerts/0.1 (+https://example.org/alerts)"
    """How we introduce ourselves to publishers; name a page that says who you are."""
    total_timeout: Timeout = timedelta(seconds=30)
    """Give up a fetch after this long."""
    body_limit: int = Field(default=10_000_000, ge=1_000)
    """Give up a page larger than this many bytes, after decompression."""
    parallel: int = Field(default=16, ge=1, le=256)
    """Feeds fetched at once."""
    allow: tuple[Network, ...] = ()
    """Networks of your own that feeds may be fetched from; other private addresses are refused."""
    proxy: WebAddressOrNone = ""
    """Fetch through this HTTP proxy; the environment's proxies are ignored."""
    host_rate: float | None = Field(default=None, gt=0, le=100)
    """Requests to one host a second, in the long run; 2 when not given, and no limit for this machine."""
    quiet_interval: Timeout = timedelta(minutes=5)
    """Look this often at a feed that has been quiet for two hours, or that nobody follows."""
    ended_interval: Timeout = timedelta(hours=1)
    """Look this often at a live blog whose coverage has ended ..."""
    rest_after: LongTime = timedelta(days=1)
    """... and not at all once it has ended this long ago."""
    readers: int = Field(default=1, ge=1, le=16)
    """Processes that read fetched documents, apart from the daemon."""
    read_timeout: Timeout = timedelta(seconds=10)
    """Give up a document that takes longer than this to read."""
    read_memory: int = Field(default=512_000_000, ge=128_000_000)
    """Give up a document that takes more bytes of memory than this to read."""


class FeedConfig(Section):
    """A live blog to watch, and what the newsroom decided for it."""

    name: Name
    """A short name, for topics and commands."""
    url: WebAddress
    """The page of the live blog, or its RSS, Atom or JSON feed."""
    interval: Timeout = timedelta(seconds=20)
    """Look for news this often."""
    ttl: LongTime = timedelta(hours=1)
    """An entry that was first seen longer ago than this is not mailed any more."""
    hold: Pause = timedelta(0)
    """Wait this long before an entry goes out, so that it can be edited or deleted."""
    approval: bool = False
    """A person releases each alert."""
    in_doubt: InDoubt = InDoubt.RESEND
    """When a server's reply to a mail was lost: resend (once, the same bytes) or hold."""
    flood_limit: int = Field(default=20, ge=1)
    """More new entries than this at once are held until a person has looked."""
    key_words: tuple[Text, ...] = ()
    """An entry with one of these words or phrases counts as a key event."""
    obey_robots: bool = True
    """Keep away from a page that the site's robots.txt keeps robots from."""
    use_push: bool = True
    """Let the feed's hub, if it names one, tell us of news (WebSub); polling goes on behind it."""
    follow_moves: bool = True
    """Follow a live blog that says itself that it continues on another page of its site."""


class TopicConfig(Section):
    """What readers follow: a rule that says which entries belong to it."""

    slug: Name
    """A short name, for commands."""
    title: Text
    """The name readers see."""
    description: str = ""
    """One sentence for readers."""
    feeds: tuple[str, ...] = ()
    """Names of feeds; none means every feed."""
    key_events_only: bool = False
    """Key events only."""
    words_in: tuple[Text, ...] = ()
    """Only entries with one of these words or phrases; none means all."""
    words_out: tuple[Text, ...] = ()
    """No entries with any of these words or phrases."""


class Config(Section):
    """The whole of it; only the front reads it, and passes values down."""

    state_dir: File = Field(default=Path("state"), validate_default=True)
    """The folder for the database file, the sending journals and the generated secret."""
    secret: Secret = SecretStr("")
    """Signs the links in mails; SQLite sites get one made, in state_dir. Better as secret_file."""
    old_secrets: tuple[SecretStr, ...] = ()
    """Secrets the site had before, oldest first; never take one out, or links in old mails die."""
    site: SiteConfig = SiteConfig()
    """Who writes to the readers."""
    database: DatabaseConfig = DatabaseConfig()
    """Where everything is kept."""
    transport: dict[Name, TransportConfig] = Field(default_factory=lambda: {"main": TransportConfig()})
    """The relay that mail is handed to, by its name."""
    dkim: dict[Name, DkimConfig] = Field(default_factory=dict)
    """A key that signs your mails (DKIM), by its selector; several that sign all do. None when the relay signs."""
    destination: dict[Domain, DestinationConfig] = Field(default_factory=dict)
    """How politely the mailboxes at one domain are served; no limits when it has no section."""
    sending: SendingConfig = SendingConfig()
    """How mail is worked off."""
    digests: DigestsConfig = DigestsConfig()
    """What becomes of digests that could not be sent in time, because nothing ran."""
    web: WebConfig = WebConfig()
    """The pages behind the links in mails."""
    signup: SignupConfig = SignupConfig()
    """The page on which readers sign up, and the one that sends them the link to their own."""
    polling: PollingConfig = PollingConfig()
    """How feeds are fetched."""
    feed: tuple[FeedConfig, ...] = ()
    """Live blogs to watch."""
    topic: tuple[TopicConfig, ...] = ()
    """What readers follow."""


def load(path: Path | None, environ: Mapping[str, str]) -> Config:
    """Reads the configuration, the environment over the file; raises ConfigError with a line per mistake.

    Relative paths start at the file's folder, or at the current folder without a file.
    """
    given = settings.gather(Config, path, environ)
    config = settings.validate(Config, given)
    settings.refuse(Config, given, _contradictions(config))
    return config if given.holds(("database", "url")) else _with_database_in_state_dir(config)


def keys(config: Config) -> tokens.Keys:
    """Gives what is derived from the site's secret; a SQLite site without one gets one made, once."""
    secret = config.secret.get_secret_value() or own_secret(config.state_dir / "secret.key")
    return tokens.derive(secret.encode(), [each.get_secret_value().encode() for each in config.old_secrets])


def disposable(config: Config) -> frozenset[str]:
    """Gives the domains whose addresses may not sign up; raises ConfigError when their file cannot be read."""
    signup = config.signup
    if not signup.refuse_disposable:
        return frozenset()
    if signup.disposable_domains is None:
        return hints.DISPOSABLE
    try:
        return hints.domains_in(signup.disposable_domains.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"signup.disposable_domains cannot be read: {error}") from error


def sender_domain(config: Config) -> str:
    """Gives the domain in From, an international one as A-labels."""
    return wire_address(config.site.sender).rpartition("@")[2].lower()


def site_view(config: Config) -> SiteView:
    """Gives what mails and pages say of the site."""
    site = config.site
    return SiteView(
        name=site.name,
        base_url=site.base_url,
        sender_name=site.sender_name,
        sender=site.sender,
        contact=site.contact,
        postal_address=site.postal_address,
        archive=config.web.archive,
    )


def template_folders(config: Config) -> tuple[Path, ...]:
    """Gives where templates are looked for before the built-in ones."""
    return (config.site.templates,) if config.site.templates else ()


def signers(config: Config) -> tuple[Signer, ...]:
    """Gives the keys that mails are signed with, or were."""
    sender = sender_domain(config)
    return tuple(
        Signer(
            domain=each.domain or sender,
            selector=selector,
            key=dkim.load_key(each.key.get_secret_value().encode()),
            is_active=each.sign,
        )
        for selector, each in config.dkim.items()
    )


def doubts(config: Config) -> Iterator[str]:
    """Says what is allowed and probably not wanted, a line each."""
    configured = signers(config)
    sender = sender_domain(config)
    for each in configured:
        if each.is_rsa and each.bits < dkim.ADVISED_BITS:
            yield (
                f"dkim.{each.selector}: the key has {each.bits} bits, which some receivers do not count: "
                f"make one of {dkim.ADVISED_BITS} with `alerts dkim keygen`"
            )
        if dkim.is_aligned(each.domain, sender) is None:
            yield (
                f"dkim.{each.selector}: DMARC counts a signature of {each.domain} for From at {sender} only if both "
                f"belong to one registered domain: sign as {sender} to be sure"
            )
    if configured and not any(each.is_active and each.is_rsa for each in configured):
        yield "dkim: no RSA key signs, and large receivers verify no other: add one, Ed25519 can stand beside it"


def shown(config: Config) -> dict[str, Any]:
    """Gives the configuration as plain values, in which each secret is `(set)` or `(not set)`."""
    plain: dict[str, Any] = _plain(config)
    url = make_url(config.database.url.get_secret_value())
    # A password may also stand in the query.
    plain["database"]["url"] = url.set(query={}).render_as_string(hide_password=True)
    return plain


def _plain(value: object) -> Any:
    match value:
        case BaseModel():
            return {name: _plain(getattr(value, name)) for name in type(value).model_fields}
        case dict():
            return {key: _plain(each) for key, each in value.items()}
        case tuple():
            return [_plain(each) for each in value]
        case SecretStr():
            return "(set)" if value.get_secret_value() else "(not set)"
        case timedelta():
            return value.total_seconds()
    return str(value) if isinstance(value, Path) else value


def _with_database_in_state_dir(config: Config) -> Config:
    url = URL.create("sqlite", database=str(config.state_dir / "alerts.db"))
    database = config.database.model_copy(update={"url": SecretStr(url.render_as_string())})
    return config.model_copy(update={"database": database})


def _contradictions(config: Config) -> Iterator[Problem]:
    """Finds settings that are right alone and wrong together."""
    if not config.transport:
        yield Problem(("transport",), "write at least one transport, as [transport.main] with its host")
    yield from _duplicates("feed", "name", [each.name for each in config.feed])
    yield from _duplicates("feed", "url", [each.url for each in config.feed])
    yield from _duplicates("topic", "slug", [each.slug for each in config.topic])
    yield from _unknown_feeds(config)
    yield from _useless_signatures(config)
    name = (config.site.bounce or config.site.sender).rpartition("@")[0]
    if config.site.bounce_tag and len(name) > _TAGGED_NAME:
        advice = f"leaves no room for a tag: write a name of at most {_TAGGED_NAME} characters"
        yield Problem(("site", "bounce"), advice)
    url = make_url(config.database.url.get_secret_value())
    if url.get_backend_name() == "postgresql" and not config.secret.get_secret_value():
        advice = (
            "must be set, as all processes on PostgreSQL share it: make a file with "
            "`openssl rand -hex 32` and write its path as secret_file, or in ALERTS_SECRET_FILE"
        )
        yield Problem(("secret",), advice)


def _useless_signatures(config: Config) -> Iterator[Problem]:
    """Finds keys that are missing, and domains that DMARC does not count."""
    sender = sender_domain(config)
    for selector, each in config.dkim.items():
        if not each.key.get_secret_value():
            advice = "must be given: make one with `alerts dkim keygen`, and write its path as key_file"
            yield Problem(("dkim", selector, "key"), advice)
        if dkim.is_aligned(each.domain or sender, sender) is False:
            advice = (
                f"From is at {sender}, and DMARC counts no signature of another domain: "
                "leave it out, or write the sender's domain, or one above or below it"
            )
            yield Problem(("dkim", selector, "domain"), advice)


def _duplicates(table: str, key: str, values: Sequence[str]) -> Iterator[Problem]:
    for index, value in enumerate(values):
        if value in values[:index]:
            yield Problem((table, index, key), f"stands here twice: write each {key} once")


def _unknown_feeds(config: Config) -> Iterator[Problem]:
    declared = [feed.name for feed in config.feed]
    for index, topic in enumerate(config.topic):
        for name in topic.feeds:
            if name in declared:
                continue
            close = difflib.get_close_matches(name, declared, n=1)
            guess = (
                f'did you mean "{close[0]}"?' if close else "declare it as a [[feed]], or name none for all"
            )
            yield Problem(("topic", index, "feeds"), f'"{name}" is no declared feed; {guess}')
