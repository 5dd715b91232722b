"""Certificates for tests that speak TLS."""

from pathlib import Path
from typing import NamedTuple

import trustme


class Certificate(NamedTuple):
    """A server's certificate for localhost.

    Attributes:
        key: its private key, PEM.
        file: the certificate, PEM.
        authority: what a client must trust, PEM.
    """

    key: Path
    file: Path
    authority: Path


def make_certificate(folder: Path) -> Certificate:
    """Make a fresh one, signed by an authority of its own."""
    authority = trustme.CA()
    leaf = authority.issue_cert("localhost")
    made = Certificate(folder / "key.pem", folder / "certificate.pem", folder / "authority.pem")
    leaf.private_key_pem.write_to_path(made.key)
    leaf.cert_chain_pems[0].write_to_path(made.file)
    authority.cert_pem.write_to_path(made.authority)
    return made
