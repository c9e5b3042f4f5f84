//! The files of a container, wherever it is: for the handlers of `cp`, `diff` and `export`, and for whoever else copies into
//! a container or out of it (the builder's `COPY`).
//!
//! Archives are plain tars, streamed with back-pressure. Paths are bytes: Linux names need not be text.

use bytes::Bytes;
use domain::{Error, Result, TenantId};
use futures::{
    Stream, StreamExt, TryStreamExt,
    stream::{self, BoxStream},
};
use inventory::Container;
use rpc::v1;
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;

use crate::{
    handlers::containers::verb::{DEADLINE, within},
    state::App,
};

/// Chunks of a `put` on their way into its call.
const QUEUE: usize = 4;

/// One container's files. Works in every state of it.
#[derive(Clone)]
pub(crate) struct Files {
    service: rpc::Files,
    key: v1::ContainerKey,
}

/// How `put` treats what is there, and whose things become.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct PutOptions {
    /// A directory and a file do not replace each other.
    pub(crate) no_overwrite_dir_non_dir: bool,
    /// Everything becomes the container's user's, whatever the archive says.
    pub(crate) container_owner: bool,
}

impl Files {
    /// # Errors
    /// `Unavailable` where the host is known to be silent.
    pub(crate) fn of(app: &App, tenant: TenantId, container: &Container) -> Result<Self> {
        let service = app.file_service(container)?;
        Ok(Self { service, key: rpc::container_key(tenant, &container.id) })
    }

    fn at(&self, path: &[u8]) -> v1::FilesPath {
        v1::FilesPath { container: Some(self.key.clone()), path: Bytes::copy_from_slice(path) }
    }

    fn whole(&self) -> v1::FilesRequest {
        v1::FilesRequest { container: Some(self.key.clone()) }
    }

    /// What `path` (see [`absolute`]) names.
    ///
    /// # Errors
    /// `Missing` when there is nothing.
    pub(crate) async fn stat(&self, path: &[u8]) -> Result<v1::PathStat> {
        let reply = self.service.clone().stat(within(DEADLINE, self.at(path))).await;
        reply.map(tonic::Response::into_inner).map_err(rpc::status::from_status)
    }

    /// What `path` names, and an archive of it under its base name.
    ///
    /// # Errors
    /// As [`stat`](Self::stat); an error in the stream means that the archive is cut.
    pub(crate) async fn get(
        &self,
        path: &[u8],
    ) -> Result<(v1::PathStat, impl Stream<Item = Result<Bytes>> + Send + use<>)> {
        let reply = self.service.clone().get(self.at(path)).await.map_err(rpc::status::from_status)?;
        let mut output = reply.into_inner();
        let first = output.message().await.map_err(rpc::status::from_status)?;
        match first.and_then(|m| m.output) {
            Some(v1::files_output::Output::Stat(stat)) => Ok((stat, data(output))),
            _ => Err(Error::internal("an archive without its path's facts")),
        }
    }

    /// The whole root file system as an archive, without what is mounted in it.
    pub(crate) async fn export(&self) -> Result<impl Stream<Item = Result<Bytes>> + Send + use<>> {
        let reply = self.service.clone().export(self.whole()).await.map_err(rpc::status::from_status)?;
        let mut output = reply.into_inner();
        let first = output.message().await.map_err(rpc::status::from_status)?;
        match first.and_then(|m| m.output) {
            Some(v1::files_output::Output::Data(begin)) => {
                Ok(stream::once(async move { Ok(begin) }).chain(data(output)))
            }
            // Even an archive of nothing has an end.
            _ => Err(Error::internal("an export without a byte")),
        }
    }

