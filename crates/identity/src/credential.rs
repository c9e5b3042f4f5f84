//! A user's credential as it is handed out: whom it is for, and the papers that its holder gets.
//!
//! Shared by everything that issues: the operator's commands, later the APIs. Nothing here touches a disk.

use std::ops::RangeInclusive;

use domain::{Error, Result, Role, TenantRecord};
use inventory::CredentialRecord;
use serde_json::json;

use crate::Bundle;

/// How long a credential may last: what public authorities issued at the most before 2020.
pub const CREDENTIAL_DAYS: RangeInclusive<u32> = 1..=825;

/// Whom a credential is for. A user may have any number of them.
#[derive(Debug, Clone, Copy)]
pub struct Grant<'a> {
    pub tenant: &'a TenantRecord,
    pub user: &'a str,
    pub role: Role,
    pub days: u32,
}

impl<'a> Grant<'a> {
    /// The same rights for longer. The old credential goes on until its end or its revocation.
    ///
    /// # Errors
    /// `Conflict` for a revoked one: whoever it was taken from must not get it back by a renewal.
    pub fn renewing(old: &'a CredentialRecord, tenant: &'a TenantRecord, days: u32) -> Result<Self> {
        if old.tenant != tenant.id {
            return Err(Error::internal("a credential of another tenant"));
        }
        match old.revoked_at {
            Some(at) => Err(Error::conflict(format!(
                "credential {} was revoked at {}; create a new one instead",
                old.id,
                at.format("%FT%TZ")
            ))),
            None => Ok(Self { tenant, user: &old.user, role: old.role, days }),
        }
    }

    pub(crate) fn check_days(&self) -> Result<()> {
        let (least, most) = CREDENTIAL_DAYS.into_inner();
        match CREDENTIAL_DAYS.contains(&self.days) {
            true => Ok(()),
            false => Err(Error::invalid(format!("invalid days: {} is not within {least} and {most}", self.days))),
        }
    }
}

/// What the holder of a credential is given, in PEM. `Debug` is left out, so that no key gets into a log.
pub struct Papers {
    pub ca_pem: String,
    pub cert_pem: String,
    /// None: the key was made by the client and has never been here.
    pub key_pem: Option<String>,
}

impl From<Bundle> for Papers {
    fn from(bundle: Bundle) -> Self {
        Self { ca_pem: bundle.ca_pem, cert_pem: bundle.cert_pem, key_pem: Some(bundle.key_pem) }
    }
}

impl Papers {
    /// Names and contents of the files for a client of `host` (`tcp://address:port`). Where the key is here, they are a
    /// whole bundle: `DOCKER_CERT_PATH`, a script that sets it, and a context.
    ///
    /// # Errors
    /// A defect: the archive cannot be written.
    pub fn files(&self, tenant: &str, host: &str) -> Result<Vec<(&'static str, Vec<u8>)>> {
        let mut files =
            vec![("ca.pem", self.ca_pem.clone().into_bytes()), ("cert.pem", self.cert_pem.clone().into_bytes())];
        if let Some(key) = &self.key_pem {
            files.push(("key.pem", key.clone().into_bytes()));
            let context = context(&files, tenant, host).map_err(|e| Error::because("writing context.tar", e))?;
            files.push(("env.sh", env_sh(host).into_bytes()));
            files.push(("context.tar", context));
        }
        Ok(files)
    }
}

/// It finds its own directory, since bundles travel: by `BASH_SOURCE` in bash, `$0` in zsh; other shells must be in it.
fn env_sh(host: &str) -> String {
    format!(
        "# For the docker client: . ./env.sh\n\
         export DOCKER_HOST={host}\n\
         export DOCKER_TLS_VERIFY=1\n\
         DOCKER_CERT_PATH=\"$(cd -- \"$(dirname -- \"${{BASH_SOURCE:-$0}}\")\" >/dev/null && pwd)\"\n\
         export DOCKER_CERT_PATH\n"
    )
}

/// What `docker context export` writes and `docker context import NAME context.tar` takes; the name is the importer's.
fn context(pems: &[(&str, Vec<u8>)], tenant: &str, host: &str) -> std::io::Result<Vec<u8>> {
    let meta = json!({
        "Name": tenant,
        "Metadata": { "Description": format!("Wharfinger, tenant {tenant}") },
        "Endpoints": { "docker": { "Host": host, "SkipTLSVerify": false } },
    });
    let mut archive = tar::Builder::new(Vec::new());
    append(&mut archive, "meta.json", tar::EntryType::Regular, meta.to_string().as_bytes())?;
    append(&mut archive, "tls/", tar::EntryType::Directory, &[])?;
    append(&mut archive, "tls/docker/", tar::EntryType::Directory, &[])?;
    for (name, pem) in pems {
        append(&mut archive, &format!("tls/docker/{name}"), tar::EntryType::Regular, pem)?;
    }
    archive.into_inner()
}

fn append(archive: &mut tar::Builder<Vec<u8>>, path: &str, kind: tar::EntryType, data: &[u8]) -> std::io::Result<()> {
    let mut header = tar::Header::new_ustar();
    header.set_entry_type(kind);
    header.set_mode(if kind.is_dir() { 0o700 } else { 0o600 });
    header.set_size(data.len() as u64);
    header.set_uid(0);
    header.set_gid(0);
    header.set_mtime(0);
    archive.append_data(&mut header, path, data)
}
