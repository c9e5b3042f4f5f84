//! The service of `files.proto`. Reads are not tasks of their own: who hangs up stops them. A `Put` runs on until its archive
//! ends, which hanging up does as well.

use std::pin::Pin;

use domain::Error;
use futures::{Stream, StreamExt};
use rpc::v1::{self, files_server::Files};
use tonic::{Request, Response, Status, Streaming, async_trait};

use super::{Service, admit, refuse};
use crate::lifecycle::FileStream;

type Answer<T> = Result<Response<T>, Status>;
type Outputs<T> = Pin<Box<dyn Stream<Item = Result<T, Status>> + Send>>;

#[async_trait]
impl Files for Service {
    type GetStream = Outputs<v1::FilesOutput>;
    type ChangesStream = Outputs<v1::ChangesOutput>;
    type ExportStream = Outputs<v1::FilesOutput>;

    async fn stat(&self, request: Request<v1::FilesPath>) -> Answer<v1::PathStat> {
        admit(&request)?;
        let m = request.into_inner();
        let (tenant, id) = rpc::tenant_and_container(m.container).map_err(refuse)?;
        self.engine.stat_path(tenant, &id, &m.path).await.map(Response::new).map_err(refuse)
    }

    async fn get(&self, request: Request<v1::FilesPath>) -> Answer<Self::GetStream> {
        admit(&request)?;
        let m = request.into_inner();
        let (tenant, id) = rpc::tenant_and_container(m.container).map_err(refuse)?;
        self.engine.get_archive(tenant, &id, &m.path).await.map(outputs).map_err(refuse)
    }

    async fn put(&self, request: Request<Streaming<v1::PutInput>>) -> Answer<v1::PutReply> {
        use v1::put_input::Input;
        admit(&request)?;
        let mut inputs = request.into_inner();
        let Some(Input::Start(start)) = inputs.message().await?.and_then(|m| m.input) else {
            return Err(refuse(Error::invalid("the first message must be `start`")));
        };
        let (tenant, id) = rpc::tenant_and_container(start.container.clone()).map_err(refuse)?;
        let archive = inputs.filter_map(async |message| match message.map(|m| m.input) {
            Ok(Some(Input::Data(data))) => Some(Ok(data)),
            Ok(_) => None,
            Err(status) => Some(Err(Error::because("the archive is cut", status))),
        });
        let unpacked = self.engine.put_archive(tenant, &id, &start, archive).await;
        unpacked.map(|()| Response::new(v1::PutReply {})).map_err(refuse)
    }

    async fn changes(&self, request: Request<v1::FilesRequest>) -> Answer<Self::ChangesStream> {
        admit(&request)?;
        let (tenant, id) = rpc::tenant_and_container(request.into_inner().container).map_err(refuse)?;
        self.engine.changes(tenant, &id).await.map(outputs).map_err(refuse)
    }

    async fn export(&self, request: Request<v1::FilesRequest>) -> Answer<Self::ExportStream> {
        admit(&request)?;
        let (tenant, id) = rpc::tenant_and_container(request.into_inner().container).map_err(refuse)?;
        self.engine.export(tenant, &id).await.map(outputs).map_err(refuse)
    }
}

fn outputs<T: Send + 'static>(stream: FileStream<T>) -> Response<Outputs<T>> {
    Response::new(Box::pin(stream.map(|item| item.map_err(refuse))))
}
