//! The address of a tenant's own, where its Docker API and its published ports answer.

use std::net::{IpAddr, Ipv4Addr};

use domain::{Error, Result, TenantId};
use ipnet::{IpNet, Ipv4Net};

use crate::{Inventory, TenantView, failure};

const ASSIGN: &str = "UPDATE tenants SET address = coalesce(address, $2), ports_generation = ports_generation + 1,
    revision = revision + 1 WHERE id = $1 AND address IS NULL";
const ORDINAL: &str = "SELECT ordinal FROM tenants WHERE id = $1";
const ADDRESS: &str = "SELECT address FROM tenants WHERE id = $1";

impl Inventory {
    /// Gives the tenant the address of `pool` that goes with its number, unless it has one.
    ///
    /// # Errors
    /// `NoCapacity` when the pool ends before it.
    pub async fn assign_address(&self, tenant: TenantId, pool: Ipv4Net) -> Result<IpAddr> {
        let view = self.tenant(tenant);
        if let Some(address) = view.address().await? {
            return Ok(address);
        }
        let ordinal: i32 = failure::retrying("number of a tenant", || {
            sqlx::query_scalar(ORDINAL).bind(tenant.0).fetch_one(&self.pool)
        })
        .await?;
        // Never the network's own address and never its broadcast address.
        let address = Ipv4Addr::from(u32::from(pool.network()).wrapping_add(ordinal.unsigned_abs() + 1));
        if !pool.contains(&address) || address >= pool.broadcast() {
            return Err(Error::NoCapacity(format!("no address of {pool} is left for another tenant")));
        }
        let net = IpNet::V4(Ipv4Net::from(address));
        let assign = || sqlx::query(ASSIGN).bind(tenant.0).bind(net).execute(&self.pool);
        failure::retrying("give a tenant its address", assign).await?;
        view.address().await?.ok_or_else(|| Error::internal("a tenant without the address that it was given"))
    }
}

impl TenantView {
    /// Where its Docker API and its published ports answer.
    pub async fn address(&self) -> Result<Option<IpAddr>> {
        let query = || sqlx::query_scalar(ADDRESS).bind(self.id.0).fetch_one(&self.pool);
        let address: Option<IpNet> = failure::retrying("address of a tenant", query).await?;
        Ok(address.map(|net| net.addr()))
    }
}
