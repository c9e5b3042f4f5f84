//! A blob as one stream of bytes, whatever happens to the connection: cut, resumed by `Range`, tried again with backoff.
//!
//! Nothing is verified here; the receiver hashes the whole, so a registry that resumes with other bytes is found out.

use bytes::Bytes;
use domain::{Error, ImageRef, Result};
use futures::{Stream, stream};
use reqwest::StatusCode;

use super::{
    repository::Repository,
    trouble::{self, TRIES, Trouble},
};
use crate::manifest::Blob;

/// So much must have come for a failure to count as the first again: a registry that cuts after each byte is given up.
const PROGRESS_BYTES: u64 = 1 << 20;

struct Fetch<'a> {
    repository: &'a Repository,
    reference: &'a ImageRef,
    blob: &'a Blob,
    /// Bytes that were handed on.
    offset: u64,
    /// Tries that failed since the last real progress.
    failed: u32,
    /// `offset` at the last failure.
    failed_at: u64,
    answer: Option<reqwest::Response>,
    /// Of `answer`, still to drop: a registry without ranges starts over.
    skip: u64,
}

/// Exactly `blob.size_bytes` bytes, or an error in dockerd's words about `reference`.
pub(crate) fn fetch<'a>(
    repository: &'a Repository,
    reference: &'a ImageRef,
    blob: &'a Blob,
) -> impl Stream<Item = Result<Bytes>> + Send + 'a {
    let start = Fetch { repository, reference, blob, offset: 0, failed: 0, failed_at: 0, answer: None, skip: 0 };
    stream::try_unfold(start, |mut fetch| async move { Ok(fetch.next().await?.map(|bytes| (bytes, fetch))) })
}

impl Fetch<'_> {
    async fn next(&mut self) -> Result<Option<Bytes>> {
        while self.offset < self.blob.size_bytes {
            match self.step().await {
                Ok(bytes) if bytes.is_empty() => {}
                Ok(bytes) => {
                    self.offset += bytes.len() as u64;
                    if self.offset - self.failed_at >= PROGRESS_BYTES {
                        self.failed = 0;
                    }
                    return self.check_size().map(|()| Some(bytes));
                }
                Err(trouble) => self.back_off(trouble).await?,
            }
        }
        Ok(None)
    }

    /// The next bytes of the open answer, of a new one where none is open; empty where all were to be skipped.
    async fn step(&mut self) -> Result<Bytes, Trouble> {
        let mut answer = match self.answer.take() {
            Some(answer) => answer,
            None => self.open().await?,
        };
        let chunk = answer.chunk().await.map_err(|e| trouble::of_exchange(&e, answer.url()))?;
        let mut bytes = chunk.ok_or_else(|| Trouble::Unreachable("unexpected EOF".to_owned()))?;
        let skipped = self.skip.min(bytes.len() as u64);
        self.skip -= skipped;
        self.answer = Some(answer);
        Ok(bytes.split_off(skipped as usize))
    }

    async fn open(&mut self) -> Result<reqwest::Response, Trouble> {
        let answer = self.repository.blob(&self.blob.digest, self.offset).await?;
        self.skip = if answer.status() == StatusCode::PARTIAL_CONTENT { 0 } else { self.offset };
        Ok(answer)
    }

    fn check_size(&self) -> Result<()> {
        if self.offset <= self.blob.size_bytes {
            return Ok(());
        }
        Err(Error::invalid(format!("{} is larger than its manifest says", self.blob.digest)))
    }

    async fn back_off(&mut self, trouble: Trouble) -> Result<()> {
        self.answer = None;
        self.failed += 1;
        self.failed_at = self.offset;
        if !trouble.is_passing() || self.failed >= TRIES {
            return Err(trouble.about(self.reference));
        }
        tokio::time::sleep(trouble.pause(self.failed)).await;
        Ok(())
    }
}
