//! What was read of a tenant, kept for as long as the tenant's revision stands.
//!
//! Every transaction that changes what `ps` and `inspect` show counts the tenant's revision up, so an answer is as good as
//! new while the revision is the one that was read *before* the answer. The revision itself is asked for on each request:
//! whoever has had an answer to a verb, through any frontend, sees its result. Requests that arrive while the question is
//! under way share the next one, never the running one: that may have been asked before their own cause.

use std::{
    collections::HashMap,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use bytes::Bytes;
use domain::{Result, TenantId};
use inventory::{ContainerSummary, TenantView};

/// Whether a host is silent is not a change of the tenant's rows; a list shows it this much later.
const LIST_FRESH: Duration = Duration::from_secs(1);
/// Rendered answers of one tenant.
const INSPECTS_MOST: usize = 512;
/// Larger answers are not worth the memory.
const INSPECT_MOST_BYTES: usize = 64 << 10;
/// Tenants that are kept; beyond, those that nobody asked for lately go.
const TENANTS_MOST: usize = 256;
const TENANT_IDLE: Duration = Duration::from_secs(60);

#[derive(Default)]
pub(crate) struct Snapshots(Mutex<HashMap<TenantId, Arc<Snapshot>>>);

impl Snapshots {
    /// The snapshot of the tenant, as of now.
    pub(crate) async fn current(&self, rows: &TenantView) -> Result<Current> {
        let snapshot = self.of(rows.id());
        let revision = snapshot.revision.now(rows).await?;
        Ok(Current { snapshot, revision })
    }

    fn of(&self, tenant: TenantId) -> Arc<Snapshot> {
        let mut tenants = lock(&self.0);
        if tenants.len() >= TENANTS_MOST && !tenants.contains_key(&tenant) {
            tenants.retain(|_, s| Arc::strong_count(s) > 1 || lock(&s.kept).used_at.elapsed() < TENANT_IDLE);
        }
        tenants.entry(tenant).or_default().clone()
    }
}

/// What is kept of one tenant.
#[derive(Default)]
pub(crate) struct Snapshot {
    revision: Revision,
    kept: Mutex<Kept>,
}

struct Kept {
    revision: i64,
    used_at: Instant,
    /// By the reference as it was written, and whether sizes were asked for.
    inspects: HashMap<(String, bool), Bytes>,
    list: Option<(Instant, Arc<Vec<ContainerSummary>>)>,
}

impl Default for Kept {
    fn default() -> Self {
        Self { revision: -1, used_at: Instant::now(), inspects: HashMap::new(), list: None }
    }
}

/// A tenant's snapshot together with the revision that was valid when this was made.
pub(crate) struct Current {
    snapshot: Arc<Snapshot>,
    revision: i64,
}

impl Current {
    pub(crate) fn inspect(&self, reference: &str, with_sizes: bool) -> Option<Bytes> {
        self.with(|kept| kept.inspects.get(&(reference.to_owned(), with_sizes)).cloned())
    }

    pub(crate) fn keep_inspect(&self, reference: &str, with_sizes: bool, body: &Bytes) {
        if body.len() > INSPECT_MOST_BYTES {
            return;
        }
        self.with(|kept| {
            if kept.inspects.len() >= INSPECTS_MOST {
                kept.inspects.clear();
            }
            kept.inspects.insert((reference.to_owned(), with_sizes), body.clone());
            Some(())
        });
    }

    pub(crate) fn list(&self) -> Option<Arc<Vec<ContainerSummary>>> {
        self.with(|kept| kept.list.as_ref().filter(|(at, _)| at.elapsed() < LIST_FRESH).map(|(_, list)| list.clone()))
    }

    pub(crate) fn keep_list(&self, list: &Arc<Vec<ContainerSummary>>) {
        self.with(|kept| kept.list.replace((Instant::now(), list.clone())));
    }

    /// None where the snapshot has gone on to a newer revision; an older one's content is thrown away.
    fn with<T>(&self, look: impl FnOnce(&mut Kept) -> Option<T>) -> Option<T> {
        let mut kept = lock(&self.snapshot.kept);
        kept.used_at = Instant::now();
        if kept.revision > self.revision {
            return None;
        }
        if kept.revision < self.revision {
            *kept = Kept { revision: self.revision, ..Kept::default() };
        }
        look(&mut kept)
    }
}

/// The tenant's revision, asked for once for all who wait.
#[derive(Default)]
struct Revision {
    /// Questions begun so far.
    begun: AtomicU64,
    /// The newest answer, and the number of its question. Locked while a question is under way.
    answer: tokio::sync::Mutex<(u64, i64)>,
}

impl Revision {
    async fn now(&self, rows: &TenantView) -> Result<i64> {
        self.ask(|| rows.revision()).await
    }

    async fn ask<F: Future<Output = Result<i64>>>(&self, question: impl FnOnce() -> F) -> Result<i64> {
        let arrived = self.begun.load(Ordering::SeqCst);
        let mut answer = self.answer.lock().await;
        if answer.0 > arrived {
            return Ok(answer.1);
        }
        let number = self.begun.fetch_add(1, Ordering::SeqCst) + 1;
        *answer = (number, question().await?);
        Ok(answer.1)
    }
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::AtomicI64;

    use super::*;

    #[tokio::test]
    async fn whoever_comes_during_a_question_shares_the_next_one() {
        let (revision, asked) = (Arc::new(Revision::default()), Arc::new(AtomicI64::new(0)));
        let question = |revision: Arc<Revision>, asked: Arc<AtomicI64>| async move {
            let ask = || async {
                let n = asked.fetch_add(1, Ordering::SeqCst) + 1;
                tokio::time::sleep(Duration::from_millis(50)).await;
                Ok(n)
            };
            revision.ask(ask).await.expect("answer")
        };
        let first = tokio::spawn(question(revision.clone(), asked.clone()));
        tokio::time::sleep(Duration::from_millis(10)).await;
        let late: Vec<_> = (0..5).map(|_| tokio::spawn(question(revision.clone(), asked.clone()))).collect();
        assert_eq!(first.await.expect("first"), 1);
        for answer in late {
            assert_eq!(answer.await.expect("late"), 2);
        }
        assert_eq!(asked.load(Ordering::SeqCst), 2);
    }

    #[test]
    fn a_new_revision_throws_the_old_content_away() {
        let snapshot = Arc::new(Snapshot::default());
        let at = |revision| Current { snapshot: snapshot.clone(), revision };
        at(1).keep_inspect("web", false, &Bytes::from_static(b"one"));
        assert_eq!(at(1).inspect("web", false).as_deref(), Some(&b"one"[..]));
        assert!(at(1).inspect("web", true).is_none() && at(2).inspect("web", false).is_none());
        at(1).keep_inspect("web", false, &Bytes::from_static(b"late"));
        assert!(at(1).inspect("web", false).is_none() && at(2).inspect("web", false).is_none());
    }
}
