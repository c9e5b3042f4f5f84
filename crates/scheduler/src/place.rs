//! `Place`: rank hosts in memory, then reserve on the best one that still has room.
//!
//! The ranking works on a guess, the reservation is the truth. A host that turns out to be full or gone gives way to the
//! next; after a few of these, and before any refusal, the guess is renewed. With affinities the whole decision happens
//! under the tenant's placement lock, so that what it saw of the neighbours is still so when it commits.

use std::{
    collections::{BTreeMap, HashMap},
    sync::{Arc, PoisonError, Weak},
};

use chrono::Utc;
use domain::{Error, HostId, NewContainer, Result, TenantId};
use inventory::{Inventory, Neighbour, Placing, Presence, ReserveError, Reserved};
use rand::{SeedableRng, rngs::SmallRng};
use tokio::sync::{Mutex, OwnedMutexGuard, Semaphore, SemaphorePermit};

use crate::{
    placement::{self, Request, Tenancy, Volumes},
    snapshot::Snapshot,
};

/// Candidates tried on one snapshot.
const CANDIDATES: usize = 5;
/// Snapshots tried: the one at hand, and two fresh ones.
const ROUNDS: usize = 3;

/// Placements under a lock that hold a connection at the same time.
const ALONE_MAX: usize = 4;

#[derive(Clone)]
pub(crate) struct Placer {
    inventory: Inventory,
    snapshot: Snapshot,
    alone: Arc<Alone>,
}

/// Who waits for a tenant's placement lock waits here first, without a connection: one tenant's creates must not hold them
/// all, least of all those that the holder of the lock needs to get on.
#[derive(Debug)]
struct Alone {
    slots: Semaphore,
    tenants: std::sync::Mutex<HashMap<TenantId, Weak<Mutex<()>>>>,
}

impl Alone {
    async fn enter(&self, tenant: TenantId) -> Result<(OwnedMutexGuard<()>, SemaphorePermit<'_>)> {
        let turn = {
            let mut tenants = self.tenants.lock().unwrap_or_else(PoisonError::into_inner);
            tenants.retain(|_, turn| turn.strong_count() > 0);
            let known = tenants.get(&tenant).and_then(Weak::upgrade);
            known.unwrap_or_else(|| {
                let turn = Arc::new(Mutex::new(()));
                tenants.insert(tenant, Arc::downgrade(&turn));
                turn
            })
        };
        let turn = turn.lock_owned().await;
        let slot = self.slots.acquire().await.map_err(|cause| Error::because("wait for a placement", cause))?;
        Ok((turn, slot))
    }
}

#[derive(Debug)]
pub(crate) struct Placed {
    pub(crate) reserved: Reserved,
    /// Soft wishes that could not be kept.
    pub(crate) warnings: Vec<String>,
}

impl Placer {
    pub(crate) fn new(inventory: Inventory, snapshot: Snapshot) -> Self {
        let alone = Alone { slots: Semaphore::new(ALONE_MAX), tenants: std::sync::Mutex::default() };
        Self { inventory, snapshot, alone: Arc::new(alone) }
    }

    /// `NoCapacity` names the wish or the resource that no host satisfies; what the reservation refuses is passed on.
    pub(crate) async fn place(&self, new: &NewContainer, request_id: &str) -> Result<Placed> {
        let mut request = Request::of(new)?;
        if !new.volumes.is_empty() {
            request.volumes = Volumes::of(&self.inventory.volume_places(new.tenant, &new.volumes).await?)?;
        }
        let placed = if request.affinities.is_empty() {
            let presence = self.inventory.spread(new.tenant, &new.spec.image.image_id).await?;
            self.choose(
                &mut request,
                &Tenancy { presence, neighbours: Vec::new() },
                &mut Free { inventory: &self.inventory, new },
                request_id,
            )
            .await?
        } else {
            self.place_alone(new, &mut request, request_id).await?
        };
        self.snapshot.note(&placed.reserved.host);
        tracing::debug!(request.id = request_id, container.id = %new.id, host.id = %placed.reserved.host.id, "placed");
        Ok(placed)
    }

    async fn place_alone(&self, new: &NewContainer, request: &mut Request, request_id: &str) -> Result<Placed> {
        let _turn = self.alone.enter(new.tenant).await?;
        let mut placing = self.inventory.place_alone(new.tenant).await?;
        let mut neighbours = placing.neighbours().await?;
        neighbours.retain(|n| n.id != new.id);
        let tenancy = Tenancy { presence: presence(&neighbours, new), neighbours };
        let placed = self.choose(request, &tenancy, &mut Locked { placing: &mut placing, new }, request_id).await?;
        placing.commit().await?;
        Ok(placed)
    }

    async fn choose(
        &self,
        request: &mut Request,
        tenancy: &Tenancy,
        reserve: &mut impl Reserve,
        request_id: &str,
    ) -> Result<Placed> {
        let mut random = SmallRng::from_os_rng();
        let mut refusal = Error::NoCapacity("no host has room at the moment".to_owned());
        for round in 0..ROUNDS {
            if round > 0 {
                self.snapshot.refresh(&self.inventory).await?;
            }
            let ranked = self.snapshot.with(|hosts| placement::rank(hosts, tenancy, request, Utc::now(), &mut random));
            match ranked {
                Ok(ranking) => {
                    for host in ranking.hosts.into_iter().take(CANDIDATES) {
                        match reserve.on(host).await {
                            Ok(reserved) => return Ok(Placed { reserved, warnings: ranking.warnings }),
                            Err(ReserveError::Failed(error)) => return Err(error),
                            // Another create was the first to use the volume.
                            Err(ReserveError::Pinned { volume, host }) => {
                                request.volumes.pin = Some((volume, host));
                                break;
                            }
                            Err(reason) => {
                                tracing::debug!(request.id = request_id, host.id = %host, ?reason, "passed over")
                            }
                        }
                    }
                }
                Err(refused) => {
                    if round > 0 {
                        for (host, reason) in &refused.reasons {
                            tracing::info!(request.id = request_id, host.id = %host, reason, "cannot take a container");
                        }
                        return Err(refused.into_error());
                    }
                    refusal = refused.into_error();
                }
            }
        }
        Err(refusal)
    }
}

/// The tenant's spread, as the neighbours tell it.
fn presence(neighbours: &[Neighbour], new: &NewContainer) -> BTreeMap<HostId, Presence> {
    let mut presence = BTreeMap::<HostId, Presence>::new();
    for neighbour in neighbours {
        let here = presence.entry(neighbour.host).or_default();
        here.containers += 1;
        here.has_image |= neighbour.image_id == new.spec.image.image_id;
    }
    presence
}

/// Where a reservation is made: on its own, or under the tenant's placement lock.
trait Reserve {
    async fn on(&mut self, host: HostId) -> Result<Reserved, ReserveError>;
}

struct Free<'a> {
    inventory: &'a Inventory,
    new: &'a NewContainer,
}

impl Reserve for Free<'_> {
    async fn on(&mut self, host: HostId) -> Result<Reserved, ReserveError> {
        self.inventory.reserve(self.new, host).await
    }
}

struct Locked<'a> {
    placing: &'a mut Placing,
    new: &'a NewContainer,
}

impl Reserve for Locked<'_> {
    async fn on(&mut self, host: HostId) -> Result<Reserved, ReserveError> {
        self.placing.reserve(self.new, host).await
    }
}

#[cfg(test)]
mod tests;
