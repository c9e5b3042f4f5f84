//! The query string of `POST /build`: what to build, under which names, and what its steps get (policy B01-B09).

use docker_api::types::{HostConfig, ResourcesUlimits};
use domain::{Error, ImageRef, Result};
use serde::de::DeserializeOwned;

use crate::query::Params;

const KNOWN: [&str; 30] = [
    "dockerfile",
    "t",
    "extrahosts",
    "remote",
    "q",
    "nocache",
    "cachefrom",
    "pull",
    "rm",
    "forcerm",
    "memory",
    "memswap",
    "cpushares",
    "cpusetcpus",
    "cpusetmems",
    "cpuperiod",
    "cpuquota",
    "buildargs",
    "shmsize",
    "squash",
    "labels",
    "networkmode",
    "platform",
    "target",
    "outputs",
    "version",
    "ulimits",
    "isolation",
    "cgroupparent",
    "securityopt",
];
const NAMES_MAX: usize = 100;

#[derive(Debug)]
pub(super) struct Asked {
    pub(super) request: ::build::Request,
    pub(super) names: Vec<ImageRef>,
    pub(super) quiet: bool,
    /// Of each step's container.
    pub(super) host_config: HostConfig,
}

pub(super) fn read(params: &Params) -> Result<Asked> {
    match params.filled("version") {
        None | Some("1") => {}
        Some("2") => {
            return Err(Error::unsupported(
                "BuildKit is not offered by this endpoint: build with the classic builder (DOCKER_BUILDKIT=0)",
            ));
        }
        Some(other) => return Err(Error::invalid(format!("invalid version {other:?}"))),
    }
    params.only(&KNOWN)?;
    refuse(params)?;
    Ok(Asked {
        request: request(params)?,
        names: names(params)?,
        quiet: params.flag("q"),
        host_config: host_config(params)?,
    })
}

fn refuse(params: &Params) -> Result<()> {
    if params.filled("remote").is_some() {
        let text = "remote: contexts are uploaded, and not fetched by this endpoint (policy B01)";
        return Err(Error::forbidden(text));
    }
    for key in ["cgroupparent", "securityopt", "cpusetcpus", "cpusetmems"] {
        if let Some(value) = params.filled(key).filter(|v| !matches!(*v, "null" | "[]")) {
            return Err(Error::forbidden(format!("{key}={value:?} is not allowed (policy B04)")));
        }
    }
    if let Some(value) = params.filled("isolation").filter(|v| *v != "default") {
        return Err(Error::forbidden(format!("isolation={value:?} is not allowed (policy B04)")));
    }
    if params.filled("outputs").is_some_and(|v| v != "[]") {
        return Err(Error::unsupported("outputs: a build gives an image, nothing else (policy B08)"));
    }
    if params.flag("squash") {
        return Err(Error::invalid("squash is only supported with experimental mode"));
    }
    Ok(())
}

fn request(params: &Params) -> Result<::build::Request> {
    let text = |key: &str| params.get(key).unwrap_or_default().to_owned();
    let platform = text("platform");
    policy::platform(&platform)?;
    Ok(::build::Request {
        dockerfile: text("dockerfile"),
        target: text("target"),
        arguments: parsed(params, "buildargs", "build args")?,
        labels: parsed(params, "labels", "labels")?,
        no_cache: params.flag("nocache"),
        pull: params.flag("pull"),
        cache_from: parsed::<Vec<String>>(params, "cachefrom", "cache-from")?,
        remove: params.flag_or("rm", true) || params.get("rm") == Some("") || params.flag("forcerm"),
        platform,
    })
}

fn parsed<T: DeserializeOwned + Default>(params: &Params, key: &str, shown: &str) -> Result<T> {
    let Some(text) = params.filled(key) else { return Ok(T::default()) };
    let value: Option<T> =
        serde_json::from_str(text).map_err(|e| Error::invalid(format!("error reading {shown}: {e}")))?;
    Ok(value.unwrap_or_default())
}

