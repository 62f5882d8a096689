"""An S3 endpoint over TLS that takes every byte and keeps none: so light that a client is measured, not the server.

A process of its own for each connection; each reads the TLS stream in large pieces and throws bodies away. What S3 would
remember of an object (size, checksum, etag) lies in small files, bodies up to 1 MiB as well, so that a commit protocol
with conditional writes runs against it. `Sink.place` puts a file on disk in the place of an object, for the way back.
Signatures and checksums are not checked: that what arrives is what was sent is proven elsewhere, on a real S3.
"""

from __future__ import annotations

import argparse
import datetime
import ipaddress
import os
import signal
import socket
import ssl
import subprocess
import sys
import time
from pathlib import Path
from types import TracebackType

import psutil
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from bench.sink_protocol import Connection, Link
from bench.sink_state import BUCKET, Known, State

HOST = "127.0.0.1"
PATIENCE = 30.0

ONE_CIPHER = """openssl_conf = all
[all]
ssl_conf = ssl
[ssl]
system_default = tls
[tls]
Ciphersuites = TLS_AES_128_GCM_SHA256
"""
"""For every client the suite that none may lack (RFC 8446, section 9.1): else they would be compared by what they like best."""


class Sink:
    """The server as a process; `with Sink(folder) as sink`. Raises RuntimeError if it does not start."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.certificate = folder / "ca.pem"
        self.state = State(folder / "state")

    def __enter__(self) -> Sink:
        self.folder.mkdir(parents=True, exist_ok=True)
        make_certificates(self.folder)
        self.state.make()
        settings = self.folder / "openssl.cnf"
        settings.write_text(ONE_CIPHER)
        self._process = subprocess.Popen(
            [sys.executable, "-m", "bench.sink", str(self.folder)],
            stdout=subprocess.PIPE,
            stdin=subprocess.DEVNULL,
            env=os.environ | {"OPENSSL_CONF": str(settings)},
        )
        assert self._process.stdout is not None
        port = self._process.stdout.readline().strip()
        if not port:
            raise RuntimeError(f"the sink ended with {self._process.wait()}")
        self.endpoint = f"https://{HOST}:{int(port)}"
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._process.terminate()
        self._process.wait()
        if self._process.stdout is not None:
            self._process.stdout.close()

    @property
    def env(self) -> dict[str, str]:
        """For a client of whatever make. SSL_CERT_FILE is for Go and Rust, the others for botocore and OpenSSL."""
        return {
            "AWS_ENDPOINT_URL_S3": self.endpoint,
            "AWS_ACCESS_KEY_ID": "bench",
            "AWS_SECRET_ACCESS_KEY": "bench-secret",
            "AWS_REGION": "us-east-1",
            "AWS_DEFAULT_REGION": "us-east-1",
            "AWS_CA_BUNDLE": str(self.certificate),
            "SSL_CERT_FILE": str(self.certificate),
            "AWS_EC2_METADATA_DISABLED": "true",
            "AWS_CONFIG_FILE": os.devnull,
            "AWS_SHARED_CREDENTIALS_FILE": os.devnull,
        }

    def place(self, key: str, path: Path, crc: int) -> None:
        """From now on `path` is what is at `key`."""
        self.state.put(Known(key, path.stat().st_size, '"0123456789abcdef0123456789abcdef-1"', crc, str(path)))

    def forget(self) -> None:
        """Everything that was written or placed."""
        self.state.clear()

    def cpu(self) -> float:
        """Seconds of CPU so far, once every client has gone and been counted."""
        server = psutil.Process(self._process.pid)
        end = time.monotonic() + PATIENCE
        while server.children() and time.monotonic() < end:
            time.sleep(0.01)
        return float(sum(server.cpu_times()[:4]))


def make_certificates(folder: Path) -> None:
    """An authority in ca.pem, and what it says of our address in sink.pem with sink.key: rustls takes no self-signed one."""
    authority, secret = (ec.generate_private_key(ec.SECP256R1()) for _ in range(2))
    issuer, subject = (x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)]) for name in ("sink authority", "sink"))
    now = datetime.datetime.now(datetime.UTC)

    def signed(name: x509.Name, key: ec.EllipticCurvePrivateKey, extension: x509.ExtensionType, *, ca: bool) -> bytes:
        made = (
            x509.CertificateBuilder()
            .subject_name(name)
            .issuer_name(issuer)
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - datetime.timedelta(days=1))
            .not_valid_after(now + datetime.timedelta(days=30))
            .add_extension(x509.BasicConstraints(ca=ca, path_length=None), critical=True)
            .add_extension(extension, critical=False)
            .sign(authority, hashes.SHA256())
        )
        return made.public_bytes(serialization.Encoding.PEM)

    own = x509.SubjectKeyIdentifier.from_public_key(authority.public_key())
    address = x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address(HOST))])
    (folder / "ca.pem").write_bytes(signed(issuer, authority, own, ca=True))
    (folder / "sink.pem").write_bytes(signed(subject, secret, address, ca=False))
    form = serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    (folder / "sink.key").write_bytes(secret.private_bytes(*form))


def _serve(folder: Path) -> None:
    """Accept for ever; a child for each connection, so that no interpreter lock is shared."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(folder / "sink.pem", folder / "sink.key")
    state = State(folder / "state")
    signal.signal(signal.SIGCHLD, _reap)
    with socket.create_server((HOST, 0), backlog=256) as listening:
        sys.stdout.write(f"{listening.getsockname()[1]}\n")
        sys.stdout.flush()
        while True:
            accepted, _ = listening.accept()
            if os.fork() == 0:
                listening.close()
                os._exit(_attend(accepted, context, state))
            accepted.close()


def _reap(number: int, frame: object) -> None:
    """Their CPU time is counted to ours once they are waited for."""
    try:
        while os.waitpid(-1, os.WNOHANG)[0]:
            pass
    except ChildProcessError:
        return


def _attend(accepted: socket.socket, context: ssl.SSLContext, state: State) -> int:
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    try:
        accepted.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        Connection(Link(accepted, context), state).run()
    except (OSError, EOFError):  # the client is gone, or does not trust us
        return 1
    return 0


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path, help=f"with sink.pem and sink.key; the bucket is {BUCKET}")
    _serve(parser.parse_args().folder)


if __name__ == "__main__":
    main()
