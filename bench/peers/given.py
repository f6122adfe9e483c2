"""What each client in Python is told, its readers, and the two ways to make a mail that people use."""

import argparse
import base64
import json
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from email.message import EmailMessage
from email.utils import format_datetime
from pathlib import Path
from typing import Any

Person = tuple[str, str, str]  # address, Message-ID, token


@dataclass(frozen=True, slots=True)
class Given:
    """The words that all clients share, and how many mails to send over how many connections."""

    load: dict[str, Any]
    port: int
    connections: int
    way: str
    warm: Sequence[Person]  # sent first, and not measured
    readers: Sequence[Person]


def given() -> Given:
    parser = argparse.ArgumentParser()
    parser.add_argument("load", type=Path)
    parser.add_argument("readers", type=Path)
    for name in ("port", "connections", "count", "warm"):
        parser.add_argument(name, type=int)
    parser.add_argument("way")
    said = parser.parse_args()
    people: list[Person] = [
        (address, message_id, token)
        for address, message_id, token in map(str.split, said.readers.read_text().splitlines())
    ]
    load = json.loads(said.load.read_text())
    measured = people[said.warm : said.warm + said.count]
    return Given(load, said.port, said.connections, said.way, people[: said.warm], measured)


def message(load: dict[str, Any], person: Person) -> EmailMessage:
    """Gives the mail as Python's documentation has it made."""
    address, message_id, token = person
    mail = EmailMessage()
    mail["From"] = load["from"]
    mail["To"] = address
    mail["Subject"] = load["subject"]
    mail["Date"] = format_datetime(datetime.fromisoformat(load["date"]))
    mail["Message-ID"] = f"<{message_id}@{load['domain']}>"
    mail["List-Unsubscribe"] = f"<{load['link']}{token}>"
    for name, value in load["headers"].items():
        mail[name] = value
    mail.set_content(load["text"].replace(load["hole"], token), cte="quoted-printable")
    mail.add_alternative(load["html"].replace(load["hole"], token), subtype="html", cte="quoted-printable")
    return mail


def bytes_maker(load: dict[str, Any]) -> Callable[[Person], bytes]:
    """Gives a function that joins ready-made bytes."""
    first, second, third, fourth, *body = (base64.b64decode(each) for each in load["segments"])

    def make(person: Person) -> bytes:
        address, message_id, token = (each.encode("ascii") for each in person)
        return b"".join((first, address, second, message_id, third, token, fourth, token.join(body)))

    return make


def measured(send: Callable[[Sequence[Person]], None], told: Given) -> None:
    """Sends to those that warm up, then to the others, and prints what the others took."""
    send(told.warm)
    began, used = time.perf_counter(), time.process_time()
    send(told.readers)
    seconds, cpu = time.perf_counter() - began, time.process_time() - used
    print(json.dumps({"mails": len(told.readers), "seconds": seconds, "cpu": cpu}))
