//! What the rest of the agent calls: sandboxes by container.

use std::{
    collections::{BTreeMap, HashMap, HashSet},
    net::{IpAddr, SocketAddr},
    path::{Path, PathBuf},
    sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError, RwLock, Weak},
    time::Duration,
};

use domain::{ContainerId, Endpoint, Error, HostPort, Result, TenantId, spec::DnsSettings};
use ipnet::Ipv4Net;
use tokio::sync::mpsc;

use super::{
    host::Host,
    ipv6,
    netns::{self, Netns},
    peers::{Peer, Peers},
    port::{self, Port, Socket},
    reaper::{self, Remains},
    router::Router,
    routers::Routers,
    sandbox::{self, Live, State},
    source::{Listing, Source},
    spare::{Pool, Spare},
};
use crate::{
    Config,
    dns::{self, Names, Resolver, Sockets, Upstream},
};

/// How often idle spares and routers are looked for, and the host's routes compared.
const SWEEP: Duration = Duration::from_secs(20);

/// What a plane needs to know of its host.
#[derive(Debug, Clone)]
pub struct Settings {
    /// For namespaces; does not survive a reboot.
    pub run: PathBuf,
    pub underlay_interface: String,
    /// The host's resolvers; those of /etc/resolv.conf when empty.
    pub dns_upstream: Vec<SocketAddr>,
    /// What containers must not reach besides what the host has routes to.
    pub fenced: Vec<Ipv4Net>,
}

/// A container that is about to start, or that was found running.
#[derive(Debug, Clone, Copy)]
pub struct SandboxRequest<'a> {
    pub tenant: TenantId,
    /// First host id of the tenant's range.
    pub uid_base: u32,
    pub container: &'a ContainerId,
    /// Docker name that it was made with; DNS answers it unless a list knows another one.
    pub name: &'a str,
    /// None at all: loopback only, and no DNS.
    pub endpoints: &'a [Endpoint],
    pub dns: &'a DnsSettings,
    /// Of the host, that lead to it.
    pub published: &'a [HostPort],
    /// Those that start with `net.` are set here, the others by the runtime.
    pub sysctls: &'a BTreeMap<String, String>,
}

/// Where the runtime finds a container's namespaces; the same for every start of that container.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sandbox {
    pub user_ns: PathBuf,
    pub net_ns: PathBuf,
}

/// The network of this host's containers; see the module's text.
pub struct Plane {
    host: Arc<Host>,
    routers: Arc<Routers>,
    spares: Arc<Pool>,
    names: Arc<Names>,
    peers: Peers,
    upstream: Vec<SocketAddr>,
    sandboxes: PathBuf,
    trash: PathBuf,
    live: Mutex<HashMap<ContainerId, Live>>,
    reaper: mpsc::UnboundedSender<Remains>,
    source: OnceLock<Arc<dyn Source>>,
}

impl Plane {
    /// Sets up the namespace that the caller is in, and takes up what an earlier agent left below `run_dir`.
    pub async fn new(config: &Config, run_dir: &Path) -> Result<Arc<Self>> {
        let fenced = super::control::addresses(config.schedulers.iter().chain(&config.frontends)).await;
        Self::open(Settings {
            run: run_dir.to_owned(),
            underlay_interface: config.underlay_interface.clone(),
            dns_upstream: config.dns_upstream.clone(),
            fenced,
        })
        .await
    }

