//! The command line.

use std::{net::SocketAddr, ops::RangeInclusive, path::PathBuf};

use clap::{
    Args, Parser, Subcommand, ValueEnum,
    builder::{PossibleValuesParser, TypedValueParser as _},
};
use domain::Role;
use inventory::Limit;

use crate::quota::limit;

/// A data centre that is one Docker host for many tenants.
#[derive(Debug, Parser)]
#[command(name = "wharfinger", version)]
pub(crate) struct Cli {
    /// Everything that `up` keeps is below it.
    #[arg(long, global = true, default_value = "/var/lib/wharfinger")]
    pub(crate) data_dir: PathBuf,
    #[command(subcommand)]
    pub(crate) command: Command,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Run every role on this machine, in the foreground.
    Up(UpOptions),
    /// Stop what `up` started; containers run on.
    Down {
        /// Remove everything too: containers, images, tenants, networks, the data directory.
        #[arg(long)]
        purge: bool,
    },
    /// Print the lines that point a docker client at the endpoint: eval "$(wharfinger env)".
    Env {
        #[arg(long, default_value = "demo")]
        tenant: String,
    },
    /// Make and list tenants, and limit them.
    #[command(subcommand)]
    Tenants(TenantsCommand),
    /// Client certificates of tenants' users.
    #[command(subcommand)]
    Credentials(CredentialsCommand),
    /// Run one frontend.
    Frontend {
        #[arg(long)]
        config: PathBuf,
    },
    /// Run one scheduler.
    Scheduler {
        #[arg(long)]
        config: PathBuf,
    },
    /// Run one edge: published ports, at the tenants' addresses.
    Edge {
        #[arg(long)]
        config: PathBuf,
    },
    /// Run the agent of this host.
    Agent {
        #[arg(long)]
        config: PathBuf,
    },
    /// Bring the schema of a database up to date.
    Migrate {
        #[arg(long)]
        database_url: String,
    },
}

#[derive(Debug, Subcommand)]
pub(crate) enum TenantsCommand {
    /// Make a tenant with its network and a client bundle for its owner.
    Create { name: String },
    /// Names and ids, and what each uses of its quota.
    List,
    /// Set what a tenant may use, or show it (without options). Nothing is evicted by a lower quota.
    Quota(QuotaOptions),
}

#[derive(Debug, Args)]
pub(crate) struct QuotaOptions {
    pub(crate) tenant: String,
    /// Of all its containers together, such as 512m or 8g; `none` removes the limit.
    #[arg(long, value_name = "BYTES|none", value_parser = limit::memory)]
    pub(crate) memory: Option<Limit>,
    /// Of all its containers together, such as 4 or 1.5; `none` removes the limit.
    #[arg(long, value_name = "CPUS|none", value_parser = limit::cpus)]
    pub(crate) cpus: Option<Limit>,
    /// How many there may be, stopped ones too; `none` removes the limit.
    #[arg(long, value_name = "NUMBER|none", value_parser = limit::containers)]
    pub(crate) containers: Option<Limit>,
}

#[derive(Debug, Subcommand)]
pub(crate) enum CredentialsCommand {
    /// Issue a certificate to a user of a tenant, who may have several.
    Create {
        #[arg(long)]
        tenant: String,
        #[arg(long)]
        user: String,
        /// Viewers read: no exec, no stdin.
        #[arg(long, value_parser = PossibleValuesParser::new(ROLES).try_map(|text| text.parse::<Role>()))]
        role: Role,
        #[command(flatten)]
        issue: IssueOptions,
    },
    /// All of them, revoked and expired ones too.
    List {
        #[arg(long)]
        tenant: Option<String>,
        #[arg(long, value_enum, default_value_t = Output::Table)]
        output: Output,
    },
    /// End a certificate, also on connections that are open, within a second. May be said twice.
    Revoke { id: String },
    /// Issue another certificate with the tenant, user and role of this one, which goes on until its end or its revocation.
    Renew {
        id: String,
        #[command(flatten)]
        issue: IssueOptions,
    },
}

const ROLES: [&str; 3] = ["owner", "developer", "viewer"];

#[derive(Debug, Args)]
pub(crate) struct IssueOptions {
    /// How long it is valid.
    #[arg(long, default_value_t = 90, value_parser = clap::value_parser!(u32).range(days()))]
    pub(crate) days: u32,
    /// A certificate signing request in PEM: the key stays with whoever made it. Only its public key is used.
    #[arg(long, value_name = "FILE.pem")]
    pub(crate) csr: Option<PathBuf>,
    /// Where the files go; none is replaced. Default: TENANT-USER-ID in the current directory.
    #[arg(long, value_name = "DIR")]
    pub(crate) out: Option<PathBuf>,
}

fn days() -> RangeInclusive<i64> {
    let (least, most) = identity::CREDENTIAL_DAYS.into_inner();
    least.into()..=most.into()
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Output {
    Table,
    Json,
}

#[derive(Debug, Args)]
pub(crate) struct UpOptions {
    /// Simulated hosts, each a network namespace with a containerd and an agent. Default: as many as there are, or 1.
    #[arg(long, value_parser = clap::value_parser!(u16).range(1..=200))]
    pub(crate) hosts: Option<u16>,
    /// Where docker clients connect.
    #[arg(long, default_value = "127.0.0.1:2376")]
    pub(crate) listen: SocketAddr,
    /// Addresses for tenants, one each: their Docker API and their published ports. Default: a block of 127/8; others must be
    /// routed to this machine (ip route add local SUBNET dev lo).
    #[arg(long, value_name = "SUBNET")]
    pub(crate) address_pool: Option<ipnet::Ipv4Net>,
    /// A DNS name of the endpoint, for its certificate (may be repeated).
    #[arg(long = "endpoint-name", value_name = "NAME")]
    pub(crate) endpoint_names: Vec<String>,
    /// A PostgreSQL database to use in place of the embedded one.
    #[arg(long)]
    pub(crate) database_url: Option<String>,
    /// A registry that may be plain HTTP or at a private address: HOST[:PORT] or CIDR (may be repeated).
    #[arg(long = "insecure-registry", value_name = "REGISTRY")]
    pub(crate) insecure_registries: Vec<String>,
    /// A mirror of Docker Hub (may be repeated).
    #[arg(long = "registry-mirror", value_name = "URL")]
    pub(crate) registry_mirrors: Vec<String>,
    /// The index that `docker search` asks, by its first API: URL/v1/search. Without one there is no search.
    #[arg(long, value_name = "URL")]
    pub(crate) search_index: Option<String>,
    /// Directory of wharfinger-logger, wharfinger-enter and docker-init. Default: ../lib/wharfinger beside this binary.
    #[arg(long)]
    pub(crate) helpers: Option<PathBuf>,
    /// For work on single parts: start only these of postgres, hosts, scheduler, frontend, edge, agents.
    #[arg(long, hide = true, value_delimiter = ',')]
    pub(crate) only: Option<Vec<String>>,
}

impl UpOptions {
    pub(crate) fn starts(&self, part: &str) -> bool {
        self.only.as_ref().is_none_or(|parts| parts.iter().any(|p| p == part))
    }
}
