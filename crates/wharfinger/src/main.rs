//! The one binary: `up` brings a whole data centre up on one machine, the role sub-commands run one process of a real one.
//!
//! Errors are shown here with their causes: whoever runs this binary is an operator. Keys are only ever paths.

#![cfg_attr(test, allow(clippy::unwrap_used))]

mod address;
mod cli;
mod clients;
mod containerd;
mod credentials;
mod database;
mod down;
mod env;
mod layout;
mod lock;
mod postgres;
mod purge;
mod quota;
mod role;
mod roles;
mod roll;
mod say;
mod site;
mod spawn;
mod supervise;
mod tenants;
mod tool;
mod underlay;
mod up;

use std::process::ExitCode;

use clap::Parser as _;
use cli::{Cli, Command, TenantsCommand};
use domain::Result;

fn main() -> ExitCode {
    spawn::extend_path();
    match run(Cli::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(e) => {
            eprintln!("wharfinger: {}", e.operator_text());
            ExitCode::FAILURE
        }
    }
}

fn run(cli: Cli) -> Result<()> {
    let layout = || layout::Layout::new(&cli.data_dir);
    match cli.command {
        Command::Up(options) => up::run(layout()?, options),
        Command::Down { purge } => down::run(&layout()?, purge),
        Command::Env { tenant } => env::run(&layout()?, &tenant),
        Command::Tenants(TenantsCommand::Create { name }) => tenants::create(&layout()?, &name),
        Command::Tenants(TenantsCommand::List) => quota::list(&layout()?),
        Command::Tenants(TenantsCommand::Quota(options)) => quota::run(&layout()?, &options),
        Command::Credentials(command) => clients::run(&layout()?, command),
        Command::Frontend { config } => role::frontend(&config),
        Command::Scheduler { config } => role::scheduler(&config),
        Command::Edge { config } => role::edge(&config),
        Command::Agent { config } => role::agent(&config),
        Command::Migrate { database_url } => role::migrate(&database_url),
    }
}