    /// As [`Plane::new`], from the parts that matter here.
    pub async fn open(settings: Settings) -> Result<Arc<Self>> {
        let dir = |name: &str| {
            let dir = settings.run.join(name);
            std::fs::create_dir_all(&dir).map_err(|e| Error::because(format!("make {}", dir.display()), e))?;
            Ok::<_, Error>(dir)
        };
        let (sandboxes, spares, trash) = (dir("sandboxes")?, dir("spares")?, dir("trash")?);
        let host = Arc::new(Host::open(&settings.underlay_interface, settings.fenced).await?);
        let routers = Arc::new(Routers::open(host.clone(), dir("routers")?).await?);
        let reaper = reaper::start(routers.clone());
        for remains in reaper::leftovers([&spares, &trash]) {
            let _ = reaper.send(remains);
        }
        let upstream = dns::host_servers(&settings.dns_upstream, Path::new("/etc/resolv.conf"));
        let (spares, names, peers, live) = (Pool::new(spares), Arc::default(), Peers::default(), Mutex::default());
        let plane = Self {
            host,
            routers,
            spares,
            names,
            peers,
            upstream,
            sandboxes,
            trash,
            live,
            reaper,
            source: OnceLock::new(),
        };
        let plane = Arc::new(plane);
        tokio::spawn(sweep(Arc::downgrade(&plane)));
        Ok(plane)
    }

    /// Where the container's namespaces will be, before they are made.
    pub fn paths(&self, container: &ContainerId) -> Sandbox {
        let dir = self.dir_of(container);
        Sandbox { user_ns: dir.join("user"), net_ns: dir.join("net") }
    }

    /// Makes the container's namespaces and plugs them in. An earlier sandbox of the container is replaced.
    pub async fn sandbox(&self, request: &SandboxRequest<'_>) -> Result<Sandbox> {
        self.release(request.container).await;
        let made = self.make(request).await;
        if made.is_err() {
            self.release(request.container).await;
        }
        made
    }

    /// Frees the container's path, address and names at once, and the rest in the background. Nothing there: done.
    pub async fn release(&self, container: &ContainerId) {
        self.names.remove(container);
        let live = self.lock().remove(container);
        let Some(dir) = sandbox::set_aside(&self.dir_of(container), &self.trash) else { return };
        let state = State::read(&dir).unwrap_or_default();
        for port in &state.published {
            if let Err(error) = self.host.withdraw(*port) {
                tracing::warn!(port = port.host_port, error = error.operator_text(), "withdraw a published port");
            }
        }
        let ports = live.map_or(state.ports, |live| live.ports);
        for port in &ports {
            let Some(router) = self.routers.find(port.vni).await else { continue };
            if let Err(error) = port.silence(&router).await {
                tracing::warn!(port = port.name, error = error.operator_text(), "silence a container");
            }
            withdraw(&router, &state.published);
        }
        let _ = self.reaper.send(Remains { dir, ports });
    }

    /// Takes up the sandbox of a running container after the agent's restart: DNS answers again, links are verified. A
    /// sandbox that is not there is made; a running container does not get into that one, of course.
    pub async fn adopt(&self, request: &SandboxRequest<'_>) -> Result<Sandbox> {
        let dir = self.dir_of(request.container);
        match State::read(&dir).filter(|_| sandbox::is_whole(&dir)) {
            Some(state) => self.take_up(request, &dir, state).await,
            None => self.sandbox(request).await,
        }
    }

    /// Releases every sandbox whose container is not in `known`; for the agent's start, after all have been adopted.
    pub async fn retain(&self, known: &HashSet<ContainerId>) {
        let entries = std::fs::read_dir(&self.sandboxes).into_iter().flatten().flatten();
        let found: Vec<ContainerId> = entries.filter_map(|e| e.file_name().to_str()?.parse().ok()).collect();
        for container in found.iter().filter(|id| !known.contains(*id)) {
            self.release(container).await;
        }
    }

    /// Whom to ask about other hosts; set once.
    pub fn ask(&self, source: Arc<dyn Source>) {
        let _ = self.source.set(source);
    }

    pub(super) fn source(&self) -> Option<Arc<dyn Source>> {
        self.source.get().cloned()
    }

    /// Everybody's networks have been heard of since the agent began: hosts that are in none are shut out from now on.
    pub(super) async fn settle(&self) -> Result<()> {
        self.peers.settle(&self.host).await
    }

    pub(super) fn generation(&self, vni: u32) -> u64 {
        self.peers.generation(vni)
    }

    /// The networks that are on this host, with how far each is known.
    pub async fn networks(&self) -> Vec<(u32, u64)> {
        let present = self.routers.present().await;
        present.into_iter().map(|vni| (vni, self.peers.generation(vni))).collect()
    }

