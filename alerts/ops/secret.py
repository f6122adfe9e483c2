"""Which secret a site was made with."""

import hmac

from sqlmodel import Session

from alerts import db
from alerts.audience.tokens import Keys
from alerts.errors import ConfigError
from alerts.models import Site, SiteFact


def check_secret(session: Session, keys: Keys) -> None:
    """Refuses a secret that is not the one the site was made with: its Message-IDs would all change."""
    mark = hmac.digest(keys.message_id, b"site", "sha256").hex()
    db.lock_name(session, SiteFact.SECRET)  # daemons that start together on a new site
    known = session.get(Site, SiteFact.SECRET)
    if known is None:
        session.add(Site(name=SiteFact.SECRET, value=mark))
    elif known.value != mark:
        raise ConfigError(
            "The secret is not the one this database was made with. Put the first one back: as `secret`, "
            "or first in `old_secrets` when you want a new one."
        )
