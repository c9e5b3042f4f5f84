//! A network that a tenant makes. Its subnet overlaps none of the tenant's others; those of other tenants don't matter.

use std::net::Ipv4Addr;

use domain::{Error, NetworkId, NewNetwork, Result};
use ipnet::{IpNet, Ipv4Net, Ipv6Net};
use sqlx::types::Json;

use super::{DEFAULT_PREFIX, event_of, ipv6, v4};
use crate::{TenantView, event, failure};

const LOCK: &str = "UPDATE tenants SET revision = revision + 1 WHERE id = $1";
const SUBNETS: &str = "SELECT subnet FROM networks WHERE tenant_id = $1";
const INSERT: &str =
    "INSERT INTO networks (tenant_id, id, name, subnet, gateway, internal, ip_range, auxiliary, labels, options, subnet_given,
        subnet6, gateway6, ip_range6, auxiliary6)
    VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15)";

impl TenantView {
    /// The new network's id. A subnet that is not given is a free block of `pool`, or of `pool6`.
    ///
    /// # Errors
    /// `Conflict` in dockerd's words where name or subnet are taken; `NoCapacity` when the pool is used up.
    pub async fn create_network(&self, new: &NewNetwork, pool: Ipv4Net, pool6: Ipv6Net) -> Result<NetworkId> {
        let context = "create a network";
        let id = NetworkId::random();
        let mut tx = self.pool.begin().await.map_err(|e| failure::translate(context, e))?;
        let failed = |e| failure::translate(context, e);
        sqlx::query(LOCK).bind(self.id.0).execute(&mut *tx).await.map_err(failed)?;
        let taken: Vec<IpNet> =
            sqlx::query_scalar(SUBNETS).bind(self.id.0).fetch_all(&mut *tx).await.map_err(failed)?;
        let taken: Vec<Ipv4Net> = taken.into_iter().filter_map(v4).collect();
        let subnet = choose(new.subnet, pool, &taken)?;
        let gateway = new.gateway.unwrap_or_else(|| first_free(subnet, new));
        let side = match &new.ipv6 {
            Some(new) => Some(ipv6::settle(&mut tx, self.id, new, pool6).await?),
            None => None,
        };
        sqlx::query(INSERT)
            .bind(self.id.0)
            .bind(id.as_str())
            .bind(&new.name)
            .bind(IpNet::V4(subnet))
            .bind(IpNet::V4(gateway.into()))
            .bind(new.internal)
            .bind(new.ip_range.map(IpNet::V4))
            .bind(Json(&new.auxiliary))
            .bind(Json(&new.labels))
            .bind(Json(&new.options))
            .bind(new.subnet.is_some())
            .bind(side.as_ref().map(|s| IpNet::V6(s.subnet)))
            .bind(side.as_ref().map(|s| IpNet::V6(s.gateway.into())))
            .bind(side.as_ref().and_then(|s| s.range).map(IpNet::V6))
            .bind(Json(side.map(|s| s.auxiliary).unwrap_or_default()))
            .execute(&mut *tx)
            .await
            .map_err(|e| match failure::violated(&e) {
                Some("networks_name_unique") => {
                    Error::conflict(format!("network with name {} already exists", new.name))
                }
                _ => failed(e),
            })?;
        event::put(&mut *tx, self.id, &[event_of("create", &id, &new.name)]).await.map_err(failed)?;
        tx.commit().await.map_err(failed)?;
        self.bell.ring();
        Ok(id)
    }
}

fn overlap(a: &Ipv4Net, b: &Ipv4Net) -> bool {
    a.contains(b) || b.contains(a)
}

/// In dockerd's words.
pub(super) fn pool_overlaps() -> Error {
    Error::conflict("invalid pool request: Pool overlaps with other one on this address space")
}

fn choose(wanted: Option<Ipv4Net>, pool: Ipv4Net, taken: &[Ipv4Net]) -> Result<Ipv4Net> {
    let is_free = |net: &Ipv4Net| !taken.iter().any(|t| overlap(t, net));
    match wanted {
        Some(net) if is_free(&net) => Ok(net),
        Some(_) => Err(pool_overlaps()),
        None => {
            let prefix = pool.prefix_len().max(DEFAULT_PREFIX);
            let mut blocks = pool.subnets(prefix).map_err(|e| Error::because("the pool of subnets", e))?;
            blocks
                .find(is_free)
                .ok_or_else(|| Error::NoCapacity("all predefined address pools have been fully subnetted".to_owned()))
        }
    }
}

/// The first address of the range that is not set aside; Docker's choice for a gateway.
fn first_free(subnet: Ipv4Net, new: &NewNetwork) -> Ipv4Addr {
    let hosts = new.ip_range.filter(|range| range.prefix_len() < 31).unwrap_or(subnet).hosts();
    let is_free = |a: &Ipv4Addr| !new.auxiliary.values().any(|aux| aux == a) && *a != subnet.network();
    hosts.into_iter().find(is_free).unwrap_or_else(|| subnet.hosts().next().unwrap_or(subnet.addr()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn net(text: &str) -> Ipv4Net {
        text.parse().unwrap()
    }

    #[test]
    fn a_block_of_the_pool_that_overlaps_nothing_of_the_tenants() {
        let pool = net("172.16.0.0/12");
        assert_eq!(choose(None, pool, &[]).unwrap(), net("172.16.0.0/20"));
        assert_eq!(choose(None, pool, &[net("172.16.0.0/20"), net("172.16.16.0/24")]).unwrap(), net("172.16.32.0/20"));
        assert!(matches!(choose(None, net("10.0.0.0/20"), &[net("10.0.0.0/24")]), Err(Error::NoCapacity(_))));
        assert!(matches!(choose(Some(net("10.1.0.0/24")), pool, &[net("10.1.0.0/16")]), Err(Error::Conflict(_))));
    }

    #[test]
    fn the_gateway_is_the_first_address_that_is_free() {
        let mut new = NewNetwork { subnet: Some(net("10.1.0.0/24")), ..NewNetwork::default() };
        assert_eq!(first_free(net("10.1.0.0/24"), &new).to_string(), "10.1.0.1");
        new.auxiliary.insert("a".into(), "10.1.0.1".parse().unwrap());
        assert_eq!(first_free(net("10.1.0.0/24"), &new).to_string(), "10.1.0.2");
        new.ip_range = Some(net("10.1.0.128/25"));
        assert_eq!(first_free(net("10.1.0.0/24"), &new).to_string(), "10.1.0.129");
    }
}