    /// Makes what is listed the containers of the network. A network that is not on this host: nothing.
    pub async fn set_peers(&self, listing: Listing) -> Result<()> {
        let Some(router) = self.routers.find(listing.vni).await else { return Ok(()) };
        self.peers.list(listing);
        self.peers.apply(&self.host, &router, &self.names).await
    }

    /// Containers that have just come on other hosts.
    pub async fn announce(&self, vni: u32, name: &str, peers: Vec<Peer>) -> Result<()> {
        self.peers.announce(vni, name, peers);
        match self.routers.find(vni).await {
            Some(router) => self.peers.apply(&self.host, &router, &self.names).await,
            None => Ok(()),
        }
    }

    /// No other container here is in the network: what is known of it may be old.
    pub fn is_alone_in(&self, container: &ContainerId, vni: u32) -> bool {
        let live = self.lock();
        !live.iter().any(|(id, live)| id != container && live.ports.iter().any(|p| p.vni == vni))
    }

    /// Plugs a running container into one more network. `request` has all of its endpoints, the new one among them.
    pub async fn connect(&self, request: &SandboxRequest<'_>, endpoint: &Endpoint) -> Result<()> {
        let dir = self.dir_of(request.container);
        let mut state = State::read(&dir).ok_or_else(|| Error::internal("a running container without a sandbox"))?;
        if state.ports.iter().any(|p| p.vni == endpoint.vni) {
            return Ok(());
        }
        let (netns, router) = (Netns::open(&dir.join("net"))?, self.routers.get(endpoint).await?);
        let port = Port::new(endpoint)?;
        state.ports.push(port.clone());
        state.write(&dir)?;
        let links = netns.run(netns::links_here)?;
        if let Err(error) = self.plug(request, endpoint, &router, &port, &netns, &links).await {
            state.ports.pop();
            let _ = port.unplug(&router).await;
            state.write(&dir)?;
            return Err(error);
        }
        self.changed(request, state.ports, &netns)
    }

    /// Takes a running container out of a network. `request` has the endpoints that remain.
    pub async fn disconnect(&self, request: &SandboxRequest<'_>, vni: u32) -> Result<()> {
        let dir = self.dir_of(request.container);
        let mut state = State::read(&dir).ok_or_else(|| Error::internal("a running container without a sandbox"))?;
        self.names.leave(request.container, vni);
        let (gone, ports): (Vec<Port>, Vec<Port>) = state.ports.drain(..).partition(|p| p.vni == vni);
        let router = self.routers.find(vni).await;
        for port in &gone {
            if let Some(router) = &router {
                port.unplug(router).await?;
                withdraw(router, request.published);
            }
        }
        state.ports = ports;
        state.write(&dir)?;
        let netns = Netns::open(&dir.join("net"))?;
        let links = netns.run(netns::links_here)?;
        if let Some(way_out) = way_out(request) {
            port::set_default_route(&links, way_out.gateway).await?;
        }
        if let Some(v6) = way_out6(request).and_then(|e| e.ipv6) {
            ipv6::set_default_route(&links, v6.gateway).await?;
        }
        self.publish(request).await?;
        self.changed(request, state.ports, &netns)
    }

    /// By the network that is the container's way out, as its answers take that way.
    async fn publish(&self, request: &SandboxRequest<'_>) -> Result<()> {
        let Some(way_out) = way_out(request) else { return Ok(()) };
        if request.published.is_empty() {
            return Ok(());
        }
        let router = self.routers.get(way_out).await?;
        for port in request.published {
            if let Some(uplink) = router.publish(*port, way_out.address)? {
                self.host.publish(*port, uplink)?;
            }
        }
        Ok(())
    }

