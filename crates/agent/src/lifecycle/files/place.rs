//! Where the helper works, in its own words (see `enter/src/place.rs`).

use std::{
    ffi::OsString,
    os::fd::{AsRawFd, OwnedFd},
    path::{Path, PathBuf},
    sync::Arc,
};

use domain::{Error, Result};

use super::{Container, Engine, runs};
use crate::{
    containerd::{Mount, snapshots_dir},
    lifecycle::{exec::accounts_of, launch::layers},
    passwd::Accounts,
    spec::Volume,
};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Access {
    Read,
    Write,
}

pub(super) struct Place {
    pub(super) args: Vec<OsString>,
    /// The helper opens it by its number here.
    _user_ns: Option<Arc<OwnedFd>>,
}

impl Engine {
    pub(super) async fn place(&self, container: &Container, access: Access) -> Result<Place> {
        let seen = container.observation();
        if runs(container) {
            let (pid, base) = (seen.pid.to_string(), container.accepted.uid_base.to_string());
            let args = ["running", &pid, &base, container.id()].map(OsString::from).to_vec();
            return Ok(Place { args, _user_ns: None });
        }
        self.still(container, access).await
    }

    async fn still(&self, container: &Container, access: Access) -> Result<Place> {
        let accepted = &container.accepted;
        let mounts = self.containerd.mounts(container.id()).await?;
        let snapshots = snapshots_dir(&mounts)?;
        let view = self.idmap.view(accepted.tenant, accepted.uid_base, "snapshots", Path::new(&snapshots)).await?;
        let user_ns = self.idmap.user_namespace(accepted.tenant, accepted.uid_base).await?;
        let at = mount_point(container).await?;
        let own = format!("/proc/{}/fd/{}", std::process::id(), user_ns.as_raw_fd());
        let mut args: Vec<OsString> = vec!["still".into(), own.into(), at.into()];
        let mount = only(&mounts)?;
        let within = |path: &str| below(path, &snapshots).map(str::to_owned);
        match mount.r#type.as_str() {
            "overlay" => {
                let options = options(mount, access, &within)?;
                args.extend(["overlay".into(), view.into(), options.into()]);
            }
            _ => args.extend(["bind".into(), view.join(within(&mount.source)?).into()]),
        }
        let word = |readonly: bool| OsString::from(if readonly { "ro" } else { "rw" });
        args.push(word(accepted.spec.rootfs_readonly || access == Access::Read));
        for bind in self.binds(container).await? {
            args.extend(["bind".into(), bind.source.into(), bind.target.into(), word(bind.readonly)]);
        }
        Ok(Place { args, _user_ns: Some(user_ns) })
    }

    /// What a start would mount: its own files, and its volumes. Parts of volumes are mounted by a start alone.
    async fn binds(&self, container: &Container) -> Result<Vec<Volume>> {
        let accepted = &container.accepted;
        let own = |name: &&str| Volume {
            source: container.dir.join(name),
            target: format!("/etc/{name}"),
            readonly: accepted.spec.rootfs_readonly,
        };
        let mut binds: Vec<Volume> = ["resolv.conf", "hostname", "hosts"].iter().map(own).collect();
        self.volumes.ensure(&self.idmap, accepted.tenant, accepted.uid_base, &accepted.volumes).await?;
        let volumes = self.volume_sources(accepted)?;
        let whole = accepted.spec.volumes.iter().zip(volumes).filter(|(mount, _)| mount.subpath.is_empty());
        binds.extend(whole.map(|(_, volume)| volume));
        // An outer target before an inner one.
        binds.sort_by_key(|bind| Path::new(&bind.target).components().count());
        Ok(binds)
    }

    /// The layers themselves: what differs is told by them alone, run or not.
    pub(super) async fn layers(&self, container: &Container) -> Result<Place> {
        let mounts = self.containerd.mounts(container.id()).await?;
        let snapshots = snapshots_dir(&mounts)?;
        let mount = only(&mounts)?;
        let (upper, lower) = match mount.r#type.as_str() {
            "overlay" => (option(mount, "upperdir=")?, option(mount, "lowerdir=")?),
            _ => (mount.source.as_str(), ""),
        };
        let lower = relative(lower, &|path| below(path, &snapshots).map(str::to_owned))?;
        let at = mount_point(container).await?;
        let args = vec!["layers".into(), at.into(), upper.into(), snapshots.clone().into(), lower.into()];
        Ok(Place { args, _user_ns: None })
    }

    /// `uid:gid` of the container's user; None for root, whom Docker takes for no wish.
    pub(super) async fn owner(&self, container: &Container) -> Result<Option<String>> {
        let process = &container.accepted.spec.process;
        if process.user.is_empty() {
            return Ok(None);
        }
        let accounts = match runs(container) {
            true => accounts_of(container.observation().pid).await?,
            false => {
                let layers = layers(&self.containerd.mounts(container.id()).await?);
                let read = tokio::task::spawn_blocking(move || Accounts::of_layers(&layers));
                read.await.map_err(|e| Error::because("accounts of a container", e))?
            }
        };
        let user = accounts.resolve(&process.user, &[])?;
        Ok(Some(format!("{}:{}", user.uid, user.gid)))
    }
}

