"""What a DKIM signature costs, in one thread and in two, and what dkimpy takes for the same mail.

    .venv/bin/python bench/signing.py

The mail is rendered from an entry by the built-in templates; medians of short rounds are told. Two threads are
compared with one in those rounds alone in which the machine had two cores for us: right before and after,
plain hashing, which needs no interpreter, ran in two threads at once.
"""

import argparse
import hashlib
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import UTC, datetime
from statistics import median
from time import perf_counter, process_time

import dkim as dkimpy
from cryptography.hazmat.primitives.asymmetric import ed25519, padding, rsa
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from alerts.dispatch.compose import site_headers
from alerts.mail.compose import Fillings, compose, eml, fillings
from alerts.mail.compose import prepare as prepared
from alerts.mail.dkim import Signable, Signer, pin, prepare, record, sign
from alerts.mail.render import AlertView, EntryView, Renderer, SiteView

AT = datetime(2026, 11, 1, 8, tzinfo=UTC)
SITE = SiteView("Harbour News", "https://news.example", "Harbour News", "alerts@news.example", "", "")
SENTENCE = "The evening ferry leaves an hour late, and the harbour office says that the gate stays closed. "
SLICE = 5  # mails that a thread is given at once
GOAL = 1.5  # two threads : one
BLOCK = bytes(4_000_000)
TWO_CORES = 1.85  # of plain hashing: processor seconds a second, in two threads


@dataclass(frozen=True, slots=True)
class Round:
    """Seconds a mail: by the clock, of the processor, and by the clock in two threads."""

    one: float
    processor: float
    two: float
    had_two_cores: bool


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--mails", type=int, default=80, help="in each round")
    parser.add_argument("--rounds", type=int, default=60)
    sizes = parser.parse_args()
    rsa_key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    ed25519_key = ed25519.Ed25519PrivateKey.generate()
    signers = {
        "RSA-2048": (Signer("news.example", "2026a", rsa_key),),
        "Ed25519": (Signer("news.example", "2026e", ed25519_key),),
    }
    signers["both"] = (*signers["RSA-2048"], *signers["Ed25519"])
    mails = {name: _signable(each) for name, each in signers.items()}
    readers = [fillings(f"reader{n}@example.org", f"{n:032x}", f"{n:a>43}") for n in range(sizes.mails)]
    for name, mail in mails.items():
        _verify(mail, readers[0], signers[name])
    size = len(_whole(mails["both"], readers[0]))
    print(f"a mail of {size} bytes, {sizes.rounds} rounds of {sizes.mails}")
    print(
        "           us a mail   of the processor   the key alone   two threads : one   rounds with two cores"
    )
    text = bytes(1_000)
    bare: dict[str, Callable[[], object]] = {
        "RSA-2048": lambda: rsa_key.sign(text, padding.PKCS1v15(), SHA256()),
        "Ed25519": lambda: ed25519_key.sign(text[:32]),
    }
    bare["both"] = lambda: (bare["RSA-2048"](), bare["Ed25519"]())
    ours = {}
    with ThreadPoolExecutor(2) as threads:
        for name, mail in mails.items():
            rounds = [_round(mail, readers, threads) for _ in range(sizes.rounds)]
            ours[name] = median(each.processor for each in rounds)
            gains = [each.one / each.two for each in rounds if each.had_two_cores]
            print(
                f"{name:<9}{median(each.one for each in rounds) * 1e6:11.0f} {ours[name] * 1e6:18.0f}"
                f" {_processor(bare[name], sizes.mails * 5) * 1e6:15.0f}"
                f" {f'{median(gains):.2f}' if gains else '?':>19} {len(gains):23}"
            )
    pem = rsa_key.private_bytes(Encoding.PEM, PrivateFormat.TraditionalOpenSSL, NoEncryption())
    message = _whole(_signable(()), readers[0])
    theirs = _processor(lambda: dkimpy.sign(message, b"2026a", b"news.example", pem), 50)
    print(f"goal: RSA-2048 in two threads at least {GOAL} times as quick as in one")
    print(f"dkimpy, RSA-2048: {theirs * 1e6:.0f} us, {theirs / ours['RSA-2048']:.0f} times ours")


def _signable(signers: Sequence[Signer]) -> Signable:
    entry = EntryView(
        title="Harbour gate closed",
        text=SENTENCE * 30,
        html=f"<p>{SENTENCE * 3}</p>" * 10,
        author="Ana Reporter",
        url="https://news.example/live#17",
        published_at=AT,
        is_key_event=True,
        source="The flood, as it happens",
    )
    rendered = Renderer(SITE, ()).render(AlertView((entry,), ("The flood",), "every", "en", AT))
    return prepare(signers, pin(prepared(rendered, site_headers(SITE, AT)), signers, AT))


def _whole(mail: Signable, reader: Fillings) -> bytes:
    return eml(compose(mail.prepared, reader, signature=sign(mail, reader)))


def _verify(mail: Signable, reader: Fillings, signers: Sequence[Signer]) -> None:
    """Ends the bench where what it measures would be no signature."""
    message = _whole(mail, reader)
    for index, signer in enumerate(signers):
        text = record(signer).encode()
        assert dkimpy.DKIM(message).verify(idx=index, dnsfunc=lambda *_, text=text, **__: text)


def _round(mail: Signable, readers: Sequence[Fillings], threads: ThreadPoolExecutor) -> Round:
    slices = [readers[at : at + SLICE] for at in range(0, len(readers), SLICE)]

    def work(part: Sequence[Fillings]) -> None:
        for reader in part:
            sign(mail, reader)

    began, used = perf_counter(), process_time()
    for part in slices:
        work(part)
    one, processor = perf_counter() - began, process_time() - used
    before = _cores(threads)
    began = perf_counter()
    list(threads.map(work, slices))
    two = perf_counter() - began
    cores = min(before, _cores(threads))
    return Round(one / len(readers), processor / len(readers), two / len(readers), cores >= TWO_CORES)


def _cores(threads: ThreadPoolExecutor) -> float:
    """Says how many cores the machine has for us now."""
    began, used = perf_counter(), process_time()
    list(threads.map(lambda _: hashlib.sha256(BLOCK).digest(), range(4)))
    return (process_time() - used) / (perf_counter() - began)


def _processor(work: Callable[[], object], times: int) -> float:
    used = process_time()
    for _ in range(times):
        work()
    return (process_time() - used) / times


if __name__ == "__main__":
    main()