    /// Unpacks `archive` into the directory `path`. When `archive` breaks off with an error, what has come so far stays.
    ///
    /// # Errors
    /// That of `archive`; `Missing` when there is no such path; `Invalid` and `Forbidden` in dockerd's words.
    pub(crate) async fn put(
        &self,
        path: &[u8],
        options: PutOptions,
        archive: BoxStream<'static, Result<Bytes>>,
    ) -> Result<()> {
        let start = v1::PutStart {
            container: Some(self.key.clone()),
            path: Bytes::copy_from_slice(path),
            no_overwrite_dir_non_dir: options.no_overwrite_dir_non_dir,
            container_owner: options.container_owner,
        };
        let (sender, input) = mpsc::channel(QUEUE);
        let mut service = self.service.clone();
        // Dropped after the call: a stream that ended in order would pass for a whole archive.
        let mut _open = None;
        let feeding = feed(start, archive, sender);
        tokio::pin!(feeding);
        let call = service.put(ReceiverStream::new(input));
        tokio::pin!(call);
        let reply = tokio::select! {
            reply = &mut call => reply,
            fed = &mut feeding => match fed {
                Ok(()) => call.await,
                Err((error, sender)) => {
                    _open = Some(sender);
                    return Err(error);
                }
            },
        };
        reply.map(drop).map_err(rpc::status::from_status)
    }

    /// What the container adds to its image, in batches.
    pub(crate) async fn changes(&self) -> Result<impl Stream<Item = Result<Vec<v1::Change>>> + Send + Unpin + use<>> {
        let reply = self.service.clone().changes(self.whole()).await.map_err(rpc::status::from_status)?;
        Ok(reply.into_inner().map_ok(|batch| batch.changes).map_err(rpc::status::from_status))
    }
}

fn data(output: tonic::Streaming<v1::FilesOutput>) -> impl Stream<Item = Result<Bytes>> + Send {
    let chunks = output.try_filter_map(|message| async move {
        Ok(match message.output {
            Some(v1::files_output::Output::Data(data)) => Some(data),
            _ => None,
        })
    });
    chunks.map_err(rpc::status::from_status)
}

/// The messages of a `put`. With an error of `archive` the sender comes back: the messages have not ended.
async fn feed(
    start: v1::PutStart,
    mut archive: BoxStream<'static, Result<Bytes>>,
    to: mpsc::Sender<v1::PutInput>,
) -> Result<(), (Error, mpsc::Sender<v1::PutInput>)> {
    use v1::put_input::Input;
    let mut next = Some(Input::Start(start));
    while let Some(input) = next {
        // Whoever takes them has an answer already.
        if to.send(v1::PutInput { input: Some(input) }).await.is_err() {
            return Ok(());
        }
        next = match archive.next().await {
            Some(Ok(data)) => Some(Input::Data(data)),
            Some(Err(error)) => return Err((error, to)),
            None => None,
        };
    }
    Ok(())
}

/// A client's path as dockerd takes it: absolute and cleaned by its words alone, a slash or `/.` at its end kept, since it
/// says that a link is to be followed.
pub(crate) fn absolute(path: &[u8]) -> Vec<u8> {
    let mut parts: Vec<&[u8]> = Vec::new();
    for part in path.split(|b| *b == b'/') {
        match part {
            b"" | b"." => {}
            b".." => drop(parts.pop()),
            part => parts.push(part),
        }
    }
    let mut clean = vec![b'/'];
    clean.extend_from_slice(&parts.join(&b'/'));
    let ends_in_dot = matches!(path, b"." | [.., b'/', b'.']);
    if (ends_in_dot || path.ends_with(b"/")) && !clean.ends_with(b"/") {
        clean.push(b'/');
    }
    if ends_in_dot {
        clean.push(b'.');
    }
    clean
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_are_dockerds() {
        for (given, expected) in [
            ("/a/b", "/a/b"),
            ("a//b/", "/a/b/"),
            ("/a/./b/.", "/a/b/."),
            ("../../../etc/shadow", "/etc/shadow"),
            ("/a/../..", "/"),
            ("/", "/"),
            ("/.", "/."),
            (".", "/."),
            ("/a/..b", "/a/..b"),
        ] {
            assert_eq!(String::from_utf8_lossy(&absolute(given.as_bytes())), expected, "{given}");
        }
    }

    #[tokio::test]
    async fn a_broken_archive_does_not_end_in_order() {
        let archive = futures::stream::iter([Ok(Bytes::from_static(b"ab")), Err(Error::invalid("cut"))]);
        let (sender, mut input) = mpsc::channel(4);
        let (error, open) = feed(v1::PutStart::default(), archive.boxed(), sender).await.expect_err("broken");
        assert_eq!(error.to_string(), "cut");
        assert!(input.recv().await.is_some() && input.recv().await.is_some());
        assert!(!open.is_closed() && input.try_recv().is_err());
    }
}
