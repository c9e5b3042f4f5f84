//! The configuration files that `up` writes for its roles, and how it runs them.
//!
//! The files are what an operator of a real data centre writes by hand, so they are readable and explain themselves.

use std::path::{Path, PathBuf};

use domain::{Error, Result};
use nix::sys::signal::Signal;
use tokio::process::Command;
use toml::Value;

use crate::{
    address,
    cli::UpOptions,
    layout::Layout,
    site::{Site, write_private},
    spawn,
    supervise::{Probe, Process},
    underlay,
};

/// Simulated hosts share one machine and each promises more than there is: a container's limits are ceilings that it
/// seldom reaches, and 512 MiB and a whole processor are reserved for each that asks for nothing, `sleep` included. With
/// these factors even a small machine takes a hundred of them, as it does under dockerd. A real host promises what it has.
const CPU_OVERCOMMIT: i64 = 64;
const MEMORY_OVERCOMMIT: i64 = 8;

/// What `up` knows of this machine and its own files.
pub(crate) struct Machine {
    pub(crate) executable: PathBuf,
    pub(crate) helpers: PathBuf,
    pub(crate) cpus: i64,
    pub(crate) memory_bytes: i64,
}

impl Machine {
    pub(crate) fn look(options: &UpOptions) -> Result<Self> {
        let executable = std::env::current_exe().map_err(|e| Error::because("finding this executable", e))?;
        let beside = executable.parent().and_then(Path::parent).map(|prefix| prefix.join("lib/wharfinger"));
        let helpers = options.helpers.clone().or(beside).unwrap_or_default();
        let helpers = std::path::absolute(&helpers).unwrap_or(helpers);
        for name in ["wharfinger-logger", "docker-init"] {
            if !helpers.join(name).is_file() {
                return Err(Error::invalid(format!(
                    "{name} is not in {}; deploy/up installs it, --helpers names another directory",
                    helpers.display()
                )));
            }
        }
        let cpus = std::thread::available_parallelism().map_or(1, |n| n.get() as i64);
        Ok(Self { executable, helpers, cpus, memory_bytes: memory_bytes()? })
    }
}

fn memory_bytes() -> Result<i64> {
    let text = std::fs::read_to_string("/proc/meminfo").map_err(|e| Error::because("reading /proc/meminfo", e))?;
    let total = text.lines().find_map(|line| line.strip_prefix("MemTotal:"));
    let kib = total.and_then(|rest| rest.trim().trim_end_matches(" kB").parse::<i64>().ok());
    kib.map(|kib| kib * 1024).ok_or_else(|| Error::internal("/proc/meminfo has no MemTotal"))
}

pub(crate) fn scheduler(layout: &Layout, site: &Site, machine: &Machine) -> Result<Process> {
    let text = scheduler_text(layout, site);
    role(layout, machine, "scheduler", "scheduler", &text, None)
}

pub(crate) fn frontend(layout: &Layout, site: &Site, options: &UpOptions, machine: &Machine) -> Result<Process> {
    let text = frontend_text(layout, site, options);
    role(layout, machine, "frontend", "frontend", &text, None)
}

pub(crate) fn edge(layout: &Layout, site: &Site, machine: &Machine) -> Result<Process> {
    role(layout, machine, "edge", "edge", &edge_text(layout, site), None)
}

pub(crate) fn agent(layout: &Layout, site: &Site, index: usize, machine: &Machine) -> Result<Process> {
    let host = &site.hosts[index].name;
    let text = agent_text(layout, site, index, machine);
    role(layout, machine, "agent", &format!("agent-{host}"), &text, Some(underlay::netns_path(layout, host)))
}

fn role(
    layout: &Layout,
    machine: &Machine,
    role: &'static str,
    name: &str,
    text: &str,
    netns: Option<PathBuf>,
) -> Result<Process> {
    let config = layout.config(&format!("{name}.toml"));
    write_private(&config, text)?;
    let executable = machine.executable.clone();
    let command = move || {
        let mut command = Command::new(&executable);
        command.arg(role).arg("--config").arg(&config);
        if let Some(path) = &netns {
            spawn::enter_netns(&mut command, path).map_err(|e| Error::because(format!("{}", path.display()), e))?;
        }
        spawn::die_with_parent(&mut command, Signal::SIGKILL);
        Ok(command)
    };
    Ok(Process {
        name: name.to_owned(),
        log: layout.log(name),
        ready_file: layout.ready_file(name),
        probe: Probe::ReadyFile,
        stop_signal: Signal::SIGTERM,
        command: Box::new(command),
    })
}

