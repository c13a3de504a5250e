"""Certificates for the tests of TLS, made anew: two authorities, and who they vouch for."""

from __future__ import annotations

import ipaddress
from datetime import datetime, timedelta, timezone
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from monai_cxr.screening.network.dicom_network import TlsFiles


def make_tls_files(
    folder: Path, *names: str, authority: str = "hospital", names_host: bool = True
) -> dict[str, TlsFiles]:
    """One authority and, for each name, a certificate of it: for 127.0.0.1, or without a host."""
    folder.mkdir(parents=True, exist_ok=True)
    root_key = ec.generate_private_key(ec.SECP256R1())
    root_name = _name(authority)
    root = _builder(root_name, root_name, root_key).add_extension(
        x509.BasicConstraints(ca=True, path_length=None), critical=True
    )
    root_usage = x509.KeyUsage(True, *[False] * 4, True, True, False, False)
    signed = root.add_extension(root_usage, critical=True).sign(root_key, hashes.SHA256())
    authorities = folder / f"{authority}-ca.pem"
    authorities.write_bytes(signed.public_bytes(serialization.Encoding.PEM))
    made = {}
    for name in names:
        key = ec.generate_private_key(ec.SECP256R1())
        address = x509.IPAddress(ipaddress.ip_address("127.0.0.1"))
        builder = _builder(_name(name), root_name, key)
        if names_host:
            alternative = x509.SubjectAlternativeName([address])
            builder = builder.add_extension(alternative, critical=False)
        certificate = builder.sign(root_key, hashes.SHA256())
        paths = folder / f"{authority}-{name}.pem", folder / f"{authority}-{name}.key"
        paths[0].write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
        paths[1].write_bytes(
            key.private_bytes(
                serialization.Encoding.PEM,
                serialization.PrivateFormat.PKCS8,
                serialization.NoEncryption(),
            )
        )
        made[name] = TlsFiles(paths[0], paths[1], authorities)
    return made


def _name(text: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, text)])


def _builder(subject: x509.Name, issuer: x509.Name, key) -> x509.CertificateBuilder:
    now = datetime.now(timezone.utc)
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=2))
    )
