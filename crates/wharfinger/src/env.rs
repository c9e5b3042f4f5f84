//! `wharfinger env`: what `eval` takes to point a docker client at the endpoint.

use std::net::{IpAddr, SocketAddr};

use domain::{Error, Kind, Result};

use crate::{layout::Layout, say, site::Site, tenants};

pub(crate) fn run(layout: &Layout, tenant: &str) -> Result<()> {
    let site = Site::load(layout)?;
    // The name must not lead out of the directory, and must not be a command of the shell that evaluates us.
    let plain = tenant.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-');
    if !plain || !layout.tenant(tenant).join("cert.pem").exists() {
        return Err(Error::not_found(Kind::Tenant, tenant));
    }
    say::line(lines(layout, &site, tenant));
    Ok(())
}

pub(crate) fn lines(layout: &Layout, site: &Site, tenant: &str) -> String {
    let bundle = layout.tenant(tenant);
    // Its own address, where its published ports answer as well; without an edge, the one of all tenants.
    let own = std::fs::read_to_string(bundle.join(tenants::ADDRESS)).ok().and_then(|text| text.trim().parse().ok());
    let endpoint = own.map_or(site.endpoint(), |ip: IpAddr| SocketAddr::new(ip, site.listen.port()));
    format!(
        "export DOCKER_HOST=tcp://{endpoint}\nexport DOCKER_TLS_VERIFY=1\nexport DOCKER_CERT_PATH={}",
        bundle.display()
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::site;

    #[test]
    fn the_lines_name_an_address_that_can_be_dialled() {
        let layout = Layout::new(std::path::Path::new("/var/lib/wharfinger")).unwrap();
        let text = lines(&layout, &site::sample(1), "demo");
        assert_eq!(
            text,
            "export DOCKER_HOST=tcp://127.0.0.1:2376\nexport DOCKER_TLS_VERIFY=1\n\
             export DOCKER_CERT_PATH=/var/lib/wharfinger/tenants/demo"
        );
    }
}
