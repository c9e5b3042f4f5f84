"""Certificates that nobody should have: made with keys of the attacker's own, or with those of the site's authorities."""
import datetime
import pathlib
import tempfile

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID as Usage, NameOID

NOW = lambda: datetime.datetime.now(datetime.timezone.utc)


class Issuer:
    def __init__(self, certificate, key, chain=()):
        self.certificate, self.key, self.chain = certificate, key, list(chain)

    @classmethod
    def read(cls, cert, key):
        certificates = x509.load_pem_x509_certificates(pathlib.Path(cert).read_bytes())
        return cls(certificates[0], serialization.load_pem_private_key(pathlib.Path(key).read_bytes(), None), certificates[1:])


def name(common):
    return x509.Name([x509.NameAttribute(NameOID.ORGANIZATION_NAME, "Wharfinger"), x509.NameAttribute(NameOID.COMMON_NAME, common)])


def issue(issuer, common="attacker", uri=None, usage=Usage.CLIENT_AUTH, ca=None, begin=-1, days=30, subject=None, dns=None):
    """An Issuer of the new certificate; `issuer` None: signed by itself. `begin` is in hours from now."""
    key = ec.generate_private_key(ec.SECP256R1())
    subject = subject or name(common)
    start = NOW() + datetime.timedelta(hours=begin)
    builder = (x509.CertificateBuilder().subject_name(subject)
               .issuer_name(issuer.certificate.subject if issuer else subject).public_key(key.public_key())
               .serial_number(x509.random_serial_number()).not_valid_before(start)
               .not_valid_after(start + datetime.timedelta(days=days)))
    names = ([x509.UniformResourceIdentifier(uri)] if uri else []) + ([x509.DNSName(dns)] if dns else [])
    if names:
        builder = builder.add_extension(x509.SubjectAlternativeName(names), False)
    if usage:
        builder = builder.add_extension(x509.ExtendedKeyUsage([usage]), False)
    if ca is not None:
        builder = builder.add_extension(x509.BasicConstraints(ca=ca, path_length=None), True)
    made = builder.sign(issuer.key if issuer else key, hashes.SHA256())
    return Issuer(made, key, [issuer.certificate, *issuer.chain] if issuer else [])


def files(made):
    """Certificate (with its chain) and key as files."""
    folder = pathlib.Path(tempfile.mkdtemp(prefix="attack-"))
    pem = lambda c: c.public_bytes(serialization.Encoding.PEM)
    (folder / "cert.pem").write_bytes(pem(made.certificate) + b"".join(map(pem, made.chain)))
    (folder / "key.pem").write_bytes(made.key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()))
    return {"cert": str(folder / "cert.pem"), "key": str(folder / "key.pem")}


def uri_of(cert):
    [leaf, *_] = x509.load_pem_x509_certificates(pathlib.Path(cert).read_bytes())
    return leaf.extensions.get_extension_for_class(x509.SubjectAlternativeName).value.get_values_for_type(
        x509.UniformResourceIdentifier)[0]