fn quoted(text: impl ToString) -> Value {
    Value::String(text.to_string())
}

fn path(path: impl AsRef<Path>) -> Value {
    quoted(path.as_ref().display())
}

fn list<T: ToString>(items: impl IntoIterator<Item = T>) -> Value {
    Value::Array(items.into_iter().map(quoted).collect())
}

fn tls(layout: &Layout, section: &str, role: &str) -> String {
    let dir = layout.tls(role);
    let (ca, cert, key) = (path(dir.join("ca.pem")), path(dir.join("cert.pem")), path(dir.join("key.pem")));
    format!("[{section}.tls]\nca = {ca}\ncert = {cert}\nkey = {key}\n")
}

fn scheduler_text(layout: &Layout, site: &Site) -> String {
    format!(
        "# A scheduler: places containers and takes in what hosts report. Any number may run on one database.
[scheduler]
# Frontends and agents connect here, with a certificate of the infrastructure's CA.
listen = {}
database_url = {}
ready_file = {}

{}",
        quoted(site.scheduler_listen()),
        quoted(&site.database_url),
        path(layout.ready_file("scheduler")),
        tls(layout, "scheduler", "scheduler"),
    )
}

fn frontend_text(layout: &Layout, site: &Site, options: &UpOptions) -> String {
    let endpoint = layout.tls("endpoint");
    format!(
        "# A frontend: the Docker API for tenants. Any number may run behind a layer-4 balancer.
[frontend]
# Docker clients connect here, with a tenant's certificate.
listen = {}
# Edges hand on connections to tenants' addresses here, and say in front who called whom (PROXY protocol, version 2).
proxied_listen = {}
# Signs the certificates that clients see at tenants' addresses.
endpoint_issuer_cert = {}
endpoint_issuer_key = {}
# Agents fetch image blobs here, with a certificate of the infrastructure's CA.
internal_listen = {}
database_url = {}
blob_store = {}
schedulers = {}
# What docker clients see, and whom they must be signed by.
endpoint_cert = {}
endpoint_key = {}
client_ca = {}
insecure_registries = {}
registry_mirrors = {}
# What no tenant's network may overlap.
reserved_subnets = {}
# IPv6 networks whose tenant names no subnet are /64s out of it.
network_pool6 = {}
{}ready_file = {}

{}",
        quoted(site.listen),
        quoted(site.proxied_listen()),
        path(layout.tls("endpoint").join("issuer.pem")),
        path(layout.tls("endpoint").join("issuer.key")),
        quoted(site.internal_listen()),
        quoted(&site.database_url),
        path(layout.data.join("blobs")),
        list([format!("https://{}", site.scheduler_listen())]),
        path(endpoint.join("cert.pem")),
        path(endpoint.join("key.pem")),
        path(endpoint.join("ca.pem")),
        list(&options.insecure_registries),
        list(&options.registry_mirrors),
        list([site.underlay.to_string()]),
        quoted(site.network_pool6()),
        options.search_index.as_ref().map_or_else(String::new, |url| format!("search_index = {}\n", quoted(url))),
        path(layout.ready_file("frontend")),
        tls(layout, "frontend", "frontend"),
    )
}

fn edge_text(layout: &Layout, site: &Site) -> String {
    let listen = site.edge_listen();
    format!(
        "# An edge: tenants' published ports, and the Docker API, at their own addresses. Several may serve the same addresses.
[edge]
# Frontends tell it here of ports, with a certificate of the infrastructure's CA.
listen = {}
advertise = {}
schedulers = {}
# The Docker API's port at each tenant's address, and where its connections go.
api_port = {}
frontends = {}
ready_file = {}

{}",
        quoted(listen),
        quoted(format!("https://{listen}")),
        list([format!("https://{}", site.scheduler_listen())]),
        site.listen.port(),
        list([site.proxied_listen().to_string()]),
        path(layout.ready_file("edge")),
        tls(layout, "edge", "edge"),
    )
}

