//! Protos to `domain` types and back. A field that does not parse names itself; an enum value that we do not know is refused.

use chrono::{DateTime, Utc};
use domain::{
    AddressState, ContainerId, Error, ExecObservation, Happening, HostFacts, Observation, Result, Status, TenantId,
};
use prost_types::Timestamp;

use crate::{json, to_json, v1};

pub fn container_key(tenant: TenantId, container: &ContainerId) -> v1::ContainerKey {
    v1::ContainerKey { tenant_id: tenant.to_string(), container_id: container.to_string() }
}

/// The two ids of a key; `Invalid` names what lacks.
pub fn tenant_and_container(key: Option<v1::ContainerKey>) -> Result<(TenantId, ContainerId)> {
    let key = key.ok_or_else(|| Error::invalid("field container is missing"))?;
    Ok((key.tenant_id.parse()?, key.container_id.parse()?))
}

pub(crate) fn timestamp(time: DateTime<Utc>) -> Timestamp {
    Timestamp { seconds: time.timestamp(), nanos: time.timestamp_subsec_nanos() as i32 }
}

pub(crate) fn datetime(stamp: &Timestamp) -> Result<DateTime<Utc>> {
    u32::try_from(stamp.nanos)
        .ok()
        .and_then(|nanos| DateTime::from_timestamp(stamp.seconds, nanos))
        .ok_or_else(|| Error::invalid("timestamp out of range"))
}

impl From<Status> for v1::Status {
    fn from(status: Status) -> Self {
        match status {
            Status::Created => Self::Created,
            Status::Running => Self::Running,
            Status::Paused => Self::Paused,
            Status::Restarting => Self::Restarting,
            Status::Exited => Self::Exited,
            Status::Removing => Self::Removing,
            Status::Dead => Self::Dead,
        }
    }
}

impl TryFrom<v1::Status> for Status {
    type Error = Error;
    fn try_from(status: v1::Status) -> Result<Self> {
        Ok(match status {
            v1::Status::Created => Self::Created,
            v1::Status::Running => Self::Running,
            v1::Status::Paused => Self::Paused,
            v1::Status::Restarting => Self::Restarting,
            v1::Status::Exited => Self::Exited,
            v1::Status::Removing => Self::Removing,
            v1::Status::Dead => Self::Dead,
            v1::Status::Unspecified => return Err(Error::invalid("field status is missing")),
        })
    }
}

impl From<&Observation> for v1::Observation {
    fn from(o: &Observation) -> Self {
        Self {
            container: Some(container_key(o.tenant, &o.container)),
            generation: o.generation,
            status: v1::Status::from(o.status).into(),
            removed: o.removed,
            pid: o.pid,
            exit_code: o.exit_code,
            oom_killed: o.oom_killed,
            error: o.error.clone(),
            started_at: o.started_at.map(timestamp),
            finished_at: o.finished_at.map(timestamp),
            restart_count: o.restart_count,
            health_json: o
                .health
                .as_ref()
                .map(|h| String::from_utf8_lossy(&to_json(h)).into_owned())
                .unwrap_or_default(),
            size_rw_bytes: o.size_rw_bytes,
            happenings: o.happenings.iter().map(Into::into).collect(),
        }
    }
}

impl From<&Happening> for v1::Happening {
    fn from(h: &Happening) -> Self {
        Self {
            generation: h.generation,
            at: Some(timestamp(h.at)),
            action: h.action.clone(),
            attributes: h.attributes.clone().into_iter().collect(),
        }
    }
}

impl TryFrom<v1::Happening> for Happening {
    type Error = Error;
    fn try_from(h: v1::Happening) -> Result<Self> {
        let at = h.at.ok_or_else(|| Error::invalid("field at is missing"))?;
        Ok(Self {
            generation: h.generation,
            at: datetime(&at)?,
            action: h.action,
            attributes: h.attributes.into_iter().collect(),
        })
    }
}

