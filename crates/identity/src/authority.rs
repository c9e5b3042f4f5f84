//! The certificate authority: a root and two intermediates in a directory of files.
//!
//! The root's key is needed only while the authority is made; an operator may move `root.key` to a safe, and everything
//! here goes on working. `ca.pem` of a tenant holds the tenants' intermediate *and* the root, since OpenSSL wants a chain
//! up to a self-signed certificate, while roles get the `infra` intermediate alone (see the crate's text).

use std::{
    fs, io,
    net::IpAddr,
    path::{Path, PathBuf},
};

use domain::{CredentialId, Error, Result, Role, TenantRecord};
use inventory::CredentialRecord;
use rcgen::{CertificateParams, ExtendedKeyUsagePurpose, Issuer, KeyPair, PublicKeyData, SerialNumber};
use sha2::{Digest as _, Sha256};

use crate::{
    Bundle, ClientName, Grant, Papers, RoleIdentity, SigningRequest,
    bundle::{create_private_dir, write_file},
    leaf::{self, Names, Use},
    name::check_user,
};

const ROOT_YEARS: u32 = 20;
const INTERMEDIATE_YEARS: u32 = 10;
/// The endpoint's own certificate is made anew at each start.
const ENDPOINT_DAYS: u32 = 365;

/// Signs certificates for roles, endpoints and clients.
pub struct Authority {
    root_pem: String,
    infra: Intermediate,
    tenants: Intermediate,
    endpoints: Intermediate,
}

struct Intermediate {
    pem: String,
    issuer: Issuer<'static, KeyPair>,
}

impl Authority {
    /// Opens the authority in `dir`, or makes one. Safe against a second process that does the same, and against a crash:
    /// the directory appears complete or not at all.
    pub fn open_or_create(dir: &Path) -> Result<Self> {
        if !dir.join("root.pem").exists() {
            create(dir).map_err(|e| Error::because(format!("creating the authority in {}", dir.display()), e))?;
        }
        Self::open(dir)
    }

    fn open(dir: &Path) -> Result<Self> {
        let root_pem = read(&dir.join("root.pem"))?;
        let infra = Intermediate::open(dir, "infra")?;
        let tenants = Intermediate::open(dir, "tenants")?;
        if !dir.join("endpoints.pem").exists() {
            add_endpoints(dir)
                .map_err(|e| Error::because("an authority for endpoints (it needs root.key, once)", e))?;
        }
        let endpoints = Intermediate::open(dir, "endpoints")?;
        Ok(Self { root_pem, infra, tenants, endpoints })
    }

    /// For one of our own processes: both client and server, known by URI and DNS name.
    pub fn issue_role(&self, role: &RoleIdentity, ips: &[IpAddr], days: u32) -> Result<Bundle> {
        let names = Names { uri: Some(role.uri()), dns: vec![role.dns_name()], ips: ips.to_vec() };
        let (params, _) = leaf::leaf(&role.dns_name(), names, Use::Both, days)?;
        let (cert_pem, key_pem, _) = self.infra.sign(&params)?;
        Ok(Bundle { ca_pem: self.infra.pem.clone(), cert_pem, key_pem })
    }

    /// For the Docker endpoint: what clients see. `ca_pem` is what it asks of clients: the tenants' intermediate alone.
    pub fn issue_endpoint(&self, names: &[String], ips: &[IpAddr]) -> Result<Bundle> {
        let common_name = names.first().cloned().or_else(|| ips.first().map(IpAddr::to_string));
        let common_name = common_name.ok_or_else(|| Error::invalid("an endpoint needs a name or an address"))?;
        let names = Names { uri: None, dns: names.to_vec(), ips: ips.to_vec() };
        let (params, _) = leaf::leaf(&common_name, names, Use::Server, ENDPOINT_DAYS)?;
        let (cert_pem, key_pem, _) = self.endpoints.sign(&params)?;
        Ok(Bundle { ca_pem: self.tenants.pem.clone(), cert_pem, key_pem })
    }

    /// Certificate and key for frontends that make endpoints' certificates themselves (see [`crate::EndpointIssuer`]).
    pub fn endpoint_issuer(&self) -> (&str, String) {
        (&self.endpoints.pem, self.endpoints.issuer.key().serialize_pem())
    }

    /// For a user of a tenant, with a key made here. The record has yet to be stored: until then the certificate opens
    /// nothing.
    pub fn issue_client(
        &self,
        tenant: &TenantRecord,
        user: &str,
        role: Role,
        days: u32,
    ) -> Result<(Bundle, CredentialRecord)> {
        let (params, record) = draft(Grant { tenant, user, role, days })?;
        let (cert_pem, key_pem, der) = self.tenants.sign(&params)?;
        Ok((Bundle { ca_pem: self.client_ca(), cert_pem, key_pem }, with_fingerprint(record, &der)))
    }

    /// The papers of a new credential: for the key of `request`, or for one that is made here. As with
    /// [`issue_client`](Self::issue_client), the record has yet to be stored.
    ///
    /// # Errors
    /// `Invalid` for a bad user name or time.
    pub fn issue(&self, grant: Grant<'_>, request: Option<&SigningRequest>) -> Result<(Papers, CredentialRecord)> {
        grant.check_days()?;
        let Some(request) = request else {
            let (bundle, record) = self.issue_client(grant.tenant, grant.user, grant.role, grant.days)?;
            return Ok((bundle.into(), record));
        };
        let (params, record) = draft(grant)?;
        let (cert_pem, der) = self.tenants.certify(&params, &request.key)?;
        Ok((Papers { ca_pem: self.client_ca(), cert_pem, key_pem: None }, with_fingerprint(record, &der)))
    }

