//! An image's config that a tenant writes itself (E10): refused here for what no container made from it would be allowed.
//!
//! A tenant can bring the same config in an image that it pulls, so `create` looks at it again; this only tells early.

use std::collections::BTreeMap;

use docker_api::types::{ContainerConfig, ContainerCreateBody};
use domain::{ContainerId, Digest, ImageRootfs, Result, spec::LogDriver};

use crate::{CreateContext, ImageFacts, Package, create, refuse::malformed};

/// Of all triggers together.
const ON_BUILD_MAX_BYTES: usize = 256 << 10;

/// The first refusal, as `create` would give it for a container with nothing of its own.
pub fn image_config(config: ContainerConfig) -> Result<()> {
    let on_build: usize = config.on_build.iter().flatten().map(String::len).sum();
    if on_build > ON_BUILD_MAX_BYTES {
        return Err(malformed("OnBuild", on_build, "too many bytes", "E10"));
    }
    let has_words = |words: &Option<Vec<String>>| words.as_ref().is_some_and(|w| !w.is_empty());
    // An image need not have a command.
    let cmd = (!has_words(&config.cmd) && !has_words(&config.entrypoint)).then(|| vec!["true".to_owned()]);
    let image = ImageFacts { image: ImageRootfs { image_id: Digest::of(b""), layers: Vec::new() }, config };
    let context = CreateContext {
        package: &Package::standard(),
        image: &image,
        id: &ContainerId::random(),
        name: &"image".parse()?,
        default_log: LogDriver::JsonFile,
        reserved_ports: &[],
        volumes_from: &BTreeMap::new(),
    };
    create(&context, ContainerCreateBody { cmd, ..ContainerCreateBody::default() }).map(drop)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_no_container_may_have_is_refused() {
        assert!(image_config(ContainerConfig::default()).is_ok());
        let with = |change: fn(&mut ContainerConfig)| {
            let mut config = ContainerConfig::default();
            change(&mut config);
            image_config(config)
        };
        assert!(with(|c| c.working_dir = Some("/proc/self/fd/7".to_owned())).is_err());
        assert!(with(|c| c.user = Some("a:b:c".to_owned())).is_err());
        assert!(with(|c| c.stop_signal = Some("SIGNOPE".to_owned())).is_err());
        assert!(with(|c| c.exposed_ports = Some(vec!["0/tcp".to_owned()])).is_err());
        assert!(with(|c| c.on_build = Some(vec!["x".repeat(300 << 10)])).is_err());
        assert!(with(|c| c.cmd = Some(vec!["sh".to_owned()])).is_ok());
    }
}