    /// DNS follows the networks.
    fn changed(&self, request: &SandboxRequest<'_>, ports: Vec<Port>, netns: &Netns) -> Result<()> {
        let scope = Arc::new(self.scope(request, netns)?);
        self.name(request);
        if let Some(live) = self.lock().get_mut(request.container) {
            live.ports = ports;
            if let Some((_, shared)) = &live.dns {
                *shared.write().unwrap_or_else(PoisonError::into_inner) = scope;
            }
        }
        Ok(())
    }

    /// The host's address and MTU on the underlay.
    pub fn underlay(&self) -> (std::net::Ipv4Addr, u32) {
        (self.host.underlay.address, self.host.underlay.mtu)
    }

    /// The underlay's MTU less what VXLAN adds: the most that an endpoint gets.
    pub fn overlay_mtu(&self, wish: u16) -> u32 {
        self.host.underlay.overlay_mtu(wish)
    }

    async fn make(&self, request: &SandboxRequest<'_>) -> Result<Sandbox> {
        let ports = request.endpoints.iter().map(Port::new).collect::<Result<Vec<_>>>()?;
        let routers = self.routers_of(request).await?;
        let Spare { dir, netns, links, sockets } = self.spares.take(request.uid_base).await?;
        let state = State { dns_port: sockets.port, ports, published: request.published.to_vec() };
        let target = self.dir_of(request.container);
        let moved = state.write(&dir).and_then(|()| {
            std::fs::rename(&dir, &target).map_err(|e| Error::because(format!("make {}", target.display()), e))
        });
        if let Err(error) = moved {
            let _ = self.reaper.send(Remains { dir, ports: Vec::new() });
            return Err(error);
        }
        let ports = state.ports;
        for (i, (router, port)) in routers.iter().zip(&ports).enumerate() {
            self.plug(request, &request.endpoints[i], router, port, &netns, &links).await?;
        }
        set_sysctls(&netns, request.sysctls)?;
        self.publish(request).await?;
        self.go_live(request, ports, &netns, sockets)
    }

    async fn routers_of(&self, request: &SandboxRequest<'_>) -> Result<Vec<Arc<Router>>> {
        let mut routers = Vec::with_capacity(request.endpoints.len());
        for endpoint in request.endpoints {
            routers.push(self.routers.get(endpoint).await?);
        }
        Ok(routers)
    }

    /// Plugs one endpoint of the request into its router.
    async fn plug(
        &self,
        request: &SandboxRequest<'_>,
        endpoint: &Endpoint,
        router: &Router,
        port: &Port,
        netns: &Netns,
        links: &rtnetlink::Handle,
    ) -> Result<()> {
        let mtu = self.host.underlay.overlay_mtu(endpoint.mtu);
        let is_it = |way_out: Option<&Endpoint>| way_out.is_some_and(|e| e.vni == endpoint.vni);
        let (default_route, default_route6) = (is_it(way_out(request)), is_it(way_out6(request)));
        let socket = Socket { netns, links, mtu, default_route, default_route6 };
        port::plug(router, port, endpoint, socket).await?;
        self.peers.apply(&self.host, router, &self.names).await
    }

    /// The container may have been renamed since it was made: the lists know.
    fn name(&self, request: &SandboxRequest<'_>) {
        self.names.insert(request.container, request.name, request.endpoints);
        for endpoint in request.endpoints {
            self.peers.correct(&self.names, endpoint.vni, request.container);
        }
    }

    /// The last step: names and DNS.
    fn go_live(
        &self,
        request: &SandboxRequest<'_>,
        ports: Vec<Port>,
        netns: &Netns,
        sockets: Sockets,
    ) -> Result<Sandbox> {
        let scope = Arc::new(RwLock::new(Arc::new(self.scope(request, netns)?)));
        let resolver = Resolver { names: self.names.clone(), scope: scope.clone() };
        // A container of no network may be connected to one later; without any it gets no answers.
        let dns = Some((dns::Server::start(sockets, resolver)?, scope));
        self.name(request);
        self.lock().insert(request.container.clone(), Live { ports, dns });
        Ok(self.paths(request.container))
    }

