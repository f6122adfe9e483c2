"""Certificates for servers in tests, from an authority that only the test trusts."""

import ssl
from pathlib import Path

import trustme


class Certificates:
    """A server's context for `localhost` and 127.0.0.1, and the file of the authority that vouches for it."""

    def __init__(self, folder: Path) -> None:
        authority = trustme.CA()
        self.ca_file = folder / "authority.pem"
        authority.cert_pem.write_to_path(str(self.ca_file))
        self.server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        authority.issue_cert("localhost", "127.0.0.1").configure_cert(self.server)