/// A directory that is there; what is mounted on it is seen by the helper alone.
async fn mount_point(container: &Container) -> Result<PathBuf> {
    let at = container.run_dir.clone();
    tokio::fs::create_dir_all(&at).await.map_err(|e| Error::because(format!("make {}", at.display()), e))?;
    Ok(at)
}

fn only(mounts: &[Mount]) -> Result<&Mount> {
    match mounts {
        [mount] if matches!(mount.r#type.as_str(), "overlay" | "bind") => Ok(mount),
        _ => Err(Error::internal(format!("unexpected snapshot mounts: {mounts:?}"))),
    }
}

fn option<'a>(mount: &'a Mount, name: &str) -> Result<&'a str> {
    let found = mount.options.iter().find_map(|o| o.strip_prefix(name));
    found.ok_or_else(|| Error::internal(format!("a snapshot's mount without {name}: {mount:?}")))
}

/// The overlay's options with paths relative to the snapshots: the kernel takes no more than a page of them. A reader's has
/// no upper layer, but the container's as the topmost of the lower ones.
fn options(mount: &Mount, access: Access, within: &dyn Fn(&str) -> Result<String>) -> Result<String> {
    let (upper, lower) = (option(mount, "upperdir=")?, relative(option(mount, "lowerdir=")?, within)?);
    let own = |o: &&String| !["upperdir=", "lowerdir=", "workdir="].iter().any(|name| o.starts_with(name));
    let mut options: Vec<String> = mount.options.iter().filter(own).cloned().collect();
    match access {
        Access::Read => options.push(format!("lowerdir={}:{lower}", within(upper)?)),
        Access::Write => {
            let work = within(option(mount, "workdir=")?)?;
            options.push(format!("lowerdir={lower},upperdir={},workdir={work}", within(upper)?));
        }
    }
    Ok(options.join(","))
}

fn relative(lower: &str, within: &dyn Fn(&str) -> Result<String>) -> Result<String> {
    let paths: Result<Vec<String>> = lower.split(':').filter(|p| !p.is_empty()).map(within).collect();
    Ok(paths?.join(":"))
}

fn below<'a>(path: &'a str, snapshots: &str) -> Result<&'a str> {
    let rest = path.strip_prefix(snapshots).and_then(|rest| rest.strip_prefix('/'));
    rest.ok_or_else(|| Error::internal(format!("{path} is not below {snapshots}")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reader_has_no_upper_layer() {
        let options = ["index=off", "workdir=/s/9/work", "upperdir=/s/9/fs", "lowerdir=/s/2/fs:/s/1/fs"];
        let mount = Mount { options: options.map(String::from).to_vec(), ..Default::default() };
        let within = |path: &str| below(path, "/s").map(str::to_owned);
        let got = |access| super::options(&mount, access, &within).expect("options");
        assert_eq!(got(Access::Read), "index=off,lowerdir=9/fs:2/fs:1/fs");
        assert_eq!(got(Access::Write), "index=off,lowerdir=2/fs:1/fs,upperdir=9/fs,workdir=9/work");
        let other = Mount { options: vec!["upperdir=/t/9/fs".into(), "lowerdir=/s/1/fs".into()], ..mount.clone() };
        assert!(super::options(&other, Access::Read, &within).is_err());
    }
}
