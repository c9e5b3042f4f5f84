//! A client's signing request (PKCS #10): its public key, and nothing else of it.
//!
//! The request's own signature proves that whoever made it has the key. Subject, names and extensions are what a stranger
//! wrote; none of them reaches a certificate. What is taken is what TLS takes later: rustls on aws-lc verifies RSA of 2048
//! to 8192 bits, P-256, P-384 and Ed25519.

use std::ops::RangeInclusive;

use domain::{Error, Result};
use rustls_pki_types::{CertificateSigningRequestDer, pem::PemObject as _};
use x509_parser::{
    certification_request::X509CertificationRequest,
    error::X509Error,
    oid_registry::{
        OID_EC_P256, OID_KEY_TYPE_EC_PUBLIC_KEY, OID_NIST_EC_P384, OID_PKCS1_RSAENCRYPTION, OID_PKCS1_SHA1WITHRSA,
        OID_SHA1_WITH_RSA, OID_SIG_ED25519,
    },
    prelude::FromDer as _,
    public_key::PublicKey,
    x509::SubjectPublicKeyInfo,
};

const RSA_BITS: RangeInclusive<usize> = 2048..=8192;
/// Far above any real one.
const MAX_BYTES: usize = 64 << 10;

/// A public key whose owner has proved to have the private one.
pub struct SigningRequest {
    pub(crate) key: rcgen::SubjectPublicKeyInfo,
}

impl SigningRequest {
    /// `CERTIFICATE REQUEST` in PEM; the first one of several.
    ///
    /// # Errors
    /// `Invalid` with what is wrong.
    pub fn from_pem(pem: &[u8]) -> Result<Self> {
        if pem.len() > MAX_BYTES {
            return Err(refused(format!("it has {} bytes, {MAX_BYTES} at the most are taken", pem.len())));
        }
        let der = CertificateSigningRequestDer::from_pem_slice(pem)
            .map_err(|_| refused("it holds no PEM section CERTIFICATE REQUEST"))?;
        let (rest, request) =
            X509CertificationRequest::from_der(&der).map_err(|_| refused("it is not a PKCS #10 request"))?;
        if !rest.is_empty() {
            return Err(refused("bytes follow the request"));
        }
        let key = &request.certification_request_info.subject_pki;
        // The key comes first: of a weak one aws-lc says only that the signature fails.
        check_key(key)?;
        check_signature(&request)?;
        let key = rcgen::SubjectPublicKeyInfo::from_der(key.raw)
            .map_err(|_| refused("its public key is encoded in an unusual way"))?;
        Ok(Self { key })
    }
}

fn check_key(key: &SubjectPublicKeyInfo<'_>) -> Result<()> {
    let kind = &key.algorithm.algorithm;
    if *kind == OID_PKCS1_RSAENCRYPTION {
        return match key.parsed() {
            Ok(PublicKey::RSA(rsa)) if RSA_BITS.contains(&bits(rsa.modulus)) => Ok(()),
            Ok(PublicKey::RSA(rsa)) => {
                let (least, most) = RSA_BITS.into_inner();
                Err(refused(format!("its RSA key has {} bits, {least} to {most} are taken", bits(rsa.modulus))))
            }
            _ => Err(refused("its RSA key cannot be read")),
        };
    }
    if *kind == OID_KEY_TYPE_EC_PUBLIC_KEY {
        let curve = key.algorithm.parameters.as_ref().and_then(|p| p.as_oid().ok());
        return match curve {
            Some(curve) if curve == OID_EC_P256 || curve == OID_NIST_EC_P384 => Ok(()),
            _ => Err(refused("its elliptic curve is neither P-256 nor P-384")),
        };
    }
    match *kind == OID_SIG_ED25519 {
        true => Ok(()),
        false => Err(refused("its key is none of RSA, P-256, P-384 and Ed25519")),
    }
}

fn check_signature(request: &X509CertificationRequest<'_>) -> Result<()> {
    let algorithm = &request.signature_algorithm.algorithm;
    if *algorithm == OID_PKCS1_SHA1WITHRSA || *algorithm == OID_SHA1_WITH_RSA {
        return Err(refused("it is signed with SHA-1; use SHA-256"));
    }
    match request.verify_signature() {
        Ok(()) => Ok(()),
        Err(X509Error::SignatureUnsupportedAlgorithm) => {
            Err(refused("its signature is of an unknown algorithm; use SHA-256 or SHA-384"))
        }
        Err(_) => Err(refused("its signature is not of the key that it holds")),
    }
}

/// Of the number itself: leading zeros, as a stranger may write them, count for nothing.
fn bits(modulus: &[u8]) -> usize {
    let significant = modulus.iter().position(|b| *b != 0).map_or(&modulus[..0], |first| &modulus[first..]);
    significant.first().map_or(0, |top| significant.len() * 8 - top.leading_zeros() as usize)
}

fn refused(why: impl AsRef<str>) -> Error {
    Error::invalid(format!("invalid certificate request: {}", why.as_ref()))
}
