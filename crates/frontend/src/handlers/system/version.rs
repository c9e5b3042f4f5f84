//! `GET /version`. Nothing of the hosts: no kernel, no build machine.

use axum::response::Response;
use docker_api::version::ApiVersion;
use serde::Serialize;

use crate::json;

/// Ours, not Docker's.
pub(crate) const VERSION: &str = env!("CARGO_PKG_VERSION");

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Version {
    platform: Platform,
    components: [Component; 1],
    version: &'static str,
    api_version: String,
    #[serde(rename = "MinAPIVersion")]
    min_api_version: String,
    git_commit: &'static str,
    go_version: &'static str,
    os: &'static str,
    arch: &'static str,
    kernel_version: &'static str,
    build_time: &'static str,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Platform {
    name: String,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Component {
    name: &'static str,
    version: &'static str,
    details: Details,
}

/// Strings all, as in dockerd.
#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Details {
    api_version: String,
    arch: &'static str,
    build_time: &'static str,
    experimental: &'static str,
    git_commit: &'static str,
    go_version: &'static str,
    kernel_version: &'static str,
    #[serde(rename = "MinAPIVersion")]
    min_api_version: String,
    os: &'static str,
}

pub(crate) async fn version() -> Response {
    json::ok(&Version {
        platform: Platform { name: format!("Wharfinger {VERSION}") },
        components: [Component { name: "Engine", version: VERSION, details: details() }],
        version: VERSION,
        api_version: ApiVersion::MAX.to_string(),
        min_api_version: ApiVersion::MIN.to_string(),
        git_commit: "",
        go_version: "",
        os: "linux",
        arch: architecture(),
        kernel_version: "",
        build_time: "",
    })
}

fn details() -> Details {
    Details {
        api_version: ApiVersion::MAX.to_string(),
        arch: architecture(),
        build_time: "",
        experimental: "false",
        git_commit: "",
        go_version: "",
        kernel_version: "",
        min_api_version: ApiVersion::MIN.to_string(),
        os: "linux",
    }
}

/// Go's name of the architecture.
pub(crate) fn architecture() -> &'static str {
    match std::env::consts::ARCH {
        "x86_64" => "amd64",
        "aarch64" => "arm64",
        other => other,
    }
}
