//! `wharfinger credentials`: client certificates of tenants' users. What they are is decided in `identity`; here are only the
//! arguments, the files and the words.

use std::{
    fs, io,
    io::Write as _,
    net::SocketAddr,
    os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _},
    path::{Path, PathBuf},
};

use domain::{CredentialId, Error, Kind, Result, TenantRecord};
use identity::{Grant, SigningRequest};
use inventory::{Inventory, NamedCredential};
use serde_json::json;

use crate::{
    cli::{CredentialsCommand, IssueOptions, Output},
    credentials, database,
    layout::Layout,
    say,
    site::Site,
    tenants::block_on,
};

pub(crate) fn run(layout: &Layout, command: CredentialsCommand) -> Result<()> {
    block_on(async {
        let (site, inventory) = database::of_running(layout).await?;
        let desk = Desk { layout, site, inventory };
        match command {
            CredentialsCommand::Create { tenant, user, role, issue } => {
                let tenant = desk.inventory.tenant_by_name(&tenant).await?;
                desk.issue(Grant { tenant: &tenant, user: &user, role, days: issue.days }, &issue).await
            }
            CredentialsCommand::List { tenant, output } => desk.list(tenant.as_deref(), output).await,
            CredentialsCommand::Revoke { id } => desk.revoke(&id).await,
            CredentialsCommand::Renew { id, issue } => {
                let old = desk.inventory.credential_by_id(parse(&id)?).await?;
                let tenant = desk.inventory.tenant_by_id(old.tenant).await?;
                desk.issue(Grant::renewing(&old, &tenant, issue.days)?, &issue).await
            }
        }
    })
}

struct Desk<'a> {
    layout: &'a Layout,
    site: Site,
    inventory: Inventory,
}

impl Desk<'_> {
    /// The files come first and the row last: files without a row open nothing, and a failure leaves neither.
    async fn issue(&self, grant: Grant<'_>, options: &IssueOptions) -> Result<()> {
        let request = options.csr.as_deref().map(read_request).transpose()?;
        let (papers, record) = credentials::authority(self.layout)?.issue(grant, request.as_ref())?;
        let host = format!("tcp://{}", self.endpoint(grant.tenant).await?);
        let short = &record.id.to_string()[..8];
        let default = || PathBuf::from(format!("{}-{}-{short}", grant.tenant.name, grant.user));
        let dir = options.out.clone().unwrap_or_else(default);
        let files = papers.files(&grant.tenant.name, &host)?;
        write_new(&dir, &files)?;
        if let Err(e) = self.inventory.add_credential(&record).await {
            remove(&dir, &files);
            return Err(e);
        }
        let names: Vec<&str> = files.iter().map(|(name, _)| *name).collect();
        say::line(format_args!(
            "credential {} of {} in tenant {}, {}, valid until {}",
            record.id,
            record.user,
            grant.tenant.name,
            record.role.as_str(),
            time(record.not_after)
        ));
        say::line(format_args!("{} in {}, for {host}", names.join(" "), dir.display()));
        Ok(())
    }

    async fn list(&self, tenant: Option<&str>, output: Output) -> Result<()> {
        let tenant = match tenant {
            Some(name) => Some(self.inventory.tenant_by_name(name).await?.id),
            None => None,
        };
        let list = self.inventory.credentials(tenant).await?;
        match output {
            Output::Table => {
                say::line(row(["ID", "TENANT", "USER", "ROLE", "NOT AFTER", "REVOKED"]));
                list.iter().for_each(|c| say::line(table_row(c)));
            }
            Output::Json => {
                let list: Vec<_> = list.iter().map(json_of).collect();
                let text = serde_json::to_string_pretty(&list).map_err(|e| Error::because("a list as JSON", e))?;
                say::line(text);
            }
        }
        Ok(())
    }

    async fn revoke(&self, id: &str) -> Result<()> {
        let id = parse(id)?;
        match self.inventory.revoke_credential(id).await? {
            true => say::line(format_args!("credential {id} is revoked")),
            false => say::line(format_args!("credential {id} was revoked before")),
        }
        Ok(())
    }

    /// The tenant's own address, as `wharfinger env` has it.
    async fn endpoint(&self, tenant: &TenantRecord) -> Result<SocketAddr> {
        let own = self.inventory.tenant(tenant.id).address().await?;
        Ok(own.map_or(self.site.endpoint(), |ip| SocketAddr::new(ip, self.site.listen.port())))
    }
}

