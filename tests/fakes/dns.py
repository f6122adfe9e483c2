"""A DNS server on loopback that knows a few TXT records."""

import socket
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager

import dns.flags
import dns.message
import dns.rcode
import dns.rrset


@contextmanager
def server(records: Mapping[str, Sequence[str]]) -> Iterator[str]:
    """Answers over UDP until the block ends; gives its address. A record is written as a zone file has it."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as bound:
        bound.bind(("127.0.0.1", 0))
        thread = threading.Thread(target=_answer, args=(bound, records))
        thread.start()
        host, port = bound.getsockname()
        try:
            yield f"{host}:{port}"
        finally:
            bound.sendto(b"", (host, port))  # the word to end
            thread.join()


def _answer(bound: socket.socket, records: Mapping[str, Sequence[str]]) -> None:
    while True:
        asked, client = bound.recvfrom(4096)
        if not asked:
            return
        query = dns.message.from_wire(asked)
        name = query.question[0].name
        response = dns.message.make_response(query)
        response.flags |= dns.flags.AA | dns.flags.RA
        if found := records.get(name.to_text(omit_final_dot=True)):
            response.answer.append(dns.rrset.from_text(name, 60, "IN", "TXT", *found))
        else:
            response.set_rcode(dns.rcode.NXDOMAIN)
        bound.sendto(response.to_wire(), client)
