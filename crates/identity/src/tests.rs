//! Certificates against a real TLS handshake: who verifies whom.

use std::{os::unix::fs::PermissionsExt as _, path::Path, sync::Arc};

use chrono::Utc;
use domain::{HostId, Role, TenantId, TenantRecord};
use rustls::{
    ClientConfig, ClientConnection, RootCertStore, ServerConfig, ServerConnection, crypto::aws_lc_rs::default_provider,
};
use rustls_pki_types::{CertificateDer, PrivateKeyDer, ServerName, pem::PemObject as _};

use crate::{Authority, Bundle, ClientName, RoleIdentity, endpoint_server_config};

mod requests;

fn tenant() -> TenantRecord {
    TenantRecord {
        id: TenantId::random(),
        name: "demo".into(),
        ordinal: 0,
        memory_quota_bytes: None,
        cpu_quota_millis: None,
        container_quota: None,
        created_at: Utc::now(),
    }
}

fn authority() -> (tempfile::TempDir, Authority) {
    let dir = tempfile::tempdir().unwrap();
    let authority = Authority::open_or_create(&dir.path().join("authority")).unwrap();
    (dir, authority)
}

fn chain(pem: &str) -> Vec<CertificateDer<'static>> {
    CertificateDer::pem_slice_iter(pem.as_bytes()).collect::<Result<_, _>>().unwrap()
}

