"""alerts dkim: the keys that sign mails, and what DNS must hold for them."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from alerts.commands.context import AsJson, Front, front, say, say_facts, say_json
from alerts.errors import ConfigError, Conflict, Refused, Unavailable

if TYPE_CHECKING:
    from alerts.mail.dkim import PrivateKey, Signer

app = typer.Typer(no_args_is_help=True, help="The keys that sign mails, and what DNS must hold for them.")

_SELECTOR = re.compile(r"[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?")


@app.command()
def keygen(
    context: typer.Context,
    selector: Annotated[
        str, typer.Argument(help="The key's name in DNS, such as 2026a; a new one each time.")
    ],
    out: Annotated[
        Path | None, typer.Option(help="The file for the key; dkim-SELECTOR.pem here when not given.")
    ] = None,
    is_ed25519: Annotated[
        bool, typer.Option("--ed25519", help="Make an Ed25519 key, to sign beside an RSA one.")
    ] = False,
    bits: Annotated[int, typer.Option(min=2048, max=4096, help="The size of an RSA key.")] = 2048,
    domain: Annotated[
        str | None, typer.Option(help="The domain that signs; the configured sender's when not given.")
    ] = None,
) -> None:
    """Make a key file, and print the DNS record that belongs to it; a file that exists is left alone."""
    from alerts.mail.dkim import Signer

    if not _SELECTOR.fullmatch(selector):
        raise Refused(
            "A selector is lower-case letters, digits and hyphens, at most 63: write one like 2026a."
        )
    path = out or Path(f"dkim-{selector}.pem")
    signs_as = domain or _sender_domain(front(context))
    key = _new_key(bits, is_ed25519=is_ed25519)
    _write_once(path, key)
    say(f"Wrote {path}, which only this user can read: it must be the one that runs the daemon.")
    say("")
    _say_record(Signer(signs_as, selector, key))
    say("")
    say("In config.toml, where `sign = false` goes once `alerts dkim check --dns` finds the record:")
    say("")
    say(f"  [dkim.{selector}]")
    say(f'  key_file = "{path.absolute()}"')
    if domain:
        say(f'  domain = "{domain}"')
    say("  sign = false")


@app.command()
def check(
    context: typer.Context,
    is_asked: Annotated[bool, typer.Option("--dns", help="Ask DNS, and compare.")] = False,
    server: Annotated[
        str, typer.Option(help="Ask the DNS server at this IP address instead of the system's.")
    ] = "",
    as_json: AsJson = False,
) -> None:
    """Show the configured keys, and what DNS must hold for them; ends with 1 when DNS was asked and is not right."""
    from alerts.config import doubts, signers

    config = front(context).config()
    configured = signers(config)
    found = {each.name: _state(each, server) for each in configured} if is_asked or server else {}
    if as_json:
        say_json([_plain(each, found.get(each.name)) for each in configured])
    else:
        for each in configured:
            _say_key(each, found.get(each.name))
        if not configured:
            say("No key is configured: mails leave unsigned. Make one with `alerts dkim keygen`.")
        for doubt in doubts(config):
            say(f"But {doubt}.")
    if any(found.values()):
        raise typer.Exit(1)


def _say_key(signer: Signer, fault: str | None) -> None:
    facts: list[tuple[str, object]] = [
        ("key", f"{signer.selector}, {signer.algorithm}, {signer.bits} bits"),
        ("signs", f"new mails, as {signer.domain}" if signer.is_active else "resends only"),
        ("DNS", {None: "not asked", "": "right"}.get(fault, fault)),
    ]
    say_facts(facts)
    say("")
    _say_record(signer)
    say("")


def _say_record(signer: Signer) -> None:
    from alerts.mail import dkim

    say("  In a zone file:")
    say(f"    {dkim.zone_line(signer)}")
    say("  In a web form, as TXT:")
    say(f"    name   {signer.name}")
    say(f"    value  {dkim.record(signer)}")


def _plain(signer: Signer, fault: str | None) -> dict[str, object]:
    from alerts.mail import dkim

    return {
        "selector": signer.selector,
        "domain": signer.domain,
        "algorithm": signer.algorithm,
        "bits": signer.bits,
        "signs": signer.is_active,
        "name": signer.name,
        "record": dkim.record(signer),
        "is_in_dns": None if fault is None else not fault,
        "fault": fault or None,
    }


def _state(signer: Signer, server: str) -> str:
    from alerts.mail import dkim, lookup

    return dkim.fault(signer, lookup.texts(signer.name, server))


def _sender_domain(site: Front) -> str:
    from alerts.config import sender_domain

    try:
        return sender_domain(site.config())
    except ConfigError as error:
        raise ConfigError(f"{error}\nWith --domain no configuration is read.") from None


def _new_key(bits: int, *, is_ed25519: bool) -> PrivateKey:
    from cryptography.hazmat.primitives.asymmetric import ed25519, rsa

    if is_ed25519:
        return ed25519.Ed25519PrivateKey.generate()
    return rsa.generate_private_key(public_exponent=65537, key_size=bits)


def _write_once(path: Path, key: PrivateKey) -> None:
    from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

    pem = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    try:
        handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        with os.fdopen(handle, "wb") as file:
            file.write(pem)
            file.flush()
            os.fsync(file.fileno())
    except FileExistsError:
        raise Conflict(
            f"{path} exists already, and a key is never overwritten: name another file with --out."
        ) from None
    except OSError as error:
        raise Unavailable(
            f"{path} cannot be written ({error.strerror}): name another file with --out."
        ) from None
