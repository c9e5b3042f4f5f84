//! `wharfinger tenants`: a tenant, its owner's certificate, and the directory that a docker client is pointed at.

use std::{fs, path::Path, time::Duration};

use domain::{Error, Result, Role, TenantRecord};
use inventory::Inventory;

use crate::{
    credentials, database, env,
    layout::Layout,
    say,
    site::{Site, write_private},
};

/// The first tenant of every system.
pub(crate) const DEMO: &str = "demo";
/// In a client bundle: where the tenant's Docker API answers.
pub(crate) const ADDRESS: &str = "address";
const OWNER: &str = "owner";
const CLIENT_DAYS: u32 = 365;
const ANNOUNCE: Duration = Duration::from_secs(2);

pub(crate) fn create(layout: &Layout, name: &str) -> Result<()> {
    block_on(async {
        let (site, inventory) = database::of_running(layout).await?;
        let existed = ensure(layout, &site, &inventory, name).await?;
        if existed {
            return Err(Error::conflict(format!(
                "tenant {name} exists already; its client bundle is in {}",
                layout.tenant(name).display()
            )));
        }
        say::line(format_args!("tenant {name}; its client bundle is in {}", layout.tenant(name).display()));
        say::line(format_args!("{}", env::lines(layout, &site, name)));
        Ok(())
    })
}

/// Makes what is missing of a tenant and its bundle: a crash half-way is mended by the next call. True if nothing was.
pub(crate) async fn ensure(layout: &Layout, site: &Site, inventory: &Inventory, name: &str) -> Result<bool> {
    check_name(name)?;
    let dir = layout.tenant(name);
    let (tenant, existed) = match inventory.tenant_by_name(name).await {
        Ok(tenant) => (tenant, true),
        Err(Error::NotFound { .. }) => (inventory.create_tenant(name, site.tenant_pool).await?, false),
        Err(e) => return Err(e),
    };
    let known = existed && dir.join("cert.pem").exists();
    if !known {
        issue(layout, inventory, &tenant, &dir).await?;
    }
    address(layout, site, inventory, &tenant).await?;
    if !known {
        announce(layout, inventory, &tenant).await;
    }
    Ok(known)
}

/// Whoever reads the new tenant's `DOCKER_HOST` dials it at once, and an edge asks for news every two seconds only. An edge
/// that cannot be reached hears of it then.
async fn announce(layout: &Layout, inventory: &Inventory, tenant: &TenantRecord) {
    let told = async {
        let dir = layout.tls("frontend");
        let files = rpc::TlsFiles { ca: dir.join("ca.pem"), cert: dir.join("cert.pem"), key: dir.join("key.pem") };
        let channels = rpc::Channels::new(files);
        let address: rpc::v1::PublishedAddress = inventory.tenant(tenant.id).published_ports().await?.into();
        for endpoint in inventory.edges().await? {
            let list = rpc::v1::PublishedAddresses { addresses: vec![address.clone()] };
            channels.edge(&endpoint)?.announce(list).await.map_err(rpc::status::from_status)?;
        }
        Ok::<_, Error>(())
    };
    if !matches!(tokio::time::timeout(ANNOUNCE, told).await, Ok(Ok(()))) {
        say::line("its address answers within two seconds");
    }
}

/// The tenant's own address, and a note of it beside its client bundle: `env` must not ask the database.
pub(crate) async fn address(layout: &Layout, site: &Site, inventory: &Inventory, tenant: &TenantRecord) -> Result<()> {
    let address = inventory.assign_address(tenant.id, site.address_pool()).await?;
    let dir = layout.tenant(&tenant.name);
    if dir.is_dir() {
        write_private(&dir.join(ADDRESS), &format!("{address}\n"))?;
    }
    Ok(())
}

/// The row comes first and the directory appears as a whole: a bundle that is there works.
async fn issue(layout: &Layout, inventory: &Inventory, tenant: &TenantRecord, dir: &Path) -> Result<()> {
    let (bundle, record) = credentials::authority(layout)?.issue_client(tenant, OWNER, Role::Owner, CLIENT_DAYS)?;
    let fresh = dir.with_extension("new");
    bundle.write(&fresh)?;
    inventory.add_credential(&record).await?;
    let gone =
        fs::remove_dir_all(dir).or_else(|e| if e.kind() == std::io::ErrorKind::NotFound { Ok(()) } else { Err(e) });
    gone.and_then(|()| fs::rename(&fresh, dir)).map_err(|e| Error::because(format!("creating {}", dir.display()), e))
}

/// The name becomes a directory and stands in log lines.
fn check_name(name: &str) -> Result<()> {
    let legal = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-';
    if name.is_empty() || name.len() > 63 || name.starts_with('-') || !name.bytes().all(legal) {
        return Err(Error::invalid(format!("invalid tenant name {name:?}: use a-z, 0-9 and -, 63 at the most")));
    }
    Ok(())
}

pub(crate) fn block_on(work: impl Future<Output = Result<()>>) -> Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    runtime.map_err(|e| Error::because("starting the runtime", e))?.block_on(work)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_that_could_leave_their_directory_are_refused() {
        for name in ["", "..", "a/b", "-x", "Demo", "a.b", &"x".repeat(64)] {
            assert!(check_name(name).is_err(), "{name:?}");
        }
        assert!(check_name("team-7").is_ok());
    }
}
