//! What a stranger may write into a signing request, and what becomes of it.

use std::io::Read as _;

use rcgen::{BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, KeyPair, RsaKeySize, SanType};
use x509_parser::prelude::{FromDer as _, GeneralName, X509Certificate};

use super::*;
use crate::{Grant, Papers, SigningRequest};

fn grant(tenant: &TenantRecord) -> Grant<'_> {
    Grant { tenant, user: "ann", role: Role::Viewer, days: 90 }
}

fn request_of(key: &KeyPair, params: &CertificateParams) -> String {
    params.serialize_request(key).unwrap().pem().unwrap()
}

fn refusal(pem: &str) -> String {
    SigningRequest::from_pem(pem.as_bytes()).err().expect("a refusal").to_string()
}

fn bundle(papers: Papers, key: &KeyPair) -> Bundle {
    Bundle { ca_pem: papers.ca_pem, cert_pem: papers.cert_pem, key_pem: key.serialize_pem() }
}

#[test]
fn every_kind_of_key_that_is_taken_opens_the_endpoint() {
    let (dir, authority) = authority();
    let tenant = tenant();
    let endpoint = authority.issue_endpoint(&["localhost".into()], &[]).unwrap();
    let config = server(&endpoint, &dir.path().join("e"));
    let keys = [
        KeyPair::generate_for(&rcgen::PKCS_ECDSA_P256_SHA256),
        KeyPair::generate_for(&rcgen::PKCS_ECDSA_P384_SHA384),
        KeyPair::generate_for(&rcgen::PKCS_ED25519),
        KeyPair::generate_rsa_for(&rcgen::PKCS_RSA_SHA256, RsaKeySize::_2048),
        KeyPair::generate_rsa_for(&rcgen::PKCS_RSA_SHA512, RsaKeySize::_2048),
    ];
    for key in keys.map(Result::unwrap) {
        let request = SigningRequest::from_pem(request_of(&key, &CertificateParams::default()).as_bytes()).unwrap();
        let (papers, record) = authority.issue(grant(&tenant), Some(&request)).unwrap();
        assert!(papers.key_pem.is_none(), "it has never been here");
        let seen = handshake(client(&bundle(papers, &key)), config.clone(), "localhost").unwrap();
        let name = ClientName { tenant: tenant.id, user: "ann".into(), credential: record.id };
        assert_eq!(ClientName::of(&seen[0]).unwrap(), name);
        assert_eq!(record.fingerprint, <sha2::Sha256 as sha2::Digest>::digest(&seen[0]).to_vec());
        assert_eq!(record.role, Role::Viewer);
    }
}

#[test]
fn nothing_but_the_key_of_a_request_reaches_the_certificate() {
    let (_dir, authority) = authority();
    let tenant = tenant();
    let foreign = format!("wharfinger://tenant/{}/user/root/credential/{}", uuid(), uuid());
    let mut params = CertificateParams::new(vec!["frontend.wharfinger".into()]).unwrap();
    params.subject_alt_names.push(SanType::URI(foreign.as_str().try_into().unwrap()));
    params.distinguished_name.push(DnType::CommonName, "root@other");
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
    // One that rcgen's own reader would refuse to read past: extensions are not even looked at.
    params.custom_extensions.push(rcgen::CustomExtension::from_oid_content(&[1, 3, 6, 1, 4, 1, 99999, 1], vec![5, 0]));
    let key = KeyPair::generate().unwrap();
    let request = SigningRequest::from_pem(request_of(&key, &params).as_bytes()).unwrap();
    let (papers, record) = authority.issue(grant(&tenant), Some(&request)).unwrap();
    let der = chain(&papers.cert_pem).remove(0);
    assert_eq!(ClientName::of(&der).unwrap().credential, record.id);
    let (_, certificate) = X509Certificate::from_der(&der).unwrap();
    let names = &certificate.subject_alternative_name().unwrap().unwrap().value.general_names;
    let own = format!("wharfinger://tenant/{}/user/ann/credential/{}", tenant.id, record.id);
    assert_eq!(names, &[GeneralName::URI(&own)]);
    assert!(!certificate.is_ca());
    let usage = certificate.extended_key_usage().unwrap().unwrap().value;
    assert_eq!((usage.client_auth, usage.server_auth), (true, false));
    assert!(certificate.subject().to_string().ends_with("CN=ann@demo"), "{}", certificate.subject());
    assert!(!papers.cert_pem.is_empty() && certificate.public_key().raw.ends_with(key.public_key_raw()));
}

#[test]
fn certificates_for_one_key_have_serial_numbers_of_their_own() {
    let (_dir, authority) = authority();
    let tenant = tenant();
    let key = KeyPair::generate().unwrap();
    let request = SigningRequest::from_pem(request_of(&key, &CertificateParams::default()).as_bytes()).unwrap();
    let serial = || {
        let (papers, _) = authority.issue(grant(&tenant), Some(&request)).unwrap();
        let der = chain(&papers.cert_pem).remove(0);
        X509Certificate::from_der(&der).unwrap().1.serial.clone()
    };
    assert_ne!(serial(), serial());
}

#[test]
fn a_signature_that_is_not_the_keys_is_refused() {
    use rustls_pki_types::CertificateSigningRequestDer;
    let key = KeyPair::generate().unwrap();
    let pem = request_of(&key, &CertificateParams::default());
    let der = CertificateSigningRequestDer::from_pem_slice(pem.as_bytes()).unwrap().as_ref().to_vec();
    let theirs = KeyPair::generate().unwrap();
    // Somebody else's public key in a request that we have signed.
    let at = der.windows(65).position(|w| w == key.public_key_raw()).unwrap();
    let stolen = [&der[..at], theirs.public_key_raw(), &der[at + 65..]].concat();
    // The last byte is of the signature.
    let mut damaged = der.clone();
    *damaged.last_mut().unwrap() ^= 1;
    for der in [stolen, damaged] {
        assert_eq!(
            refusal(&armoured(&der)),
            "invalid certificate request: its signature is not of the key that it holds"
        );
    }
    assert_eq!(refusal(&armoured(&[der, vec![0]].concat())), "invalid certificate request: bytes follow the request");
}

