"""Questions to DNS, answered by a server on loopback."""

import socket

import pytest

from alerts.errors import Refused, Unavailable
from alerts.mail import lookup
from fakes import dns


def test_a_record_in_pieces_is_joined_and_none_is_none() -> None:
    with dns.server({"a.example": ['"one " "two"', '"three"'], "b.example": []}) as at:
        assert sorted(lookup.texts("a.example", at)) == ["one two", "three"]
        assert lookup.texts("b.example", at) == ()


def test_a_server_that_is_silent_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lookup, "_SECONDS", 0.3)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as silent:
        silent.bind(("127.0.0.1", 0))
        with pytest.raises(Unavailable, match="DNS gave no answer"):
            lookup.texts("a.example", f"127.0.0.1:{silent.getsockname()[1]}")


@pytest.mark.parametrize("server", ["dns.example.org", "127.0.0.1:99999", "127.0.0.1:x", ":53", "[::1"])
def test_a_server_that_is_no_address_is_refused(server: str) -> None:
    with pytest.raises(Refused, match="IP address"):
        lookup.texts("a.example", server)
