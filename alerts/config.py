"""What an operator can set: one frozen value, read from config.toml, the environment and secret files."""

from datetime import timedelta
from pathlib import Path
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, SecretStr

from alerts.models import InDoubt

Seconds = Annotated[timedelta, Field(ge=timedelta(0))]
Name = Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9-]{0,62}$")]


class Section(BaseModel):
    """Frozen, and no key that we do not know: a typo must not pass for a default."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class SiteConfig(Section):
    name: str = "Live Alerts"
    base_url: str = "http://localhost:8025"  # where readers reach the pages, no slash at the end
    sender_name: str = "Live Alerts"
    sender: str = "alerts@example.org"
    bounce: str = ""  # envelope sender; the sender's address when empty
    contact: str = ""  # a person's address or page, shown in each mail's foot when set
    postal_address: str = ""
    language: str = "en"
    templates: Path | None = None  # a folder searched before the built-in templates


class DatabaseConfig(Section):
    url: SecretStr = SecretStr("sqlite:///state/alerts.db")
    threads: int = Field(default=4, ge=1, le=64)


class TransportConfig(Section):
    host: str = "localhost"
    port: int = Field(default=25, ge=1, le=65535)
    tls: Literal["none", "starttls", "tls"] = "none"
    ca_file: Path | None = None  # trust these authorities instead of the system's
    username: str = ""
    password: SecretStr = SecretStr("")
    connections: int = Field(default=10, ge=1, le=500)
    connect_timeout: Seconds = timedelta(seconds=30)
    reply_timeout: Seconds = timedelta(minutes=5)  # RFC 5321 4.5.3.2
    final_timeout: Seconds = timedelta(minutes=10)  # RFC 5321 4.5.3.2.6: a short one makes duplicates


class SendingConfig(Section):
    lease: Seconds = timedelta(seconds=30)
    batch: int = Field(default=500, ge=1, le=10_000)
    parallel: int = Field(default=2, ge=1, le=64)  # batches in hand at once
    retry_first: Seconds = timedelta(minutes=1)
    retry_most: Seconds = timedelta(minutes=30)


class WebConfig(Section):
    enabled: bool = True
    host: str = "127.0.0.1"
    port: int = Field(default=8025, ge=0, le=65535)


class PollingConfig(Section):
    user_agent: str = "alerts/0.1 (+https://example.org/alerts)"
    total_timeout: Seconds = timedelta(seconds=30)
    body_limit: int = Field(default=10_000_000, ge=1_000)  # bytes, after decompression
    parallel: int = Field(default=16, ge=1, le=256)


class FeedConfig(Section):
    name: Name
    url: str
    interval: Seconds = timedelta(seconds=20)
    ttl: Seconds = timedelta(hours=1)
    hold: Seconds = timedelta(0)
    approval: bool = False
    in_doubt: InDoubt = InDoubt.RESEND
    flood_limit: int = Field(default=20, ge=1)
    key_words: tuple[str, ...] = ()


class TopicConfig(Section):
    slug: Name
    title: str
    description: str = ""
    feeds: tuple[str, ...] = ()  # names; none means every feed
    key_events_only: bool = False
    words_in: tuple[str, ...] = ()
    words_out: tuple[str, ...] = ()


class Config(Section):
    """The whole of it; only the front reads it, and passes values down."""

    state_dir: Path = Path("state")  # journals, the generated secret
    secret: SecretStr | None = None  # generated beside a SQLite database when not given
    secret_file: Path | None = None
    site: SiteConfig = SiteConfig()
    database: DatabaseConfig = DatabaseConfig()
    transport: dict[Name, TransportConfig] = Field(default_factory=lambda: {"main": TransportConfig()})
    sending: SendingConfig = SendingConfig()
    web: WebConfig = WebConfig()
    polling: PollingConfig = PollingConfig()
    feed: tuple[FeedConfig, ...] = ()
    topic: tuple[TopicConfig, ...] = ()
