//! `/etc/hosts`, `/etc/hostname` and `/etc/resolv.conf` of a container, as Docker writes them.
//!
//! They are made at create and bind-mounted, owned by the container's root, which may edit them; edits live as long as
//! the container, so a later start does not write them again.

use std::{
    fmt::Write as _,
    fs, io,
    os::unix::fs::{PermissionsExt, chown},
    path::Path,
};

use domain::{ContainerSpec, Endpoint, spec::NetworkMode};

/// Where the agent's DNS listens in each sandbox.
const RESOLVER: &str = "127.0.0.11";

/// Makes `dir` and its three files; files that exist are left alone.
pub(crate) fn write(dir: &Path, spec: &ContainerSpec, endpoints: &[Endpoint], uid_base: u32) -> io::Result<()> {
    fs::create_dir_all(dir)?;
    // Host users have no business here; the container's root reaches the files through bind mounts only.
    fs::set_permissions(dir, fs::Permissions::from_mode(0o700))?;
    put(&dir.join("hostname"), &format!("{}\n", spec.hostname), uid_base)?;
    put(&dir.join("hosts"), &hosts(spec, endpoints), uid_base)?;
    put(&dir.join("resolv.conf"), &resolv_conf(spec), uid_base)
}

fn put(path: &Path, text: &str, uid_base: u32) -> io::Result<()> {
    if path.exists() {
        return Ok(());
    }
    fs::write(path, text)?;
    fs::set_permissions(path, fs::Permissions::from_mode(0o644))?;
    chown(path, Some(uid_base), Some(uid_base))
}

fn hosts(spec: &ContainerSpec, endpoints: &[Endpoint]) -> String {
    let mut text = String::from(
        "127.0.0.1\tlocalhost\n::1\tlocalhost ip6-localhost ip6-loopback\nfe00::\tip6-localnet\n\
         ff00::\tip6-mcastprefix\nff02::1\tip6-allnodes\nff02::2\tip6-allrouters\n",
    );
    for extra in &spec.extra_hosts {
        let _ = writeln!(text, "{}\t{}", extra.address, extra.name);
    }
    let names = match spec.domainname.as_str() {
        "" => spec.hostname.clone(),
        domain => format!("{0}.{domain} {0}", spec.hostname),
    };
    for endpoint in endpoints {
        let _ = writeln!(text, "{}\t{names}", endpoint.address);
        if let Some(v6) = &endpoint.ipv6 {
            let _ = writeln!(text, "{}\t{names}", v6.address);
        }
    }
    text
}

fn resolv_conf(spec: &ContainerSpec) -> String {
    let mut text = String::new();
    match spec.network {
        // No resolver runs in a sandbox without a network.
        NetworkMode::None => spec.dns.servers.iter().for_each(|server| {
            let _ = writeln!(text, "nameserver {server}");
        }),
        NetworkMode::Tenant(_) => text.push_str(&format!("nameserver {RESOLVER}\n")),
    }
    if !spec.dns.search.is_empty() {
        let _ = writeln!(text, "search {}", spec.dns.search.join(" "));
    }
    let mut options = spec.dns.options.clone();
    if !options.iter().any(|o| o.starts_with("ndots:")) {
        options.push("ndots:0".to_owned());
    }
    let _ = writeln!(text, "options {}", options.join(" "));
    text
}
