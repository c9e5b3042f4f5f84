//! `GET /containers/{id}/stats`: one record for each second, or one alone.
//!
//! `precpu_stats` are those of the record before, which only this stream knows: a single record waits for a second sample to
//! have them, unless it was asked for with `one-shot`. A container that does not run has dockerd's empty record.

use axum::{body::Body, extract::State};
use chrono::{DateTime, Utc};
use docker_api::{
    time::rfc3339nano_or_zero,
    types::stats::{
        BlkioEntry, BlkioStats, ContainerStats, CpuStats, CpuUsage, MemoryStats, NetworkStats, PidsStats,
        ThrottlingData,
    },
};
use domain::{Error, Status};
use inventory::Container;
use rpc::v1::{self, StatsSample};
use tonic::Streaming;

use super::verb::{DEADLINE, within};
use crate::{
    error::Answer,
    extract::{Caller, Reference},
    json,
    query::Params,
    state::App,
};

pub(crate) async fn stats(State(app): State<App>, caller: Caller, Reference(id): Reference, params: Params) -> Answer {
    params.only(&["stream", "one-shot"])?;
    let (stream, once) = (params.flag_or("stream", true), params.flag("one-shot"));
    if stream && once {
        return Err(Error::invalid("cannot have stream=true and one-shot=true").into());
    }
    let container = app.rows(&caller.tenant).container(&id).await?;
    let mut records = Records::of(&container);
    let is_running = matches!(container.observation.status, Status::Running | Status::Paused);
    if !stream && !is_running {
        return Ok(json::ok(&records.next(StatsSample::default())));
    }
    app.agent(&container)?;
    let mut agent = app.channels.measure(container.host, &container.host_endpoint)?;
    let key = Some(rpc::container_key(caller.tenant.id(), &container.id));
    let request = v1::StatsRequest { container: key, once };
    if stream {
        let samples = agent.stats(request).await?.into_inner();
        return Ok(json::with(http::StatusCode::OK, body(samples, records)));
    }
    let mut samples = agent.stats(within(DEADLINE, request)).await?.into_inner();
    let first = samples.message().await?.unwrap_or_default();
    if once {
        // dockerd leaves its name out here.
        return Ok(json::ok(&ContainerStats { name: String::new(), id: String::new(), ..records.next(first) }));
    }
    records.next(first);
    let second = samples.message().await?.unwrap_or_default();
    Ok(json::ok(&records.next(second)))
}

/// A line for each sample, for as long as the client reads and the container exists.
fn body(samples: Streaming<StatsSample>, records: Records) -> Body {
    Body::from_stream(futures::stream::unfold((samples, records), |(mut samples, mut records)| async move {
        match samples.message().await {
            Ok(Some(sample)) => Some((Ok(json::bytes(&records.next(sample))), (samples, records))),
            Ok(None) => None,
            Err(status) => Some((Err(rpc::status::from_status(status)), (samples, records))),
        }
    }))
}

/// What one client's stream remembers.
struct Records {
    id: String,
    name: String,
    before: CpuStats,
    read_before: Option<DateTime<Utc>>,
}

impl Records {
    fn of(container: &Container) -> Self {
        Self {
            id: container.id.to_string(),
            name: format!("/{}", container.name),
            before: CpuStats::default(),
            read_before: None,
        }
    }

    fn next(&mut self, sample: StatsSample) -> ContainerStats {
        let read = sample.read_at.and_then(|at| DateTime::from_timestamp(at.seconds, u32::try_from(at.nanos).ok()?));
        let cpu = sample.cpu.map(cpu).unwrap_or_default();
        let networks = sample.networks.into_iter().map(|(name, n)| (name, network(n)));
        ContainerStats {
            read: rfc3339nano_or_zero(read),
            preread: rfc3339nano_or_zero(std::mem::replace(&mut self.read_before, read)),
            pids_stats: PidsStats { current: sample.pids, limit: sample.pids_limit },
            blkio_stats: sample.blkio.map(blkio).unwrap_or_default(),
            cpu_stats: cpu.clone(),
            precpu_stats: std::mem::replace(&mut self.before, cpu),
            memory_stats: sample.memory.map(memory).unwrap_or_default(),
            name: self.name.clone(),
            id: self.id.clone(),
            networks: networks.collect(),
            ..ContainerStats::default()
        }
    }
}

