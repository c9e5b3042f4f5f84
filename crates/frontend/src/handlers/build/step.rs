//! A `RUN`: a container of the tenant like any other, through the same policy, quota and placement. Its output is followed
//! while it runs; its exit code ends it.

use std::{
    collections::BTreeMap,
    time::{Duration, Instant},
};

use docker_api::types::{ContainerCreateBody, HealthConfig};
use domain::{ContainerId, Digest, Error, Result};
use inventory::BUILD_LABEL;
use rpc::v1::{self, stream_output::Output as Part};
use serde_json::{Value, json};

use super::hands::Hand;
use crate::handlers::containers::{
    create,
    verb::{DEADLINE, Target, observation, persist, within},
};

/// Policy B13; of one step.
const OUTPUT_MAX_BYTES: usize = 16 << 20;
/// How long an agent may be gone in the middle of a step.
const PATIENCE: Duration = Duration::from_secs(60);

pub(super) async fn create(hand: &Hand, id: &ContainerId, step: &::build::Step) -> Result<()> {
    let Some(base) = &step.base else {
        let program = step.args.first().cloned().unwrap_or_default();
        let text = format!("exec: {program:?}: stat {program}: no such file or directory: unknown");
        return Err(Error::invalid(format!(
            "failed to create task for container: OCI runtime create failed: unable to start container process: {text}"
        )));
    };
    // What the image says of its own start is not for its steps. Its volumes are: what a step writes there is not kept.
    let mut config = step.config.clone();
    for key in ["Healthcheck", "Entrypoint", "Cmd", "OnBuild", "ExposedPorts", "Env"] {
        config.remove(key);
    }
    let document = serde_json::to_vec(&json!({ "config": Value::Object(config) }));
    let document = document.map_err(|e| Error::because("a build step's config", e))?;
    let image = create::facts(base.id.clone(), base.layers.clone(), &document)?;
    let body = body(hand, step, &base.id);
    let (app, caller, build, id) = (hand.app.clone(), hand.caller.clone(), hand.build, id.clone());
    // A create that was begun is finished, so that there is either all of it to remove or nothing.
    let making = tokio::spawn(async move {
        let labels = BTreeMap::from([(BUILD_LABEL.to_owned(), build.to_string())]);
        let volumes_from = BTreeMap::new();
        let wanted =
            create::Wanted { id: &id, name: None, image: &image, volumes_from: &volumes_from, labels: &labels };
        wanted.make(&app, &caller, body).await
    });
    making.await.map_err(|e| Error::because("making a build step", e))?.map(drop)
}

fn body(hand: &Hand, step: &::build::Step, image: &Digest) -> ContainerCreateBody {
    let mut host_config = hand.host_config.clone();
    if step.network.as_deref() == Some("none") {
        host_config.network_mode = Some("none".to_owned());
    }
    ContainerCreateBody {
        image: Some(image.to_string()),
        cmd: Some(step.args.clone()),
        // Takes the image's away.
        entrypoint: Some(vec![String::new()]),
        env: Some(step.env.clone()),
        healthcheck: Some(HealthConfig { test: Some(vec!["NONE".to_owned()]), ..HealthConfig::default() }),
        attach_stdout: Some(true),
        attach_stderr: Some(true),
        host_config: Some(host_config),
        ..ContainerCreateBody::default()
    }
}

pub(super) async fn run(hand: &Hand, id: &ContainerId) -> Result<i32> {
    let target = Target::find(&hand.app, &hand.caller, id.as_str()).await?;
    let request = v1::StartRequest { container: Some(target.key.clone()), ..Default::default() };
    let started = target.agent.clone().start(within(DEADLINE, request)).await.map_err(rpc::status::from_status)?;
    target.store(started.into_inner()).await?;
    follow(hand, &target).await?;
    exit_code(hand, &target).await
}

/// All output, to the end of the container. An agent that goes away in the middle is asked again; what was shown before is
/// passed over then.
async fn follow(hand: &Hand, target: &Target) -> Result<()> {
    let mut shown = Shown::default();
    let mut lost: Option<Instant> = None;
    loop {
        shown.start_over();
        match follow_once(hand, target, &mut shown).await {
            Ok(()) => return Ok(()),
            Err(error @ (Error::NotFound { .. } | Error::Invalid(_) | Error::Unsupported(_))) => return Err(error),
            Err(error) => {
                if lost.get_or_insert_with(Instant::now).elapsed() > PATIENCE {
                    return Err(error);
                }
                tracing::debug!(cause = error.operator_text(), "a build step's output is asked for again");
                tokio::time::sleep(Duration::from_millis(500)).await;
            }
        }
    }
}

