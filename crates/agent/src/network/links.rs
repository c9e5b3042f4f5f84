//! Small questions and answers over route netlink.

use domain::{Error, Result};
use futures::TryStreamExt;
use rtnetlink::{
    Handle,
    packet_route::link::{LinkAttribute, LinkMessage},
};

/// Turns a netlink error into ours: `.map_err(because("add the bridge"))`.
pub(super) fn because(what: &'static str) -> impl FnOnce(rtnetlink::Error) -> Error {
    move |e| Error::because(what, e)
}

/// The errno of a netlink answer.
pub(super) fn errno(error: &rtnetlink::Error) -> Option<i32> {
    match error {
        rtnetlink::Error::NetlinkError(message) => message.code.map(|code| -code.get()),
        _ => None,
    }
}

pub(super) async fn find(links: &Handle, name: &str) -> Result<Option<LinkMessage>> {
    match links.link().get().match_name(name.to_owned()).execute().try_next().await {
        Ok(found) => Ok(found),
        Err(e) if errno(&e) == Some(libc::ENODEV) => Ok(None),
        Err(e) => Err(Error::because(format!("look up the link {name}"), e)),
    }
}

/// Its interface index.
pub(super) async fn index(links: &Handle, name: &str) -> Result<u32> {
    match find(links, name).await? {
        Some(link) => Ok(link.header.index),
        None => Err(Error::internal(format!("there is no link {name}"))),
    }
}

/// Removes the link. Not there: done.
pub(super) async fn delete(links: &Handle, name: &str) -> Result<()> {
    let mut request = links.link().del(0);
    request.message_mut().attributes.push(LinkAttribute::IfName(name.to_owned()));
    match request.execute().await {
        Err(e) if errno(&e) != Some(libc::ENODEV) => Err(Error::because(format!("remove the link {name}"), e)),
        _ => Ok(()),
    }
}

pub(super) fn mtu(link: &LinkMessage) -> Option<u32> {
    link.attributes.iter().find_map(|a| match a {
        LinkAttribute::Mtu(mtu) => Some(*mtu),
        _ => None,
    })
}

/// The names of all links.
pub(super) async fn names(links: &Handle) -> Result<Vec<String>> {
    let all: Vec<LinkMessage> = links.link().get().execute().try_collect().await.map_err(because("list links"))?;
    let name = |a: LinkAttribute| match a {
        LinkAttribute::IfName(name) => Some(name),
        _ => None,
    };
    Ok(all.into_iter().filter_map(|link| link.attributes.into_iter().find_map(name)).collect())
}

/// `02:42:0a:00:00:02`
pub(crate) fn parse_mac(text: &str) -> Result<[u8; 6]> {
    let parts: Option<Vec<u8>> = text.split(':').map(|p| u8::from_str_radix(p, 16).ok()).collect();
    parts.and_then(|p| p.try_into().ok()).ok_or_else(|| Error::invalid(format!("invalid MAC address: {text:?}")))
}

#[cfg(test)]
mod tests {
    use super::parse_mac;

    #[test]
    fn mac_addresses_have_six_parts() {
        assert_eq!(parse_mac("02:42:0a:00:00:ff").unwrap(), [2, 0x42, 10, 0, 0, 255]);
        assert!(parse_mac("02:42:0a:00:00").is_err());
        assert!(parse_mac("02:42:0a:00:00:gg").is_err());
    }
}
