//! `--change` of import and commit: instructions of a Dockerfile that change an image's config.

use build::dockerfile::change;
use serde_json::json;

pub const SEEDS: &[&[u8]] = &[
    b"CMD [\"sh\", \"-c\", \"true\"]",
    b"ENV A=b C=\"d e\" F=g\\ h",
    b"LABEL a=b 'c d'=e",
    b"EXPOSE 80/tcp 1000-1010/udp",
    b"HEALTHCHECK --interval=1s --retries=3 CMD true\nUSER 1000:1000",
    b"VOLUME [\"/a\", \"/b\"]\nWORKDIR a\nSTOPSIGNAL SIGTERM\nONBUILD RUN x\nENTRYPOINT x",
];

pub fn run(data: &[u8]) {
    let Some(text) = super::text(data) else { return };
    let given: Vec<String> = text.lines().map(str::to_owned).collect();
    let mut config = json!({ "Env": ["PATH=/bin"], "WorkingDir": "/w" });
    if change(&mut config, &given).is_ok() {
        assert!(config.is_object());
    }
}
