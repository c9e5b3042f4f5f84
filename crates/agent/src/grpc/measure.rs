//! The methods of `measure.proto`.

use std::pin::Pin;

use domain::spec::RestartPolicy;
use futures::{Stream, StreamExt, stream};
use rpc::v1::{self, measure_server::Measure};
use tokio_stream::wrappers::WatchStream;
use tonic::{Request, Response, Status, async_trait};

use super::{Service, admit, refuse, reply};
use crate::lifecycle::Limits;

type SampleStream = Pin<Box<dyn Stream<Item = Result<v1::StatsSample, Status>> + Send>>;

#[async_trait]
impl Measure for Service {
    type StatsStream = SampleStream;

    async fn stats(&self, request: Request<v1::StatsRequest>) -> Result<Response<SampleStream>, Status> {
        admit(&request)?;
        let m = request.into_inner();
        let (tenant, id) = rpc::tenant_and_container(m.container).map_err(refuse)?;
        let samples: SampleStream = match m.once {
            true => {
                let sample = self.engine.sample(tenant, &id).await.map_err(refuse)?;
                Box::pin(stream::iter([Ok(sample)]))
            }
            false => {
                let samples = self.engine.watch_stats(tenant, &id).map_err(refuse)?;
                Box::pin(WatchStream::from_changes(samples).map(|sample| Ok((*sample).clone())))
            }
        };
        Ok(Response::new(samples))
    }

    async fn update(&self, request: Request<v1::UpdateRequest>) -> Result<Response<v1::VerbReply>, Status> {
        self.verb(request, |engine, m| async move {
            let (tenant, id) = rpc::tenant_and_container(m.container)?;
            let restart: RestartPolicy = rpc::json(&m.restart_json, "restart_json")?;
            let limits = Limits { resources: rpc::json(&m.resources_json, "resources_json")?, restart };
            engine.update(tenant, &id, limits).await.map(reply)
        })
        .await
    }
}
