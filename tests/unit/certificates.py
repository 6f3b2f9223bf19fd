"""Certificates and tokens in files, for tests of the API over TCP."""

from __future__ import annotations

import socket
from dataclasses import dataclass
from ipaddress import ip_address
from typing import TYPE_CHECKING, Any

import trustme

from lasthop.api.client import Client, Credentials
from lasthop.model.access import Access, Endpoint, Role
from lasthop.model.token import made

if TYPE_CHECKING:
    from pathlib import Path

ADDRESS = "127.0.0.1"


def free_port() -> int:
    """A port that nobody listens on."""
    with socket.socket() as probe:
        probe.bind((ADDRESS, 0))
        port: int = probe.getsockname()[1]
        return port


def secret_file(path: Path, content: str) -> Path:
    path.write_text(content)
    path.chmod(0o600)
    return path


def issue(ca: trustme.CA, name: Path, *identities: str, **more: Any) -> tuple[str, str]:
    """Certificate and key, in files."""
    issued = ca.issue_cert(*(identities or (ADDRESS,)), **more)
    name.with_suffix(".crt").write_bytes(b"".join(blob.bytes() for blob in issued.cert_chain_pems))
    secret_file(name.with_suffix(".key"), issued.private_key_pem.bytes().decode())
    return str(name.with_suffix(".crt")), str(name.with_suffix(".key"))


@dataclass(frozen=True)
class Site:
    """A CA, a certificate of it, a reader's and a writer's token, and the configuration that uses them."""

    folder: Path
    access: Access
    authority: trustme.CA

    @property
    def url(self) -> str:
        return f"https://{self.access.listen[0]}"

    def credentials(self, role: str = "reader") -> Credentials:
        return Credentials(token_file=str(self.folder / f"{role}.token"), ca=str(self.folder / "ca.crt"))

    def client(self, role: str = "reader") -> Client:
        return Client(self.url, credentials=self.credentials(role))

    def token(self, role: str = "reader") -> str:
        return (self.folder / f"{role}.token").read_text().strip()


def make_site(folder: Path) -> Site:
    authority = trustme.CA()
    authority.cert_pem.write_to_path(str(folder / "ca.crt"))
    certificate, key = issue(authority, folder / "api")
    lines = []
    for role in Role:
        token, known = made(role.word, role)
        secret_file(folder / f"{role.word}.token", f"{token}\n")
        lines.append(known.line)
    tokens = secret_file(folder / "tokens", "# who may\n" + "\n".join(lines) + "\n")
    listen = (Endpoint(ip_address(ADDRESS), free_port()),)
    return Site(folder, Access(listen=listen, certificate=certificate, key=key, tokens=str(tokens)), authority)