impl TryFrom<v1::Observation> for Observation {
    type Error = Error;
    fn try_from(o: v1::Observation) -> Result<Self> {
        let status = o.status().try_into()?;
        let (tenant, container) = tenant_and_container(o.container)?;
        let health = match o.health_json.as_str() {
            "" => None,
            text => Some(json(text.as_bytes(), "health_json")?),
        };
        Ok(Self {
            tenant,
            container,
            generation: o.generation,
            status,
            removed: o.removed,
            pid: o.pid,
            exit_code: o.exit_code,
            oom_killed: o.oom_killed,
            error: o.error,
            started_at: o.started_at.as_ref().map(datetime).transpose()?,
            finished_at: o.finished_at.as_ref().map(datetime).transpose()?,
            restart_count: o.restart_count,
            health,
            size_rw_bytes: o.size_rw_bytes,
            happenings: o.happenings.into_iter().map(TryInto::try_into).collect::<Result<_>>()?,
        })
    }
}

impl From<&ExecObservation> for v1::ExecObservation {
    fn from(o: &ExecObservation) -> Self {
        Self {
            container: Some(container_key(o.tenant, &o.container)),
            exec_id: o.exec.to_string(),
            running: o.running,
            pid: o.pid,
            exit_code: o.exit_code,
        }
    }
}

impl TryFrom<v1::ExecObservation> for ExecObservation {
    type Error = Error;
    fn try_from(o: v1::ExecObservation) -> Result<Self> {
        let (tenant, container) = tenant_and_container(o.container)?;
        Ok(Self { tenant, container, exec: o.exec_id.parse()?, running: o.running, pid: o.pid, exit_code: o.exit_code })
    }
}

impl From<&HostFacts> for v1::HostFacts {
    fn from(f: &HostFacts) -> Self {
        Self {
            endpoint: f.endpoint.clone(),
            underlay_address: f.underlay_address.to_string(),
            underlay_mtu: f.underlay_mtu,
            cpu_millis: f.cpu_millis,
            memory_bytes: f.memory_bytes,
            kernel_version: f.kernel_version.clone(),
            architecture: f.architecture.clone(),
            operating_system: f.operating_system.clone(),
            labels: f.labels.clone().into_iter().collect(),
            shared_volumes: f.shared_volumes,
            volume_quotas: f.volume_quotas,
            cgroup_version: f.cgroup_version,
        }
    }
}

/// More than any machine has. A host that claims more would draw every container to itself.
const HOST_CPU_MILLIS_MAX: i64 = 8192 * 1000;
const HOST_MEMORY_BYTES_MAX: i64 = 64 << 40;

impl TryFrom<v1::HostFacts> for HostFacts {
    type Error = Error;
    fn try_from(f: v1::HostFacts) -> Result<Self> {
        for (field, value, max) in
            [("cpu_millis", f.cpu_millis, HOST_CPU_MILLIS_MAX), ("memory_bytes", f.memory_bytes, HOST_MEMORY_BYTES_MAX)]
        {
            if !(1..=max).contains(&value) {
                return Err(Error::invalid(format!("field {field}: {value} is not between 1 and {max}")));
            }
        }
        Ok(Self {
            endpoint: f.endpoint,
            underlay_address: f
                .underlay_address
                .parse()
                .map_err(|_| Error::invalid(format!("field underlay_address: {:?}", f.underlay_address)))?,
            underlay_mtu: f.underlay_mtu,
            cpu_millis: f.cpu_millis,
            memory_bytes: f.memory_bytes,
            kernel_version: f.kernel_version,
            architecture: f.architecture,
            operating_system: f.operating_system,
            labels: f.labels.into_iter().collect(),
            shared_volumes: f.shared_volumes,
            volume_quotas: f.volume_quotas,
            cgroup_version: f.cgroup_version,
        })
    }
}

impl From<AddressState> for v1::PublishedAddress {
    fn from(state: AddressState) -> Self {
        let ports = state.ports.into_iter().map(|port| v1::PublishedPort {
            protocol: port.protocol.as_str().to_owned(),
            port: port.port.into(),
            target: port.target,
            proxy_protocol: port.proxy_protocol,
        });
        Self { address: state.address, generation: state.generation, ports: ports.collect() }
    }
}
