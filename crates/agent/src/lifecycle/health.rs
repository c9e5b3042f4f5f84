//! Health checks: a probe is an exec with a deadline.
//!
//! Docker's rules: a failure inside the start period does not count, `retries` failures in a row make a container
//! unhealthy, one success makes it healthy. One probe at a time. The first probe comes after one interval; a random part
//! of it is taken off, so that a thousand containers that were started together do not probe together.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use chrono::Utc;
use domain::{
    ContainerSpec, Error, ExecId, ExecSpec, Health, HealthStatus, Healthcheck, ProbeResult, Result, Signal, Status,
};
use futures::StreamExt;
use rand::Rng;
use rpc::v1;
use tokio_util::{sync::CancellationToken, task::AbortOnDropHandle};

use super::{Container, Engine, container::Turn, exec::own_user};
use crate::{
    containerd::{NewExec, RunError},
    spec,
    stdio::{ExecPipes, ExecStreams, Output},
};

/// As many as dockerd keeps.
const LOG_MAX: usize = 5;
const OUTPUT_MAX_BYTES: usize = 4096;
/// dockerd's code for a probe that took too long or could not run.
const FAILED_CODE: i32 = -1;
/// Part of an interval that is taken off at random.
const JITTER: f64 = 0.1;
/// A tight loop would be charged to the host.
const SHORTEST: Duration = Duration::from_millis(500);

/// The state of a run that has just begun.
pub(super) fn at_start(spec: &ContainerSpec) -> Option<Health> {
    spec.health.as_ref().map(|_| Health { status: HealthStatus::Starting, failing_streak: 0, log: Vec::new() })
}

impl Engine {
    /// Probes until the run ends.
    pub(super) fn begin_health(self: &Arc<Self>, container: &Arc<Container>, turn: &mut Turn) {
        let (Some(check), Some(run)) = (container.accepted.spec.health.clone(), turn.run.as_mut()) else { return };
        let (engine, container) = (self.clone(), container.clone());
        let probing = tokio::spawn(async move { engine.probe_for_ever(&container, &check).await });
        run.health = Some(AbortOnDropHandle::new(probing));
    }

    async fn probe_for_ever(self: &Arc<Self>, container: &Arc<Container>, check: &Healthcheck) {
        let since = Instant::now();
        loop {
            tokio::time::sleep(pause(check, since.elapsed(), container)).await;
            if container.status() != Status::Running {
                continue;
            }
            let result = self.probe(container, check).await;
            let starting = since.elapsed() < nanoseconds(check.start_period_ns);
            self.judge(container, check, result, starting);
        }
    }

    fn judge(self: &Arc<Self>, container: &Arc<Container>, check: &Healthcheck, result: ProbeResult, starting: bool) {
        let observation = container.change(|state| {
            let Some(health) = &mut state.observation.health else { return };
            let (before, at) = (health.status, result.end);
            note(health, check, result, starting);
            let now = health.status;
            if now != before {
                state.happened(at, &format!("health_status: {}", now.as_str()), []);
            }
        });
        self.reports.container(observation);
    }

    async fn probe(self: &Arc<Self>, container: &Arc<Container>, check: &Healthcheck) -> ProbeResult {
        let start = Utc::now();
        let exec = ExecId::random();
        let running = self.run_probe(container, check, &exec);
        let (exit_code, output) = match tokio::time::timeout(nanoseconds(check.timeout_ns), running).await {
            Ok(Ok(ended)) => ended,
            Ok(Err(error)) => (FAILED_CODE, error.to_string()),
            Err(_) => {
                let _ = self.containerd.kill(container.id(), Some(exec.as_str()), Signal::KILL, true).await;
                let _ = self.containerd.wait(container.id(), Some(exec.as_str())).await;
                let text = format!("Health check exceeded timeout ({})", text_of(nanoseconds(check.timeout_ns)));
                (FAILED_CODE, text)
            }
        };
        let _ = self.containerd.delete_exec(container.id(), exec.as_str()).await;
        ProbeResult { start, end: Utc::now(), exit_code, output }
    }

    /// Exit code and output.
    async fn run_probe(&self, container: &Container, check: &Healthcheck, exec: &ExecId) -> Result<(i32, String)> {
        let (id, name) = (container.id(), exec.as_str());
        let stored = self.containerd.record_spec(id).await?;
        let own = stored.process().clone().ok_or_else(|| Error::internal("record without a process"))?;
        let process = spec::exec_process(&own, &command(check), &own_user(&own), (0, 0));
        let process = process.map_err(|e| Error::because("probe", e))?;
        container.until_read().await;
        let wanted = ExecStreams { stdin: false, stdout: true, stderr: true, tty: false };
        let pipes = ExecPipes::create(&probes_dir(container), exec, wanted)?;
        let [stdin, stdout, stderr] = pipes.paths();
        let new = NewExec { container: id, exec: name, process: &process, stdin, stdout, stderr };
        self.containerd.create_exec(new).await.map_err(words)?;
        self.containerd.start(id, Some(name)).await.map_err(words)?;
        let exited = CancellationToken::new();
        let output = tokio::spawn(first_bytes(pipes.output(exited.clone())));
        let exit = self.containerd.wait(id, Some(name)).await;
        exited.cancel();
        let output = output.await.unwrap_or_default();
        Ok((exit?.map_or(FAILED_CODE, |exit| exit.code), output))
    }
}