    /// What a tenant's client trusts.
    fn client_ca(&self) -> String {
        format!("{}{}", self.tenants.pem, self.root_pem)
    }
}

/// Everything of a client's certificate comes from the grant, whoever made the key.
fn draft(grant: Grant<'_>) -> Result<(CertificateParams, CredentialRecord)> {
    let Grant { tenant, user, role, days } = grant;
    check_user(user)?;
    let name = ClientName { tenant: tenant.id, user: user.to_owned(), credential: CredentialId::random() };
    let names = Names { uri: Some(name.to_string()), ..Names::default() };
    let (mut params, not_after) = leaf::leaf(&format!("{user}@{}", tenant.name), names, Use::Client, days)?;
    // rcgen would take the key's hash, and one key may get several certificates.
    params.serial_number = Some(SerialNumber::from_slice(name.credential.0.as_bytes()));
    let record = CredentialRecord {
        id: name.credential,
        tenant: tenant.id,
        user: name.user,
        role,
        fingerprint: Vec::new(),
        not_after,
        revoked_at: None,
    };
    Ok((params, record))
}

fn with_fingerprint(record: CredentialRecord, der: &[u8]) -> CredentialRecord {
    CredentialRecord { fingerprint: Sha256::digest(der).to_vec(), ..record }
}

impl Intermediate {
    fn open(dir: &Path, name: &str) -> Result<Self> {
        let pem = read(&dir.join(name).with_extension("pem"))?;
        let key = KeyPair::from_pem(&read(&dir.join(name).with_extension("key"))?);
        let issuer = key.and_then(|key| Issuer::from_ca_cert_pem(&pem, key));
        let issuer = issuer.map_err(|e| Error::because(format!("reading the {name} authority"), e))?;
        Ok(Self { pem, issuer })
    }

    /// The chain and a fresh key in PEM, and the leaf in DER.
    fn sign(&self, params: &CertificateParams) -> Result<(String, String, Vec<u8>)> {
        let key = KeyPair::generate().map_err(|e| Error::because("making a key", e))?;
        let (chain, der) = self.certify(params, &key)?;
        Ok((chain, key.serialize_pem(), der))
    }

    /// The chain in PEM, and the leaf in DER.
    fn certify(&self, params: &CertificateParams, key: &impl PublicKeyData) -> Result<(String, Vec<u8>)> {
        let certificate =
            params.signed_by(key, &self.issuer).map_err(|e| Error::because("signing a certificate", e))?;
        Ok((format!("{}{}", certificate.pem(), self.pem), certificate.der().to_vec()))
    }
}

/// Made beside its place and renamed: a non-empty target means that somebody else was first, which is as good.
fn create(dir: &Path) -> io::Result<()> {
    let parent = dir.parent().unwrap_or_else(|| Path::new("/"));
    fs::create_dir_all(parent)?;
    let fresh: PathBuf = tempfile::Builder::new().prefix(".authority-").tempdir_in(parent)?.keep();
    create_private_dir(&fresh)?;
    fill(&fresh)?;
    if let Err(e) = fs::rename(&fresh, dir) {
        fs::remove_dir_all(&fresh)?;
        if !dir.join("root.pem").exists() {
            return Err(e);
        }
    }
    Ok(())
}

fn fill(dir: &Path) -> io::Result<()> {
    let root_key = KeyPair::generate().map_err(io::Error::other)?;
    let root_params = leaf::authority("Wharfinger root", 1, ROOT_YEARS);
    let root = root_params.self_signed(&root_key).map_err(io::Error::other)?;
    save(dir, "root", &root.pem(), &root_key)?;
    let issuer = Issuer::new(root_params, root_key);
    for name in ["infra", "tenants", "endpoints"] {
        sign(dir, name, &issuer)?;
    }
    Ok(())
}

/// To an authority of before there was one for endpoints.
fn add_endpoints(dir: &Path) -> io::Result<()> {
    let key = KeyPair::from_pem(&fs::read_to_string(dir.join("root.key"))?).map_err(io::Error::other)?;
    let root = fs::read_to_string(dir.join("root.pem"))?;
    sign(dir, "endpoints", &Issuer::from_ca_cert_pem(&root, key).map_err(io::Error::other)?)
}

fn sign(dir: &Path, name: &str, issuer: &Issuer<'_, KeyPair>) -> io::Result<()> {
    let key = KeyPair::generate().map_err(io::Error::other)?;
    let mut params = leaf::authority(&format!("Wharfinger {name}"), 0, INTERMEDIATE_YEARS);
    if name == "endpoints" {
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
    }
    save(dir, name, &params.signed_by(&key, issuer).map_err(io::Error::other)?.pem(), &key)
}

fn save(dir: &Path, name: &str, pem: &str, key: &KeyPair) -> io::Result<()> {
    write_file(&dir.join(name).with_extension("pem"), pem, 0o600)?;
    write_file(&dir.join(name).with_extension("key"), &key.serialize_pem(), 0o600)
}

fn read(path: &Path) -> Result<String> {
    fs::read_to_string(path).map_err(|e| Error::because(format!("reading {}", path.display()), e))
}