fn agent_text(layout: &Layout, site: &Site, index: usize, machine: &Machine) -> String {
    let host = &site.hosts[index];
    let listen = site.agent_listen(index);
    format!(
        "# The agent of one host. It runs in the host's network namespace and is the only client of its containerd.
[agent]
host_id = {}
name = {}
listen = {}
# How frontends reach it.
advertise = {}
containerd = {}
# What lasts, and what a reboot may forget.
root = {}
run = {}
schedulers = {}
frontends = {}
# Containers are at <cgroup_parent>/<tenant>/<id>.
cgroup_parent = {}
helpers = {}
# Volumes of the driver \"shared\": on real hosts, a cluster file system that is mounted on each of them.
shared_volumes = {}
dns_upstream = {}
underlay_interface = {}
# What this host promises to containers; without these lines, what the machine has.
cpu_millis = {}
memory_bytes = {}
ready_file = {}

# Placement constraints can name these: -e constraint:zone==z1
[agent.labels]
region = \"local\"
zone = {}
rack = {}

{}",
        quoted(host.id),
        quoted(&host.name),
        quoted(listen),
        quoted(format!("https://{listen}")),
        path(layout.containerd_socket(&host.name)),
        path(layout.host_data(&host.name)),
        path(layout.host_run(&host.name)),
        list([format!("https://{}", site.scheduler_listen())]),
        list([format!("https://{}", site.internal_listen())]),
        quoted(format!("/{}{}", layout.cgroup_prefix(), host.name)),
        path(&machine.helpers),
        path(layout.data.join("shared")),
        list(address::resolvers().iter().map(|ip| format!("{ip}:53"))),
        quoted(underlay::INTERFACE),
        machine.cpus * 1000 * CPU_OVERCOMMIT,
        machine.memory_bytes * MEMORY_OVERCOMMIT,
        path(layout.ready_file(&format!("agent-{}", host.name))),
        quoted(format!("z{}", index + 1)),
        quoted(format!("r{}", index + 1)),
        tls(layout, "agent", &host.name),
    )
}

#[cfg(test)]
mod tests {
    use bootstrap::config::section;
    use serde::de::DeserializeOwned;

    use super::*;
    use crate::site;

    fn options() -> UpOptions {
        UpOptions {
            address_pool: None,
            hosts: None,
            listen: "0.0.0.0:2376".parse().unwrap(),
            endpoint_names: Vec::new(),
            database_url: None,
            insecure_registries: vec!["127.0.0.1:5000".into(), "10.0.0.0/8".into()],
            registry_mirrors: vec!["http://\"quoted\"".into()],
            search_index: Some("https://index.example".into()),
            helpers: None,
            only: None,
        }
    }

    fn machine() -> Machine {
        Machine { executable: "/x".into(), helpers: "/usr/local/lib/wharfinger".into(), cpus: 2, memory_bytes: 1 << 34 }
    }

    fn parsed<T: DeserializeOwned>(text: &str, name: &str) -> T {
        let path = std::env::temp_dir().join(format!("wharfinger-roles-{name}-{}", std::process::id()));
        std::fs::write(&path, text).unwrap();
        let value = section(&path, name).unwrap();
        std::fs::remove_file(path).unwrap();
        value
    }

    fn layout() -> Layout {
        Layout::new(Path::new("/var/lib/wharfinger")).unwrap()
    }

    #[test]
    fn a_scheduler_reads_its_file() {
        let config: scheduler::Config = parsed(&scheduler_text(&layout(), &site::sample(2)), "scheduler");
        assert_eq!(config.listen.to_string(), "10.90.3.1:7402");
    }

    #[test]
    fn a_frontend_reads_its_file_and_odd_options_arrive_whole() {
        let site = site::sample(2);
        let config: frontend::Config = parsed(&frontend_text(&layout(), &site, &options()), "frontend");
        assert_eq!(config.network_pool6, site.network_pool6());
        assert_eq!(config.insecure_registries, options().insecure_registries);
        assert_eq!(config.registry_mirrors, options().registry_mirrors);
        assert_eq!(config.search_index, options().search_index);
    }

    #[test]
    fn agents_read_their_files_and_share_nothing() {
        let site = site::sample(2);
        let [one, two] = [0, 1].map(|i| parsed::<agent::Config>(&agent_text(&layout(), &site, i, &machine()), "agent"));
        assert_eq!(one.host_id, site.hosts[0].id);
        assert_ne!((&one.root, &one.run, &one.cgroup_parent), (&two.root, &two.run, &two.cgroup_parent));
        assert_ne!((one.listen, &one.containerd), (two.listen, &two.containerd));
    }
}
