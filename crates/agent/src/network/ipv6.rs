//! IPv6 on a link, where its network has it. Everywhere else it is off: `default.disable_ipv6` in sandboxes and routers.
//!
//! Addresses are handed out as those of IPv4 are, so a link believes no router and no redirect, and asks nobody whether its
//! address is taken: the port's filter ([`super::guard`]) would drop the question, and the first second would be lost.

use std::net::Ipv6Addr;

use domain::Result;
use rtnetlink::{Handle, RouteMessageBuilder, packet_route::address::AddressHeaderFlags};

use super::{links::because, netns};

/// The last one turns it on.
const SETTINGS: [(&str, &str); 4] =
    [("accept_ra", "0"), ("accept_redirects", "0"), ("accept_dad", "0"), ("disable_ipv6", "0")];

/// In the calling thread's namespace; the link gets a link-local address once it is up.
pub(super) fn enable_here(interface: &str) -> Result<()> {
    SETTINGS.iter().try_for_each(|(key, value)| set_here(interface, key, value))
}

/// As [`enable_here`], for a link that only carries frames and needs no address: the kernel takes no neighbours for one
/// whose IPv6 is off.
pub(super) fn enable_bare_here(interface: &str) -> Result<()> {
    set_here(interface, "addr_gen_mode", "1")?;
    enable_here(interface)
}

fn set_here(interface: &str, key: &str, value: &str) -> Result<()> {
    netns::sysctl_here(&format!("net.ipv6.conf.{interface}.{key}"), value)
}

/// Usable at once.
pub(super) async fn add_address(links: &Handle, index: u32, address: Ipv6Addr, prefix: u8) -> Result<()> {
    let mut add = links.address().add(index, address.into(), prefix);
    add.message_mut().header.flags |= AddressHeaderFlags::Nodad;
    add.execute().await.map_err(because("add an IPv6 address"))
}

/// Replaces an earlier one.
pub(super) async fn set_default_route(links: &Handle, gateway: Ipv6Addr) -> Result<()> {
    let route = RouteMessageBuilder::<Ipv6Addr>::new().gateway(gateway).build();
    let add = links.route().add(route).replace();
    add.execute().await.map_err(because("set a container's default route of IPv6"))
}

/// What the kernel derives from a MAC address (EUI-64).
pub(super) fn link_local(mac: [u8; 6]) -> Ipv6Addr {
    let [a, b, c, d, e, f] = mac;
    let mut octets = [0; 16];
    octets[..2].copy_from_slice(&[0xfe, 0x80]);
    octets[8..].copy_from_slice(&[a ^ 2, b, c, 0xff, 0xfe, d, e, f]);
    octets.into()
}

#[cfg(test)]
mod tests {
    use super::link_local;

    #[test]
    fn link_local_addresses_are_those_of_the_kernel() {
        assert_eq!(link_local([2, 0x42, 10, 1, 0, 5]).to_string(), "fe80::42:aff:fe01:5");
    }
}