fn cpu(c: v1::CpuStats) -> CpuStats {
    CpuStats {
        cpu_usage: CpuUsage {
            total_usage: c.total_ns,
            percpu_usage: c.each_ns,
            usage_in_kernelmode: c.kernel_ns,
            usage_in_usermode: c.user_ns,
        },
        system_cpu_usage: c.available_ns,
        online_cpus: u64::from(c.online),
        throttling_data: ThrottlingData {
            periods: c.periods,
            throttled_periods: c.throttled_periods,
            throttled_time: c.throttled_ns,
        },
    }
}

fn memory(m: v1::MemoryStats) -> MemoryStats {
    MemoryStats {
        usage: m.usage_bytes,
        max_usage: m.max_usage_bytes,
        stats: m.stats.into_iter().collect(),
        failcnt: m.failures,
        limit: m.limit_bytes,
    }
}

fn blkio(b: v1::BlkioStats) -> BlkioStats {
    let entries = |all: Vec<v1::BlkioEntry>| {
        let entry = |e: v1::BlkioEntry| BlkioEntry { major: e.major, minor: e.minor, op: e.operation, value: e.value };
        all.into_iter().map(entry).collect()
    };
    let bytes: Vec<BlkioEntry> = entries(b.bytes);
    if b.unified {
        let io_service_bytes_recursive = (!bytes.is_empty()).then_some(bytes);
        return BlkioStats { io_service_bytes_recursive, ..BlkioStats::default() };
    }
    BlkioStats {
        io_service_bytes_recursive: Some(bytes),
        io_serviced_recursive: Some(entries(b.operations)),
        io_queue_recursive: Some(Vec::new()),
        io_service_time_recursive: Some(Vec::new()),
        io_wait_time_recursive: Some(Vec::new()),
        io_merged_recursive: Some(Vec::new()),
        io_time_recursive: Some(Vec::new()),
        sectors_recursive: Some(Vec::new()),
    }
}

fn network(n: v1::InterfaceStats) -> NetworkStats {
    NetworkStats {
        rx_bytes: n.rx_bytes,
        rx_packets: n.rx_packets,
        rx_errors: n.rx_errors,
        rx_dropped: n.rx_dropped,
        tx_bytes: n.tx_bytes,
        tx_packets: n.tx_packets,
        tx_errors: n.tx_errors,
        tx_dropped: n.tx_dropped,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample(at_s: i64, total_ns: u64) -> StatsSample {
        StatsSample {
            read_at: Some(prost_types::Timestamp { seconds: at_s, nanos: 0 }),
            running: true,
            cpu: Some(v1::CpuStats { total_ns, online: 1, available_ns: 7, ..Default::default() }),
            ..Default::default()
        }
    }

    #[test]
    fn each_record_has_the_cpu_of_the_one_before() {
        let mut records =
            Records { id: "ab".into(), name: "/web".into(), before: CpuStats::default(), read_before: None };
        let first = records.next(sample(1_700_000_000, 10));
        assert_eq!((first.preread.as_str(), first.precpu_stats.cpu_usage.total_usage), ("0001-01-01T00:00:00Z", 0));
        let second = records.next(sample(1_700_000_001, 25));
        assert_eq!((second.cpu_stats.cpu_usage.total_usage, second.precpu_stats.cpu_usage.total_usage), (25, 10));
        assert_eq!(second.preread, first.read);
        let ended = records.next(StatsSample::default());
        assert_eq!((ended.read.as_str(), ended.cpu_stats.system_cpu_usage), ("0001-01-01T00:00:00Z", 0));
    }

    #[test]
    fn what_a_version_of_cgroups_does_not_know_is_null_and_not_empty() {
        let json =
            |unified| serde_json::to_value(blkio(v1::BlkioStats { unified, ..Default::default() })).expect("json");
        assert!(json(true)["sectors_recursive"].is_null() && json(true)["io_serviced_recursive"].is_null());
        assert!(json(false)["sectors_recursive"].is_array());
    }
}