/// What is no id is the id of nothing.
fn parse(id: &str) -> Result<CredentialId> {
    id.parse().map_err(|_| Error::not_found(Kind::Credential, id))
}

fn read_request(path: &Path) -> Result<SigningRequest> {
    let named = |why: String| Error::invalid(format!("--csr {}: {why}", path.display()));
    let pem = fs::read(path).map_err(|e| named(e.to_string()))?;
    SigningRequest::from_pem(&pem).map_err(|e| named(e.to_string()))
}

/// For the owner only. Nothing that is there is replaced: it may be the key that the request was made with.
fn write_new(dir: &Path, files: &[(&str, Vec<u8>)]) -> Result<()> {
    fs::DirBuilder::new().recursive(true).mode(0o700).create(dir).map_err(|e| refused(dir, &e))?;
    for (at, (name, data)) in files.iter().enumerate() {
        let path = dir.join(name);
        let opened = fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(&path);
        let written = opened
            .map_err(|e| (at, e))
            .and_then(|mut file| file.write_all(data).and_then(|()| file.sync_all()).map_err(|e| (at + 1, e)));
        if let Err((made, e)) = written {
            remove(dir, &files[..made]);
            return Err(refused(&path, &e));
        }
    }
    Ok(())
}

fn refused(path: &Path, cause: &io::Error) -> Error {
    match cause.kind() {
        io::ErrorKind::AlreadyExists => {
            Error::conflict(format!("--out: {} exists already and is not replaced", path.display()))
        }
        _ => Error::invalid(format!("--out: {}: {cause}", path.display())),
    }
}

fn remove(dir: &Path, files: &[(&str, Vec<u8>)]) {
    for (name, _) in files {
        let _ = fs::remove_file(dir.join(name));
    }
}

fn time(at: chrono::DateTime<chrono::Utc>) -> String {
    at.to_rfc3339_opts(chrono::SecondsFormat::Secs, true)
}

fn row([id, tenant, user, role, not_after, revoked]: [&str; 6]) -> String {
    format!("{id:<36} {tenant:<20} {user:<16} {role:<9} {not_after:<20} {revoked}")
}

fn table_row(NamedCredential { tenant_name, record }: &NamedCredential) -> String {
    let revoked = record.revoked_at.map_or("-".to_owned(), time);
    row([&record.id.to_string(), tenant_name, &record.user, record.role.as_str(), &time(record.not_after), &revoked])
}

fn json_of(NamedCredential { tenant_name, record }: &NamedCredential) -> serde_json::Value {
    json!({
        "id": record.id,
        "tenant": tenant_name,
        "user": record.user,
        "role": record.role,
        "not_after": time(record.not_after),
        "revoked_at": record.revoked_at.map(time),
    })
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    #[test]
    fn files_are_the_owners_and_replace_nothing() {
        let dir = std::env::temp_dir().join(format!("wharfinger-clients-{}", std::process::id()));
        let files = [("ca.pem", b"ca".to_vec()), ("cert.pem", b"cert".to_vec())];
        write_new(&dir, &files).unwrap();
        let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
        assert_eq!((mode(&dir), mode(&dir.join("cert.pem"))), (0o700, 0o600));
        fs::remove_file(dir.join("ca.pem")).unwrap();
        fs::write(dir.join("cert.pem"), "another").unwrap();
        let refused = write_new(&dir, &files).unwrap_err().to_string();
        let kept = fs::read_to_string(dir.join("cert.pem")).unwrap();
        let half = dir.join("ca.pem").exists();
        fs::remove_dir_all(&dir).unwrap();
        assert!(refused.contains("cert.pem exists already"), "{refused}");
        assert_eq!((kept.as_str(), half), ("another", false), "nothing of it is left");
    }

    #[test]
    fn what_is_no_id_is_not_found() {
        assert_eq!(parse("x").unwrap_err().to_string(), "no such credential: x");
    }
}
