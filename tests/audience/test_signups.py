"""Asking to be confirmed, beside others that touch the same sign-up."""

from datetime import timedelta
from typing import Any

import sqlalchemy as sa
from sqlalchemy.exc import OperationalError
from sqlmodel import Session, select

from alerts.audience import signups
from alerts.audience.addresses import normalise
from alerts.audience.consents import Words
from alerts.audience.signups import Wanted
from alerts.audience.tokens import derive
from alerts.db import Database
from alerts.models import SignUp
from build import NOW, a_topic

KEYS = derive(b"a secret of thirty-two characters", [])


def asks(session: Session) -> None:
    words = Words("en", "yes")
    wanted = Wanted(normalise("ana@example.org"), "en", "UTC", {"all": "every"}, words, "sign-up page")
    signups.ask_to_confirm(session, KEYS, wanted, timedelta(days=1), NOW)


def test_a_sign_up_that_vanishes_in_the_middle_is_asked_for_all_the_same(postgres_db: Database) -> None:
    """An erasure, or the sweep, may take the earlier one between two statements of ours."""
    with postgres_db.begin() as session:
        a_topic(session, "all")
        asks(session)

    def erase(*arguments: Any) -> None:
        if not arguments[2].startswith("INSERT INTO sign_up"):
            return
        try:
            with postgres_db.begin() as other:
                other.connection().exec_driver_sql("SET LOCAL lock_timeout = '100ms'")
                other.connection().exec_driver_sql("DELETE FROM sign_up")
        except OperationalError:
            pass  # it has to wait for us

    with postgres_db.begin() as session:
        sa.event.listen(session.connection(), "after_cursor_execute", erase)
        asks(session)
    with postgres_db.begin() as session:
        assert session.exec(select(SignUp.address)).all() == ["ana@example.org"]