async fn follow_once(hand: &Hand, target: &Target, shown: &mut Shown) -> Result<()> {
    let request = v1::LogsRequest {
        container: Some(target.key.clone()),
        stdout: true,
        stderr: true,
        follow: true,
        ..v1::LogsRequest::default()
    };
    let output = target.agent.clone().logs(request).await.map_err(rpc::status::from_status)?;
    let mut output = output.into_inner();
    while let Some(message) = output.message().await.map_err(rpc::status::from_status)? {
        let Some(Part::Chunk(chunk)) = message.output else { continue };
        let is_error = chunk.stream() == v1::Stream::Stderr;
        for said in shown.take(is_error, &chunk.data) {
            ::build::Hands::say(hand, said).await;
        }
    }
    Ok(())
}

/// How much of each stream the client has.
#[derive(Default)]
struct Shown {
    /// Of stdout and stderr.
    bytes: [usize; 2],
    /// To be passed over, after a new start.
    skip: [usize; 2],
    /// The beginning of a character whose rest has not come.
    rest: [Vec<u8>; 2],
    clipped: bool,
}

impl Shown {
    fn start_over(&mut self) {
        self.skip = self.bytes;
    }

    fn take(&mut self, is_error: bool, data: &[u8]) -> Vec<::build::Said> {
        let at = usize::from(is_error);
        let passed = self.skip[at].min(data.len());
        self.skip[at] -= passed;
        let data = &data[passed..];
        if data.is_empty() {
            return Vec::new();
        }
        self.bytes[at] += data.len();
        if self.bytes.iter().sum::<usize>() > OUTPUT_MAX_BYTES {
            let first = !std::mem::replace(&mut self.clipped, true);
            let text = "\n[output clipped: a step shows at most 16 MiB (policy B13)]\n".to_owned();
            return if first { vec![::build::Said::Err(text)] } else { Vec::new() };
        }
        let mut bytes = std::mem::take(&mut self.rest[at]);
        bytes.extend_from_slice(data);
        self.rest[at] = bytes.split_off(whole_characters(&bytes));
        if bytes.is_empty() {
            return Vec::new();
        }
        let text = String::from_utf8_lossy(&bytes).into_owned();
        vec![if is_error { ::build::Said::Err(text) } else { ::build::Said::Out(text) }]
    }
}

/// Without a character that is cut at the end.
fn whole_characters(bytes: &[u8]) -> usize {
    match std::str::from_utf8(bytes) {
        Err(error) if error.error_len().is_none() => error.valid_up_to(),
        _ => bytes.len(),
    }
}

async fn exit_code(hand: &Hand, target: &Target) -> Result<i32> {
    let begun = Instant::now();
    loop {
        let request = v1::WaitRequest {
            container: Some(target.key.clone()),
            condition: v1::WaitCondition::NotRunning.into(),
            after_generation: 0,
        };
        match target.agent.clone().wait(request).await.map_err(rpc::status::from_status) {
            Ok(reply) => {
                let seen = observation(&reply.into_inner())?;
                persist(|| target.rows.observe(&seen)).await?;
                if seen.oom_killed {
                    ::build::Hands::say(hand, ::build::Said::Err("[the step ran out of memory]\n".to_owned())).await;
                }
                return Ok(seen.exit_code);
            }
            Err(error @ (Error::NotFound { .. } | Error::Invalid(_))) => return Err(error),
            Err(error) if begun.elapsed() > PATIENCE => return Err(error),
            Err(_) => tokio::time::sleep(Duration::from_millis(500)).await,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn output_is_shown_once_and_in_whole_characters() {
        let mut shown = Shown::default();
        let euro = "€".as_bytes();
        assert!(shown.take(false, &euro[..1]).is_empty());
        assert_eq!(shown.take(false, &euro[1..]), [::build::Said::Out("€".to_owned())]);
        shown.start_over();
        assert_eq!(shown.take(false, "€x".as_bytes()), [::build::Said::Out("x".to_owned())]);
        assert_eq!(shown.take(true, b"e"), [::build::Said::Err("e".to_owned())]);
    }
}
