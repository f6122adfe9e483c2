"""smtplib with threads, each on a connection of its own. Ways: `message` (an EmailMessage per reader), `bytes`."""

import smtplib
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial

from bench.peers.given import Given, Person, bytes_maker, given, measured, message

Send = Callable[[smtplib.SMTP, Person], object]


def main() -> None:
    told = given()
    one = _with_message if told.way == "message" else _with_bytes(told)
    clients = threading.local()

    def connect() -> None:
        clients.smtp = smtplib.SMTP("127.0.0.1", told.port, timeout=60)

    with ThreadPoolExecutor(told.connections, initializer=connect) as threads:

        def send(people: Sequence[Person]) -> None:
            for _ in threads.map(lambda person: one(clients.smtp, told, person), people, chunksize=1):
                pass

        measured(send, told)


def _with_message(smtp: smtplib.SMTP, told: Given, person: Person) -> None:
    smtp.send_message(message(told.load, person), told.load["sender"], [person[0]])


def _with_bytes(told: Given) -> Callable[[smtplib.SMTP, Given, Person], None]:
    make = bytes_maker(told.load)
    return partial(_send_bytes, make)


def _send_bytes(make: Callable[[Person], bytes], smtp: smtplib.SMTP, told: Given, person: Person) -> None:
    smtp.sendmail(told.load["sender"], [person[0]], make(person))


if __name__ == "__main__":
    main()
