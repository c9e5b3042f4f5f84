//! `wharfinger up`: every role of a data centre on one machine, a process for each, supervised.
//!
//! One thread only: the children are tied to the thread that forked them (see `spawn`), so it must be the main one.
//! What does not depend on each other starts side by side; the way down is the way up backwards, so that nobody misses
//! what he stands on: frontend, scheduler, agents, containerds, Postgres. Containers don't belong to us and run on.

use std::{fs, time::Instant};

use domain::{Error, Result};
use nix::sys::resource::{Resource, getrlimit, setrlimit};
use tokio_util::sync::CancellationToken;

use crate::{
    cli::UpOptions,
    containerd, credentials, database, env,
    layout::Layout,
    lock,
    postgres::Postgres,
    roles::{self, Machine},
    roll::Roll,
    say,
    site::Site,
    supervise::Supervised,
    tenants, underlay,
};

/// What runs, in the order of the start.
#[derive(Default)]
struct Running {
    postgres: Vec<Supervised>,
    containerds: Vec<Supervised>,
    agents: Vec<Supervised>,
    schedulers: Vec<Supervised>,
    frontends: Vec<Supervised>,
    edges: Vec<Supervised>,
}

impl Running {
    async fn stop(self) {
        for group in [self.edges, self.frontends, self.schedulers, self.agents, self.containerds, self.postgres] {
            let mut ends: tokio::task::JoinSet<()> = group.into_iter().map(Supervised::stop).collect();
            while ends.join_next().await.is_some() {}
        }
    }
}

/// Returns after SIGTERM or SIGINT, or when the start fails.
pub(crate) fn run(layout: Layout, options: UpOptions) -> Result<()> {
    if !nix::unistd::geteuid().is_root() {
        return Err(Error::forbidden("`wharfinger up` makes namespaces, mounts and cgroups: run it as root"));
    }
    raise_file_limit();
    layout.create_data()?;
    let _lock = lock::take(&layout)?;
    layout.create()?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let outcome = runtime.map_err(|e| Error::because("starting the runtime", e))?.block_on(serve(&layout, &options));
    let _ = fs::remove_file(layout.system_ready_file());
    outcome
}

async fn serve(layout: &Layout, options: &UpOptions) -> Result<()> {
    let stop = bootstrap::shutdown::token().map_err(|e| Error::because("signal handlers", e))?;
    let mut running = Running::default();
    let outcome = tokio::select! {
        started = start(layout, options, &mut running) => started,
        () = stop.cancelled() => Ok(()),
    };
    if outcome.is_ok() {
        wait(layout, &stop).await;
    }
    running.stop().await;
    outcome
}

async fn wait(layout: &Layout, stop: &CancellationToken) {
    stop.cancelled().await;
    let _ = fs::remove_file(layout.system_ready_file());
    say::line("stopping; containers run on");
}

async fn start(layout: &Layout, options: &UpOptions, running: &mut Running) -> Result<()> {
    let began = Instant::now();
    say::line(format_args!("wharfinger {} on {}", env!("CARGO_PKG_VERSION"), layout.data.display()));
    let machine = Machine::look(options)?;
    let site = Site::settle(layout, options, Postgres::url(layout)).await?;
    if options.database_url.is_none() && options.starts("postgres") {
        let postgres = Postgres::prepare(layout).await?;
        running.postgres.push(postgres.process(layout).supervise());
    }
    underlay::prepare(layout, &site).await?;
    start_containerds(layout, options, &site, running)?;
    credentials::write(layout, &site, options).await?;
    let Running { postgres, containerds, agents, schedulers, frontends, edges } = running;
    let (roll, ()) = tokio::try_join!(
        control_plane(layout, options, &site, &machine, postgres, [schedulers, frontends, edges]),
        hosts(layout, options, &site, &machine, containerds, agents),
    )?;
    // Where one of the two is started by itself, the other may come whenever it likes.
    if let Some(roll) = roll.filter(|_| !running.agents.is_empty() && !running.schedulers.is_empty()) {
        roll.wait(&site).await?;
    }
    announce(layout, &site, began)
}

fn start_containerds(layout: &Layout, options: &UpOptions, site: &Site, running: &mut Running) -> Result<()> {
    if options.starts("hosts") {
        for host in &site.hosts {
            running.containerds.push(containerd::process(layout, &host.name)?.supervise());
        }
    }
    Ok(())
}

/// The database first, since the others' first act is to ask it.
async fn control_plane(
    layout: &Layout,
    options: &UpOptions,
    site: &Site,
    machine: &Machine,
    postgres: &[Supervised],
    [schedulers, frontends, edges]: [&mut Vec<Supervised>; 3],
) -> Result<Option<Roll>> {
    for server in postgres {
        server.ready().await?;
    }
    if !options.starts("scheduler") && !options.starts("frontend") {
        return Ok(None);
    }
    let inventory = database::open(site).await?;
    let roll = Roll::open(inventory.clone()).await?;
    if options.starts("scheduler") {
        schedulers.push(roles::scheduler(layout, site, machine)?.supervise());
    }
    if options.starts("frontend") {
        frontends.push(roles::frontend(layout, site, options, machine)?.supervise());
    }
    // Those of before there were addresses get theirs.
    for tenant in inventory.tenants().await? {
        tenants::address(layout, site, &inventory, &tenant).await?;
    }
    tenants::ensure(layout, site, &inventory, tenants::DEMO).await?;
    for role in schedulers.iter().chain(frontends.iter()) {
        role.ready().await?;
    }
    // After whom it asks: its first question brings all addresses.
    if options.starts("edge") {
        let edge = roles::edge(layout, site, machine)?.supervise();
        edge.ready().await?;
        edges.push(edge);
    }
    Ok(Some(roll))
}

/// Each agent follows its own containerd and waits for nobody else's.
async fn hosts(
    layout: &Layout,
    options: &UpOptions,
    site: &Site,
    machine: &Machine,
    containerds: &[Supervised],
    agents: &mut Vec<Supervised>,
) -> Result<()> {
    for (index, containerd) in containerds.iter().enumerate() {
        containerd.ready().await?;
        if options.starts("agents") {
            agents.push(roles::agent(layout, site, index, machine)?.supervise());
        }
    }
    for agent in agents {
        agent.ready().await?;
    }
    Ok(())
}

fn announce(layout: &Layout, site: &Site, began: Instant) -> Result<()> {
    let path = layout.system_ready_file();
    bootstrap::ready::announce(Some(&path)).map_err(|e| Error::because(format!("writing {}", path.display()), e))?;
    say::line(env::lines(layout, site, tenants::DEMO));
    say::line(format_args!("ready in {:.1} s", began.elapsed().as_secs_f64()));
    Ok(())
}

/// As far as we may: raising the hard limit needs CAP_SYS_RESOURCE.
fn raise_file_limit() {
    if let Ok((_, hard)) = getrlimit(Resource::RLIMIT_NOFILE) {
        let _ = setrlimit(Resource::RLIMIT_NOFILE, hard, hard);
    }
}