fn names(params: &Params) -> Result<Vec<ImageRef>> {
    let mut names: Vec<ImageRef> = Vec::new();
    for text in params.all("t").filter(|text| !text.is_empty()) {
        let name: ImageRef = text.parse()?;
        if name.digest().is_some() {
            return Err(Error::invalid("build tag cannot contain a digest"));
        }
        let name = name.with_default_tag();
        if !names.contains(&name) {
            names.push(name);
        }
    }
    if names.len() > NAMES_MAX {
        return Err(Error::invalid(format!("an image gets at most {NAMES_MAX} names at once (policy B02)")));
    }
    Ok(names)
}

/// Policy checks it again with each step, as for any container.
fn host_config(params: &Params) -> Result<HostConfig> {
    let number = |key: &str| params.number(key, i64::MIN..=i64::MAX);
    let network_mode = match params.filled("networkmode") {
        None | Some("default") => None,
        Some(mode) if mode == "host" || mode.starts_with("container:") => {
            return Err(Error::forbidden(format!("networkmode={mode:?} is not allowed (policy B03)")));
        }
        Some(mode) => Some(mode.to_owned()),
    };
    let ulimits: Vec<ResourcesUlimits> = parsed(params, "ulimits", "ulimits")?;
    let extra_hosts: Vec<String> = params.all("extrahosts").filter(|v| !v.is_empty()).map(str::to_owned).collect();
    let (memory, memory_swap) = (number("memory")?, number("memswap")?);
    if memory_swap.is_some_and(|swap| swap > 0) && memory.unwrap_or(0) == 0 {
        return Err(Error::invalid("You should always set the Memory limit when using Memoryswap limit, see usage"));
    }
    Ok(HostConfig {
        memory,
        memory_swap,
        cpu_shares: number("cpushares")?,
        cpu_period: number("cpuperiod")?,
        cpu_quota: number("cpuquota")?,
        shm_size: number("shmsize")?,
        ulimits: (!ulimits.is_empty()).then_some(ulimits),
        extra_hosts: (!extra_hosts.is_empty()).then_some(extra_hosts),
        network_mode,
        ..HostConfig::default()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn asked(query: &str) -> Result<Asked> {
        read(&Params::of(&format!("/build?{query}").parse().expect("uri")).expect("query"))
    }

    #[test]
    fn what_the_cli_sends_is_understood() {
        let query = "buildargs=%7B%22A%22%3A%221%22%2C%22B%22%3Anull%7D&cachefrom=%5B%5D&cgroupparent=&cpuperiod=0&cpuquota=0\
            &cpusetcpus=&cpusetmems=&cpushares=0&dockerfile=Dockerfile&labels=%7B%22l%22%3A%22v%22%7D&memory=0&memswap=0\
            &networkmode=default&rm=1&shmsize=0&t=a%3A1&t=b&target=&ulimits=null&version=1";
        let asked = asked(query).expect("asked");
        assert_eq!(asked.names.iter().map(ToString::to_string).collect::<Vec<_>>(), ["a:1", "b:latest"]);
        assert_eq!(asked.request.arguments["A"].as_deref(), Some("1"));
        assert!(asked.request.arguments["B"].is_none() && asked.request.remove && !asked.quiet);
        assert_eq!((asked.request.labels["l"].as_str(), asked.host_config.network_mode), ("v", None));
    }

    #[test]
    fn what_is_refused_names_its_rule() {
        for (query, wanted) in [
            ("remote=http://169.254.169.254/", "B01"),
            ("networkmode=host", "B03"),
            ("networkmode=container:x", "B03"),
            ("securityopt=seccomp%3Dunconfined", "B04"),
            ("cpusetcpus=0-4095", "B04"),
            ("isolation=hyperv", "B04"),
            ("cgroupparent=/x", "B04"),
            ("squash=1", "experimental"),
            ("version=2", "DOCKER_BUILDKIT=0"),
            ("unknownparam=1", "unsupported query parameter"),
            ("buildargs=xx", "error reading build args"),
            ("labels=xx", "error reading labels"),
            ("cpuperiod=xx", "invalid syntax"),
            ("session=abc", "unsupported query parameter"),
        ] {
            let text = asked(query).expect_err(query).to_string();
            assert!(text.contains(wanted), "{query}: {text}");
        }
    }
}
