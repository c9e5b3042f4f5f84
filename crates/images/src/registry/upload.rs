//! A repository's writes, by the distribution specification: look, mount, upload, name.
//!
//! An upload's place is the registry's to choose (`Location`), so each is judged like any other URL, and the credential
//! goes along only where it is the registry's own.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use bytes::Bytes;
use domain::{Digest, Error, Result};
use futures::{Stream, StreamExt as _};
use reqwest::{
    Body, Method, Response, Url,
    header::{self, HeaderMap, HeaderValue},
};

use super::{door::Ask, repository::Repository, trouble::Trouble};

/// A registry that takes nothing for so long is treated as cut.
const IDLE: Duration = Duration::from_secs(60);
/// After the last byte: it may have to move and hash the whole.
const SETTLE: Duration = Duration::from_secs(600);

/// Where an upload goes on.
pub(crate) struct Session(Url);

pub(crate) enum Mounted {
    Done,
    /// The registry would not, and has begun an upload instead.
    Upload(Session),
}

impl Repository {
    /// The repository has the blob, for this credential.
    pub(crate) async fn has_blob(&self, digest: &Digest) -> Result<bool, Trouble> {
        match self.shows_blob(digest).await {
            Ok(()) => Ok(true),
            Err(Trouble::Answer(answer)) if answer.status == 404 => Ok(false),
            Err(trouble) => Err(trouble),
        }
    }

    /// `from`: a repository of the same registry.
    pub(crate) async fn mount(&self, digest: &Digest, from: &str) -> Result<Mounted, Trouble> {
        let mut url = self.url("blobs/uploads/")?;
        url.query_pairs_mut().append_pair("mount", digest.as_str()).append_pair("from", from);
        let answer = self.send(Ask { method: Method::POST, ..Ask::get(url) }).await?;
        match answer.status().as_u16() {
            201 => Ok(Mounted::Done),
            _ => self.session(&answer).map(Mounted::Upload),
        }
    }

    pub(crate) async fn begin_upload(&self) -> Result<Session, Trouble> {
        let answer = self.send(Ask { method: Method::POST, ..Ask::get(self.url("blobs/uploads/")?) }).await?;
        self.session(&answer)
    }

    /// The bytes of a blob whose digest may be known only at their end.
    pub(crate) async fn upload(
        &self,
        session: Session,
        bytes: impl Stream<Item = Result<Bytes>> + Send + 'static,
    ) -> Result<Session, Trouble> {
        let taken = Arc::new(AtomicU64::new(0));
        let (counter, end) = (Arc::clone(&taken), Arc::clone(&taken));
        let counted = bytes
            .inspect(move |_| {
                counter.fetch_add(1, Ordering::Relaxed);
            })
            .chain(futures::stream::poll_fn(move |_| {
                end.store(u64::MAX, Ordering::Relaxed);
                std::task::Poll::Ready(None)
            }));
        let mut ask = Ask { method: Method::PATCH, ..Ask::get(session.0) };
        ask.headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/octet-stream"));
        ask.authorization = self.authorization_for(&ask.url).await;
        let sending = self.door().stream(&ask, Body::wrap_stream(counted));
        let answer = tokio::select! {
            answer = sending => answer?,
            () = stalled(&taken) => return Err(Trouble::Unreachable(format!("Patch \"{}\": i/o timeout", shown(&ask.url)))),
        };
        self.session(&super::repository::settle(answer).await?)
    }

    /// The blob is there under its digest when this returns.
    pub(crate) async fn finish_upload(&self, session: Session, digest: &Digest, bytes: Bytes) -> Result<(), Trouble> {
        let mut url = session.0;
        url.query_pairs_mut().append_pair("digest", digest.as_str());
        let mut ask = Ask { method: Method::PUT, body: Some(bytes), ..Ask::get(url) };
        ask.headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/octet-stream"));
        ask.authorization = self.authorization_for(&ask.url).await;
        let answer =
            tokio::time::timeout(SETTLE, self.door().stream(&ask, Body::from(ask.body.clone().unwrap_or_default())));
        let answer =
            answer.await.map_err(|_| Trouble::Unreachable(format!("Put \"{}\": i/o timeout", shown(&ask.url))))?;
        super::repository::settle(answer?).await.map(drop)
    }

    pub(crate) async fn put_manifest(&self, reference: &str, media_type: &str, bytes: Vec<u8>) -> Result<(), Trouble> {
        let url = self.url(&format!("manifests/{reference}"))?;
        let mut headers = HeaderMap::new();
        let kind = HeaderValue::try_from(media_type).map_err(|e| Error::because("a media type", e))?;
        headers.insert(header::CONTENT_TYPE, kind);
        let ask = Ask { method: Method::PUT, headers, body: Some(bytes.into()), ..Ask::get(url) };
        self.send(ask).await.map(drop)
    }

    /// `Location`, relative or not. A registry behind a proxy often believes that it speaks plain http.
    fn session(&self, answer: &Response) -> Result<Session, Trouble> {
        let place = answer.headers().get(header::LOCATION).and_then(|v| v.to_str().ok());
        let place = place.and_then(|text| answer.url().join(text).ok());
        let mut place =
            place.ok_or_else(|| Error::unavailable("the registry began an upload without a place for it"))?;
        let base = self.base();
        if place.host_str() == base.host_str() && place.scheme() != base.scheme() {
            let port = base.port();
            let _ = place.set_scheme(base.scheme());
            let _ = place.set_port(port);
        }
        Ok(Session(place))
    }
}

/// Resolves when nothing has been taken for too long.
async fn stalled(taken: &AtomicU64) {
    let mut before = None;
    loop {
        let now = taken.load(Ordering::Relaxed);
        let patience = if now == u64::MAX { SETTLE } else { IDLE };
        if before == Some(now) {
            return;
        }
        before = Some(now);
        tokio::time::sleep(patience).await;
    }
}

/// Without what only the registry understands, and must not be shown: upload places carry their own authorisation.
fn shown(url: &Url) -> String {
    let mut url = url.clone();
    url.set_query(None);
    url.to_string()
}
