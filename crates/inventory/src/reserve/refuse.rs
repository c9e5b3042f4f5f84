//! Why a reservation was refused, in words fit for a tenant and, where it has some, in dockerd's.

use domain::{
    ContainerName, Error, Host, Kind, TenantId,
    amount::{bytes, cpus},
    tenant::{UID_FIRST, UID_RANGE},
};
use sqlx::PgPool;

use super::{HostJson, Prepared, ReserveError, Reserved, Verdict};
use crate::{Inventory, failure};

const HOLDER: &str = "SELECT id FROM containers WHERE tenant_id = $1 AND name = $2";

impl Prepared<'_> {
    /// What the statement found, as the caller's result.
    pub(super) async fn judge(
        &self,
        verdict: Option<Verdict>,
        inventory: &Inventory,
    ) -> Result<Reserved, ReserveError> {
        let Some(v) = verdict else {
            return Err(Error::not_found(Kind::Tenant, self.new.tenant.to_string()).into());
        };
        match v.holder.as_deref() {
            Some(id) if id == self.new.id.as_str() => self.placed_before(inventory).await,
            Some(id) => Err(in_use(&self.new.name, id).into()),
            None if v.ok => reserved(v),
            None => Err(self.refusal(&v)),
        }
    }

    /// What fails on every host comes first: the caller need not try the others.
    fn refusal(&self, v: &Verdict) -> ReserveError {
        if let Some(error) = self.over_quota(v).or_else(|| self.bad_network(v)) {
            return ReserveError::Failed(error);
        }
        if !v.host_ok { ReserveError::HostGone } else { ReserveError::HostFull }
    }

    fn over_quota(&self, v: &Verdict) -> Option<Error> {
        let want = &self.new.spec.resources;
        let text = if !v.memory_ok {
            let quota = v.memory_quota_bytes.unwrap_or(0);
            let left = (quota - v.memory_used_bytes).max(0);
            format!("memory: {} asked for, {} of {} left", bytes(want.memory_bytes), bytes(left), bytes(quota))
        } else if !v.cpu_ok {
            let quota = v.cpu_quota_millis.unwrap_or(0);
            let left = (quota - v.cpu_used_millis).max(0);
            format!("cpu: {} asked for, {} of {} left", cpus(want.cpu_millis), cpus(left), cpus(quota))
        } else if !v.count_ok {
            let quota = v.container_quota.unwrap_or(0);
            format!("containers: 1 asked for, {} of {quota} left", (quota - v.containers_used).max(0))
        } else {
            return None;
        };
        Some(Error::forbidden(format!("quota exceeded: {text} (quota)")))
    }

    fn bad_network(&self, v: &Verdict) -> Option<Error> {
        if let Some(reference) = &v.lost_network {
            return Some(Error::not_found(Kind::Network, reference));
        }
        if let Some((name, address)) = v.outside.as_deref().and_then(|o| o.split_once('\n')) {
            return Some(Error::invalid(format!(
                "invalid config for network {name}: invalid endpoint settings:\nno configured subnet contains IP \
                 address {address}"
            )));
        }
        if v.taken {
            return Some(Error::conflict("Address already in use"));
        }
        let full = |network: &Option<String>, family| {
            let (name, id) = network.as_deref()?.split_once('\n')?;
            let text = format!("no available {family} addresses on this network's address pools: {name} ({id})");
            Some(Error::NoCapacity(text))
        };
        full(&v.full_network, "IPv4").or_else(|| full(&v.full_network6, "IPv6"))
    }

    /// Errors of the statement itself: the constraints that had the last word.
    pub(super) async fn failed(&self, cause: sqlx::Error, inventory: &Inventory) -> ReserveError {
        let error = match failure::violated(&cause) {
            Some("containers_name_unique") => name_taken(&inventory.pool, self.new.tenant, &self.new.name).await,
            // Another name than before under one id: not the same request.
            Some("containers_pkey" | "containers_id_unique") => {
                Error::conflict(format!("The container id {} is already in use", self.new.id))
            }
            Some("endpoints_pkey") => Error::invalid("a network is named twice"),
            Some("endpoints_address_unique" | "endpoints_address6_unique") => Error::conflict("Address already in use"),
            _ => failure::translate("reserve", cause),
        };
        ReserveError::Failed(error)
    }

    async fn placed_before(&self, inventory: &Inventory) -> Result<Reserved, ReserveError> {
        let view = inventory.tenant(self.new.tenant);
        let container = view.container(self.new.id.as_str()).await?;
        Ok(Reserved {
            endpoints: container.endpoints,
            volumes: Vec::new(),
            host: inventory.host(container.host).await?,
            uid_base: view.record().await?.uid_base(),
        })
    }
}

fn reserved(v: Verdict) -> Result<Reserved, ReserveError> {
    let host = v.host.ok_or_else(|| Error::internal("a reservation without a host"))?.0;
    let uid_base = UID_FIRST + v.ordinal.unsigned_abs() * UID_RANGE;
    let endpoints = v.endpoints.map(|e| e.0).unwrap_or_default();
    // Whoever reserved volumes with it adds them.
    Ok(Reserved { endpoints, volumes: Vec::new(), host: host.into(), uid_base })
}

impl From<HostJson> for Host {
    fn from(h: HostJson) -> Self {
        Self {
            id: h.id,
            name: h.name,
            state: h.state,
            facts: h.facts,
            cpu_millis_free: h.cpu_millis_free,
            memory_bytes_free: h.memory_bytes_free,
            containers: h.containers,
            seen_at: h.seen_at,
        }
    }
}

/// dockerd's text; looks up who holds the name now.
pub(crate) async fn name_taken(pool: &PgPool, tenant: TenantId, name: &ContainerName) -> Error {
    let query = || sqlx::query_scalar::<_, String>(HOLDER).bind(tenant.0).bind(name.as_str()).fetch_optional(pool);
    match failure::retrying("find a name's holder", query).await {
        Ok(holder) => in_use(name, holder.as_deref().unwrap_or("another")),
        Err(error) => error,
    }
}

fn in_use(name: &ContainerName, holder: &str) -> Error {
    Error::conflict(format!(
        "Conflict. The container name \"/{name}\" is already in use by container \"{holder}\". You have to remove (or \
         rename) that container to be able to reuse that name."
    ))
}