    /// Containers of internal networks only get no answers from outside: DNS would be a way out.
    fn scope(&self, request: &SandboxRequest<'_>, netns: &Netns) -> Result<dns::Scope> {
        let servers: Vec<IpAddr> = request.dns.servers.clone();
        let upstream = match request.endpoints.iter().all(|e| e.internal) {
            true => Upstream::None,
            false if servers.is_empty() => Upstream::Host(self.upstream.clone()),
            false => Upstream::Container { servers, netns: netns.share()? },
        };
        Ok(dns::Scope {
            vnis: request.endpoints.iter().map(|e| e.vni).collect(),
            links: request.dns.links.clone(),
            upstream,
        })
    }

    async fn take_up(&self, request: &SandboxRequest<'_>, dir: &Path, mut state: State) -> Result<Sandbox> {
        let netns = Netns::open(&dir.join("net"))?;
        let sockets = netns.run(|| Sockets::reopen_here(state.dns_port))?;
        let present = std::mem::take(&mut state.ports);
        let mut missing = Vec::new();
        for (i, endpoint) in request.endpoints.iter().enumerate() {
            let router = self.routers.get(endpoint).await?;
            let port = match present.iter().find(|p| p.vni == endpoint.vni) {
                Some(port) if port.is_there(&router).await? => port.clone(),
                _ => {
                    missing.push((i, router));
                    Port::new(endpoint)?
                }
            };
            state.ports.push(port);
        }
        state.dns_port = sockets.port;
        state.published = request.published.to_vec();
        state.write(dir)?;
        for (i, router) in &missing {
            tracing::warn!(container.id = %request.container, "a container's link was missing");
            let links = netns.run(netns::links_here)?;
            self.plug(request, &request.endpoints[*i], router, &state.ports[*i], &netns, &links).await?;
        }
        self.publish(request).await?;
        self.go_live(request, state.ports, &netns, sockets)
    }

    fn dir_of(&self, container: &ContainerId) -> PathBuf {
        self.sandboxes.join(container.as_str())
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<ContainerId, Live>> {
        self.live.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The network whose gateway is the container's default one.
fn way_out<'a>(request: &SandboxRequest<'a>) -> Option<&'a Endpoint> {
    request.endpoints.iter().find(|e| !e.internal)
}

/// Its gateway says of each IPv6 address outside that there is no way to it.
fn way_out6<'a>(request: &SandboxRequest<'a>) -> Option<&'a Endpoint> {
    request.endpoints.iter().find(|e| !e.internal && e.ipv6.is_some())
}

/// The tenant's own, in the container's namespace; they may name its links.
fn set_sysctls(netns: &Netns, sysctls: &BTreeMap<String, String>) -> Result<()> {
    let own: Vec<_> = sysctls.iter().filter(|(key, _)| key.starts_with("net.")).collect();
    if own.is_empty() {
        return Ok(());
    }
    netns.run(|| own.iter().try_for_each(|(key, value)| netns::sysctl_here(key, value)))
}

/// What a network's router led to a container that is in it no more.
fn withdraw(router: &Router, published: &[HostPort]) {
    for port in published {
        if let Err(error) = router.withdraw(*port) {
            tracing::warn!(port = port.host_port, error = error.operator_text(), "withdraw a published port");
        }
    }
}

/// Housekeeping, until the plane is dropped.
async fn sweep(plane: Weak<Plane>) {
    let mut timer = tokio::time::interval(SWEEP);
    loop {
        timer.tick().await;
        let Some(plane) = plane.upgrade() else { return };
        if let Err(error) = plane.host.refresh().await {
            tracing::warn!(error = error.operator_text(), "refresh the host's rules");
        }
        for spare in plane.spares.cull() {
            let _ = plane.reaper.send(Remains { dir: spare.dir, ports: Vec::new() });
        }
        let gone = plane.routers.cull().await;
        if gone.is_empty() {
            continue;
        }
        gone.into_iter().for_each(|vni| plane.peers.forget(vni));
        if let Err(error) = plane.peers.shut_out(&plane.host).await {
            tracing::warn!(error = error.operator_text(), "shut out hosts of networks that are gone");
        }
    }
}