/// FIFOs of probes; apart from those of execs, whose exits are reported.
pub(super) fn probes_dir(container: &Container) -> std::path::PathBuf {
    container.run_dir.join("probes")
}

/// Reads to the end, so that the probe never blocks, and keeps the beginning.
async fn first_bytes(mut output: Output) -> String {
    let mut kept = Vec::new();
    while let Some(Ok(item)) = output.next().await {
        if let Some(v1::stream_output::Output::Chunk(chunk)) = item.output {
            kept.extend_from_slice(&chunk.data[..chunk.data.len().min(OUTPUT_MAX_BYTES - kept.len())]);
        }
    }
    String::from_utf8_lossy(&kept).into_owned()
}

/// Until the next probe.
fn pause(check: &Healthcheck, elapsed: Duration, container: &Container) -> Duration {
    let starting = container.observation().health.is_some_and(|h| h.status == HealthStatus::Starting);
    let interval = match starting && elapsed < nanoseconds(check.start_period_ns) && check.start_interval_ns > 0 {
        true => nanoseconds(check.start_interval_ns),
        false => nanoseconds(check.interval_ns),
    };
    let off = rand::rng().random_range(0.0..JITTER);
    interval.mul_f64(1.0 - off).max(SHORTEST)
}

fn note(health: &mut Health, check: &Healthcheck, result: ProbeResult, starting: bool) {
    if result.exit_code == 0 {
        (health.status, health.failing_streak) = (HealthStatus::Healthy, 0);
    } else if !(starting && health.status == HealthStatus::Starting) {
        health.failing_streak += 1;
        if health.failing_streak >= check.retries.max(1) {
            health.status = HealthStatus::Unhealthy;
        }
    }
    health.log.push(result);
    if health.log.len() > LOG_MAX {
        health.log.remove(0);
    }
}

fn command(check: &Healthcheck) -> ExecSpec {
    ExecSpec {
        args: check.args.clone(),
        env: Vec::new(),
        cwd: String::new(),
        user: String::new(),
        tty: false,
        attach_stdin: false,
        attach_stdout: true,
        attach_stderr: true,
        detach_keys: String::new(),
        console_height: 0,
        console_width: 0,
    }
}

fn words(error: RunError) -> Error {
    match error {
        RunError::Runtime(text) => Error::invalid(text),
        RunError::Gone => Error::conflict("container is not running"),
        RunError::Failed(error) => error,
    }
}

fn nanoseconds(ns: i64) -> Duration {
    Duration::from_nanos(u64::try_from(ns).unwrap_or_default())
}

/// Go's notation, as far as whole milliseconds go.
fn text_of(duration: Duration) -> String {
    match duration.as_millis() {
        ms if ms % 1000 == 0 => format!("{}s", ms / 1000),
        ms => format!("{ms}ms"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(retries: u32) -> Healthcheck {
        let (interval_ns, timeout_ns) = (1_000_000_000, 1_000_000_000);
        Healthcheck { args: vec![], interval_ns, timeout_ns, start_period_ns: 0, start_interval_ns: 0, retries }
    }

    fn result(exit_code: i32) -> ProbeResult {
        ProbeResult { start: Utc::now(), end: Utc::now(), exit_code, output: String::new() }
    }

    #[test]
    fn retries_failures_in_a_row_make_it_unhealthy_and_one_success_healthy() {
        let mut health = Health { status: HealthStatus::Starting, failing_streak: 0, log: vec![] };
        note(&mut health, &check(2), result(1), true);
        assert_eq!((health.status, health.failing_streak), (HealthStatus::Starting, 0));
        note(&mut health, &check(2), result(1), false);
        assert_eq!(health.status, HealthStatus::Starting);
        note(&mut health, &check(2), result(1), false);
        assert_eq!(health.status, HealthStatus::Unhealthy);
        note(&mut health, &check(2), result(0), false);
        assert_eq!((health.status, health.failing_streak), (HealthStatus::Healthy, 0));
        for _ in 0..9 {
            note(&mut health, &check(2), result(0), false);
        }
        assert_eq!(health.log.len(), LOG_MAX);
    }
}