/// In PEM; its readers take lines of any length.
fn armoured(der: &[u8]) -> String {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut text = String::new();
    for three in der.chunks(3) {
        let bits = three.iter().fold(0u32, |bits, b| bits << 8 | u32::from(*b)) << (8 * (3 - three.len()));
        for place in 0..4 {
            let digit = DIGITS[(bits >> (18 - 6 * place) & 63) as usize];
            text.push(if place <= three.len() { char::from(digit) } else { '=' });
        }
    }
    format!("-----BEGIN CERTIFICATE REQUEST-----\n{text}\n-----END CERTIFICATE REQUEST-----\n")
}

#[test]
fn weak_and_strange_keys_are_refused_by_name() {
    let p521 = KeyPair::generate_for(&rcgen::PKCS_ECDSA_P521_SHA512).unwrap();
    let p521 = request_of(&p521, &CertificateParams::default());
    for (pem, why) in [
        (include_str!("rsa-1024.csr.pem"), "its RSA key has 1024 bits, 2048 to 8192 are taken"),
        (include_str!("rsa-sha1.csr.pem"), "it is signed with SHA-1; use SHA-256"),
        (include_str!("secp256k1.csr.pem"), "its elliptic curve is neither P-256 nor P-384"),
        (p521.as_str(), "its elliptic curve is neither P-256 nor P-384"),
        ("", "it holds no PEM section CERTIFICATE REQUEST"),
        (KeyPair::generate().unwrap().serialize_pem().as_str(), "it holds no PEM section CERTIFICATE REQUEST"),
        (armoured(b"no request").as_str(), "it is not a PKCS #10 request"),
        ("x".repeat(70_000).as_str(), "it has 70000 bytes, 65536 at the most are taken"),
    ] {
        assert_eq!(refusal(pem), format!("invalid certificate request: {why}"));
    }
}

#[test]
fn a_credential_lasts_from_a_day_to_825() {
    let (_dir, authority) = authority();
    let tenant = tenant();
    for days in [0, 826, u32::MAX] {
        let refused = authority.issue(Grant { days, ..grant(&tenant) }, None).err().unwrap().to_string();
        assert_eq!(refused, format!("invalid days: {days} is not within 1 and 825"));
    }
    let (_, record) = authority.issue(Grant { days: 825, ..grant(&tenant) }, None).unwrap();
    assert!((record.not_after - Utc::now()).num_days() >= 824);
}

#[test]
fn a_renewal_has_the_same_rights_and_another_id_and_none_is_made_of_a_revoked_one() {
    let (_dir, authority) = authority();
    let tenant = tenant();
    let (_, mut old) = authority.issue(grant(&tenant), None).unwrap();
    let (_, new) = authority.issue(Grant::renewing(&old, &tenant, 30).unwrap(), None).unwrap();
    assert_eq!((new.tenant, &new.user, new.role), (old.tenant, &old.user, old.role));
    assert!(new.id != old.id && new.fingerprint != old.fingerprint);
    old.revoked_at = Some(Utc::now());
    assert!(matches!(Grant::renewing(&old, &tenant, 30), Err(domain::Error::Conflict(_))));
}

#[test]
fn a_bundle_holds_a_context_and_the_papers_for_a_clients_own_key_do_not() {
    let (_dir, authority) = authority();
    let tenant = tenant();
    let (papers, _) = authority.issue(grant(&tenant), None).unwrap();
    let files = papers.files("demo", "tcp://127.64.0.1:2376").unwrap();
    let names: Vec<_> = files.iter().map(|(name, _)| *name).collect();
    assert_eq!(names, ["ca.pem", "cert.pem", "key.pem", "env.sh", "context.tar"]);
    let content = |wanted: &str| &files.iter().find(|(name, _)| *name == wanted).unwrap().1;
    assert!(String::from_utf8_lossy(content("env.sh")).contains("DOCKER_HOST=tcp://127.64.0.1:2376\n"));
    let mut archive = tar::Archive::new(content("context.tar").as_slice());
    let mut seen = Vec::new();
    for entry in archive.entries().unwrap() {
        let mut entry = entry.unwrap();
        let path = entry.path().unwrap().to_string_lossy().into_owned();
        let mut data = Vec::new();
        entry.read_to_end(&mut data).unwrap();
        if path == "meta.json" {
            let meta: serde_json::Value = serde_json::from_slice(&data).unwrap();
            assert_eq!(meta["Endpoints"]["docker"]["Host"], "tcp://127.64.0.1:2376");
        } else if let Some(name) = path.strip_prefix("tls/docker/").filter(|name| !name.is_empty()) {
            assert_eq!(&data, content(name));
        }
        seen.push(path);
    }
    assert_eq!(
        seen,
        ["meta.json", "tls/", "tls/docker/", "tls/docker/ca.pem", "tls/docker/cert.pem", "tls/docker/key.pem"]
    );

    let key = KeyPair::generate().unwrap();
    let request = SigningRequest::from_pem(request_of(&key, &CertificateParams::default()).as_bytes()).unwrap();
    let (papers, _) = authority.issue(grant(&tenant), Some(&request)).unwrap();
    let names: Vec<_> = papers.files("demo", "tcp://x:1").unwrap().into_iter().map(|(name, _)| name).collect();
    assert_eq!(names, ["ca.pem", "cert.pem"]);
}
