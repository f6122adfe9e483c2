"""The demo's site: its configuration, and the readers signed up with what they choose."""

from datetime import UTC, datetime, timedelta
from pathlib import Path

from pydantic import SecretStr
from sqlmodel import Session

from alerts import schema
from alerts.audience import subscribers
from alerts.audience.addresses import normalise
from alerts.config import (
    Config,
    DatabaseConfig,
    FeedConfig,
    PollingConfig,
    SiteConfig,
    TopicConfig,
    TransportConfig,
    WebConfig,
    keys,
)
from alerts.db import Database
from alerts.declared import declare
from alerts.demo.loopback import HOST
from alerts.demo.script import READERS, STORY, TRAVEL, TRAVEL_WORDS
from alerts.demo.story import EVERYTHING
from alerts.models import Frequency

POLLER = "alerts-demo/1"
_SENDER = "live@courier.example"
_BY = "demo"


def configuration(*, folder: Path, page_url: str, smtp_port: int, web_port: int) -> Config:
    """Gives what an operator would write into config.toml, for a site in `folder`."""
    return Config(
        state_dir=folder,
        site=SiteConfig(
            name="Quillhaven Live",
            base_url=f"http://{HOST}:{web_port}",
            sender_name=STORY.publisher,
            sender=_SENDER,
            contact=_SENDER,
            postal_address="The Quillhaven Courier, 4 Quay Street, Quillhaven",
        ),
        database=DatabaseConfig(url=SecretStr(f"sqlite:///{folder / 'alerts.db'}")),
        transport={"inbox": TransportConfig(host=HOST, port=smtp_port, connections=3)},
        web=WebConfig(host=HOST, port=web_port),
        polling=PollingConfig(user_agent=f"{POLLER} (+http://{HOST}:{web_port})"),
        feed=(FeedConfig(name="storm-odile", url=page_url, interval=timedelta(seconds=1)),),
        topic=(
            TopicConfig(slug=EVERYTHING, title="Everything on Storm Odile"),
            TopicConfig(slug=TRAVEL, title="Getting about", words_in=TRAVEL_WORDS),
        ),
    )


def furnish(config: Config) -> None:
    """Makes the database, applies the configuration, and signs the readers up."""
    database = Database(config.database.url.get_secret_value())
    try:
        schema.prepare(database)
        now = datetime.now(UTC)
        with database.begin() as session:
            declare(session, config, now)
            _sign_up(session, keys(config).pepper, now)
    finally:
        database.close()


def _sign_up(session: Session, pepper: bytes, now: datetime) -> None:
    for reader in READERS:
        number = subscribers.add(session, pepper, normalise(reader.address), by=_BY, now=now)
        for choice in reader.follows:
            frequency = Frequency.FLASH if choice.key_events_only else Frequency.EVERY
            subscribers.follow(session, number, choice.topic, frequency, by=_BY, now=now)
