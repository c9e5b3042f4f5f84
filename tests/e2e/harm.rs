//! What is done to hosts of the system under test. Each lasts as long as its value, so that it ends with a test that fails.

use std::{
    path::Path,
    process::Command,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread::{JoinHandle, sleep},
    time::Duration,
};

use crate::{
    checker::{Host, inside},
    system::data_dir,
};

/// A command in a network namespace.
pub(crate) fn does(netns: &Path, command: &str) {
    let out = inside(netns, command).output().expect("nsenter runs");
    assert!(out.status.success(), "{command}: {}", String::from_utf8_lossy(&out.stderr));
}

/// A host whose cable to the underlay is pulled; put back with the value.
pub(crate) struct Unplugged(String);

fn cable(name: &str, state: &str) {
    let set = Command::new("ip").args(["link", "set", name, state]).status().expect("ip runs");
    assert!(set.success() || std::thread::panicking(), "ip link set {name} {state}");
}

impl Unplugged {
    pub(crate) fn host(name: &str) -> Self {
        let name = Host::named(name).cable();
        cable(&name, "down");
        Self(name)
    }
}

impl Drop for Unplugged {
    fn drop(&mut self) {
        cable(&self.0, "up");
    }
}

/// An agent that is killed as soon as it serves, time and again: `up` waits longer before each next start.
pub(crate) struct Killed {
    over: Arc<AtomicBool>,
    killer: Option<JoinHandle<()>>,
}

impl Killed {
    pub(crate) fn agent(host: &str) -> Self {
        let (over, file) = (Arc::new(AtomicBool::new(false)), data_dir().join(format!("run/agent-{host}.ready")));
        let seen = over.clone();
        let killer = std::thread::spawn(move || {
            let mut last = String::new();
            while !seen.load(Ordering::Relaxed) {
                match std::fs::read_to_string(&file).map(|pid| pid.trim().to_owned()) {
                    Ok(pid) if !pid.is_empty() && pid != last => {
                        let _ = Command::new("kill").args(["-9", &pid]).status();
                        last = pid;
                    }
                    _ => sleep(Duration::from_millis(20)),
                }
            }
        });
        Self { over, killer: Some(killer) }
    }
}

impl Drop for Killed {
    fn drop(&mut self) {
        self.over.store(true, Ordering::Relaxed);
        let _ = self.killer.take().map(JoinHandle::join);
    }
}

/// An agent that hears and is not heard: verbs are done, and nobody knows.
pub(crate) struct Mute(Host);

impl Mute {
    pub(crate) fn agent(host: &str) -> Self {
        let mute = Self(Host::named(host));
        let netns = mute.0.netns();
        does(&netns, "nft add table ip mute");
        does(&netns, "nft add chain ip mute output { type filter hook output priority 0 ; }");
        does(&netns, "nft add rule ip mute output tcp sport 7400 drop");
        mute
    }
}

impl Drop for Mute {
    fn drop(&mut self) {
        let _ = inside(&self.0.netns(), "nft delete table ip mute").status();
    }
}
