//! The IPv6 side of a network that a tenant makes.
//!
//! A tenant's subnets never overlap. Two tenants' may, but those of the pool are chosen at random among the ones that nobody
//! has, so that they rarely do: a unique local address that is in a log says whose it is.

use std::net::Ipv6Addr;

use domain::{Error, NewNetworkIpv6, Result, TenantId};
use ipnet::{IpNet, Ipv6Net};
use sqlx::PgConnection;

use super::{NetworkIpv6, create::pool_overlaps, v6};
use crate::failure;

const OWN: &str = "SELECT subnet6 FROM networks WHERE tenant_id = $1 AND subnet6 IS NOT NULL";
const NOBODYS: &str = "SELECT subnet FROM unnest($1::cidr[]) subnet
    WHERE NOT EXISTS (SELECT FROM networks n WHERE n.subnet6 = subnet)";
/// Of networks whose tenant names no subnet.
const PREFIX: u8 = 64;
/// Blocks of the pool that are looked at before one is taken that another tenant has.
const TRIES: usize = 16;

/// The caller holds the tenant's row.
pub(super) async fn settle(
    db: &mut PgConnection,
    tenant: TenantId,
    new: &NewNetworkIpv6,
    pool: Ipv6Net,
) -> Result<NetworkIpv6> {
    let failed = |e| failure::translate("choose an IPv6 subnet", e);
    let own: Vec<IpNet> = sqlx::query_scalar(OWN).bind(tenant.0).fetch_all(&mut *db).await.map_err(failed)?;
    let own: Vec<Ipv6Net> = own.into_iter().filter_map(v6).collect();
    let subnet = match new.subnet {
        Some(wanted) if is_free(&wanted, &own) => wanted,
        Some(_) => return Err(pool_overlaps()),
        None => {
            let tried: Vec<Ipv6Net> = (0..TRIES).map(|_| block(pool, rand::random())).collect();
            let asked: Vec<IpNet> = tried.iter().copied().map(IpNet::V6).collect();
            let nobodys: Vec<IpNet> =
                sqlx::query_scalar(NOBODYS).bind(&asked).fetch_all(&mut *db).await.map_err(failed)?;
            choose(nobodys.into_iter().filter_map(v6).chain(tried), pool, &own)?
        }
    };
    let gateway = new.gateway.unwrap_or_else(|| first_free(subnet, new));
    Ok(NetworkIpv6 { subnet, gateway, range: new.range, auxiliary: new.auxiliary.clone() })
}

/// The first of `preferred` that is free, or else of the whole pool.
fn choose(preferred: impl Iterator<Item = Ipv6Net>, pool: Ipv6Net, own: &[Ipv6Net]) -> Result<Ipv6Net> {
    let blocks = pool.subnets(pool.prefix_len().max(PREFIX)).map_err(|e| Error::because("the pool of subnets", e))?;
    let found = preferred.chain(blocks).find(|net| is_free(net, own));
    found.ok_or_else(|| Error::NoCapacity("all predefined address pools have been fully subnetted".to_owned()))
}

fn is_free(net: &Ipv6Net, own: &[Ipv6Net]) -> bool {
    !own.iter().any(|o| o.contains(net) || net.contains(o))
}

/// A block of the pool by number, modulo how many there are.
fn block(pool: Ipv6Net, number: u64) -> Ipv6Net {
    let bits = PREFIX.saturating_sub(pool.prefix_len());
    let number = number & 1u64.checked_shl(bits.into()).map_or(u64::MAX, |blocks| blocks - 1);
    let first = u128::from(pool.network()) | (u128::from(number) << (128 - PREFIX));
    Ipv6Net::new(first.into(), pool.prefix_len().max(PREFIX)).unwrap_or(pool)
}

/// The first address of the range that is not set aside, as for IPv4. The network's own is every router's (RFC 4291).
fn first_free(subnet: Ipv6Net, new: &NewNetworkIpv6) -> Ipv6Addr {
    let network = u128::from(new.range.unwrap_or(subnet).network());
    let mut addresses = (1..=u128::from(u16::MAX)).map(|n| Ipv6Addr::from(network + n));
    let is_free = |a: &Ipv6Addr| !new.auxiliary.values().any(|aux| aux == a);
    addresses.find(is_free).unwrap_or_else(|| Ipv6Addr::from(network + 1))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn net(text: &str) -> Ipv6Net {
        text.parse().unwrap()
    }

    #[test]
    fn blocks_are_of_the_pool() {
        assert_eq!(block(net("fd12:3456:789a::/48"), 0x1_0007), net("fd12:3456:789a:7::/64"));
        assert_eq!(block(net("fd00::/8"), u64::MAX), net("fdff:ffff:ffff:ffff::/64"));
        assert_eq!(block(net("fd12::/64"), 99), net("fd12::/64"));
        assert_eq!(block(net("fd12::/80"), 99), net("fd12::/80"));
        assert_eq!(block(net("::/0"), u64::MAX), net("ffff:ffff:ffff:ffff::/64"));
    }

    #[test]
    fn what_nobody_has_is_preferred_and_what_the_tenant_has_is_never_taken() {
        let (pool, a, b) = (net("fd12::/63"), net("fd12::/64"), net("fd12:0:0:1::/64"));
        assert_eq!(choose([b].into_iter(), pool, &[]).unwrap(), b);
        assert_eq!(choose([b].into_iter(), pool, &[net("fd12:0:0:1:8000::/65")]).unwrap(), a);
        assert!(matches!(choose([b].into_iter(), pool, &[pool]), Err(Error::NoCapacity(_))));
    }

    #[test]
    fn the_gateway_is_the_first_address_that_is_free() {
        let mut new = NewNetworkIpv6::default();
        assert_eq!(first_free(net("fd12::/64"), &new).to_string(), "fd12::1");
        new.auxiliary.insert("a".into(), "fd12::1".parse().unwrap());
        assert_eq!(first_free(net("fd12::/64"), &new).to_string(), "fd12::2");
        new.range = Some(net("fd12::7:0/112"));
        assert_eq!(first_free(net("fd12::/64"), &new).to_string(), "fd12::7:1");
    }
}