fn client(bundle: &Bundle) -> Arc<ClientConfig> {
    let mut roots = RootCertStore::empty();
    chain(&bundle.ca_pem).into_iter().for_each(|c| roots.add(c).unwrap());
    let key = PrivateKeyDer::from_pem_slice(bundle.key_pem.as_bytes()).unwrap();
    let config = ClientConfig::builder_with_provider(Arc::new(default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_client_auth_cert(chain(&bundle.cert_pem), key)
        .unwrap();
    Arc::new(config)
}

fn server(bundle: &Bundle, dir: &Path) -> Arc<ServerConfig> {
    bundle.write(dir).unwrap();
    endpoint_server_config(&dir.join("cert.pem"), &dir.join("key.pem"), &dir.join("ca.pem")).unwrap()
}

/// The client's chain as the server saw it.
fn handshake(
    client: Arc<ClientConfig>,
    server: Arc<ServerConfig>,
    name: &str,
) -> Result<Vec<CertificateDer<'static>>, rustls::Error> {
    let name = ServerName::try_from(name.to_owned()).unwrap();
    let mut client = ClientConnection::new(client, name).unwrap();
    let mut server = ServerConnection::new(server).unwrap();
    for _ in 0..8 {
        let mut wire = Vec::new();
        client.write_tls(&mut wire).unwrap();
        server.read_tls(&mut wire.as_slice()).unwrap();
        server.process_new_packets()?;
        let mut wire = Vec::new();
        server.write_tls(&mut wire).unwrap();
        client.read_tls(&mut wire.as_slice()).unwrap();
        client.process_new_packets()?;
    }
    assert!(!server.is_handshaking());
    Ok(server.peer_certificates().unwrap().iter().map(|c| c.clone().into_owned()).collect())
}

#[test]
fn a_client_certificate_opens_the_endpoint_and_names_its_credential() {
    let (dir, authority) = authority();
    let tenant = tenant();
    let endpoint = authority.issue_endpoint(&["localhost".into()], &["127.0.0.1".parse().unwrap()]).unwrap();
    let (bundle, record) = authority.issue_client(&tenant, "ann", Role::Owner, 90).unwrap();
    let seen = handshake(client(&bundle), server(&endpoint, &dir.path().join("e")), "127.0.0.1").unwrap();
    let name = ClientName::of(&seen[0]).unwrap();
    assert_eq!(name, ClientName { tenant: tenant.id, user: "ann".into(), credential: record.id });
    assert_eq!(record.fingerprint, <sha2::Sha256 as sha2::Digest>::digest(&seen[0]).to_vec());
    assert!((record.not_after - Utc::now()).num_days() >= 89);
}

#[test]
fn another_authoritys_client_is_refused_and_so_is_its_endpoint() {
    let (dir, ours) = authority();
    let (_other_dir, other) = authority();
    let endpoint = ours.issue_endpoint(&["localhost".into()], &[]).unwrap();
    let config = server(&endpoint, &dir.path().join("e"));
    let (theirs, _) = other.issue_client(&tenant(), "ann", Role::Owner, 90).unwrap();
    assert!(handshake(client(&theirs), config.clone(), "localhost").is_err(), "the client must refuse the endpoint");
    let (mut mixed, _) = ours.issue_client(&tenant(), "ann", Role::Owner, 90).unwrap();
    mixed.cert_pem = theirs.cert_pem;
    mixed.key_pem = theirs.key_pem;
    assert!(handshake(client(&mixed), config, "localhost").is_err(), "the endpoint must refuse the client");
}

#[test]
fn a_roles_certificate_does_not_open_the_endpoint() {
    let (dir, authority) = authority();
    let endpoint = authority.issue_endpoint(&["localhost".into()], &[]).unwrap();
    let (tenant, _) = authority.issue_client(&tenant(), "ann", Role::Owner, 90).unwrap();
    let mut role = authority.issue_role(&RoleIdentity::Frontend, &[], 90).unwrap();
    role.ca_pem = tenant.ca_pem;
    assert!(handshake(client(&role), server(&endpoint, &dir.path().join("e")), "localhost").is_err());
}

#[test]
fn a_tenants_certificate_opens_no_role() {
    let (dir, authority) = authority();
    let host = RoleIdentity::Agent(HostId::random());
    let agent = authority.issue_role(&host, &["10.0.0.11".parse().unwrap()], 90).unwrap();
    let config = server(&agent, &dir.path().join("a"));
    let scheduler = authority.issue_role(&RoleIdentity::Scheduler, &[], 90).unwrap();
    assert!(handshake(client(&scheduler), config.clone(), &host.dns_name()).is_ok(), "positive control");
    let (mut tenant, _) = authority.issue_client(&tenant(), "ann", Role::Owner, 90).unwrap();
    tenant.ca_pem = scheduler.ca_pem;
    assert!(handshake(client(&tenant), config, &host.dns_name()).is_err());
}

#[test]
fn the_authority_is_the_same_after_a_second_open_and_needs_no_root_key() {
    let (dir, first) = authority();
    let path = dir.path().join("authority");
    std::fs::remove_file(path.join("root.key")).unwrap();
    let second = Authority::open_or_create(&path).unwrap();
    let endpoint = first.issue_endpoint(&["localhost".into()], &[]).unwrap();
    let (bundle, _) = second.issue_client(&tenant(), "ann", Role::Owner, 90).unwrap();
    assert!(handshake(client(&bundle), server(&endpoint, &dir.path().join("e")), "localhost").is_ok());
}

#[test]
fn keys_belong_to_their_owner_only() {
    let (dir, authority) = authority();
    let (bundle, _) = authority.issue_client(&tenant(), "ann", Role::Owner, 90).unwrap();
    let out = dir.path().join("out");
    bundle.write(&out).unwrap();
    bundle.write(&out).unwrap();
    let mode = |p: &Path| std::fs::metadata(p).unwrap().permissions().mode() & 0o777;
    assert_eq!((mode(&out), mode(&out.join("key.pem"))), (0o700, 0o600));
    assert_eq!(mode(&dir.path().join("authority/tenants.key")), 0o600);
}

#[test]
fn names_that_do_not_fit_a_uri_are_refused() {
    let (_dir, authority) = authority();
    for user in ["", "a/b", "ann smith", "é", &"x".repeat(65)] {
        assert!(authority.issue_client(&tenant(), user, Role::Owner, 90).is_err(), "{user:?}");
    }
}

#[test]
fn only_a_whole_client_name_parses() {
    let (t, c) = (uuid(), uuid());
    let name: ClientName = format!("wharfinger://tenant/{t}/user/ann/credential/{c}").parse().unwrap();
    assert_eq!(name.user, "ann");
    for uri in [
        format!("wharfinger://tenant/{t}/user/ann"),
        format!("wharfinger://tenant/{t}/user//credential/{c}"),
        format!("wharfinger://tenant/{t}/user/ann/credential/{c}/more"),
        format!("https://tenant/{t}/user/ann/credential/{c}"),
        "wharfinger://role/frontend".into(),
    ] {
        assert!(uri.parse::<ClientName>().is_err(), "{uri}");
    }
}

fn uuid() -> String {
    TenantId::random().to_string()
}
