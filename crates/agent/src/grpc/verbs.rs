//! The service's methods, in the order of `agent.proto`.

use domain::{Error, HostPort, Result as Outcome, Signal};
use rpc::v1::{self, agent_server::Agent};
use tonic::{Request, Response, Status, Streaming, async_trait};

use super::{Replies, Service, admit, exec, first, refuse, replies, reply};
use crate::lifecycle::{Accepted, Condition, Done, Input};

type Answer<T> = Result<Response<T>, Status>;

#[async_trait]
impl Agent for Service {
    type AttachStream = Replies;
    type LogsStream = Replies;
    type ExecStream = Replies;

    async fn create(&self, request: Request<v1::CreateRequest>) -> Answer<v1::VerbReply> {
        self.verb(request, |engine, m| async move {
            let (tenant, id) = rpc::tenant_and_container(m.container)?;
            let (spec, endpoints) =
                (rpc::json(&m.spec_json, "spec_json")?, rpc::json(&m.endpoints_json, "endpoints_json")?);
            let volumes =
                if m.volumes_json.is_empty() { Vec::new() } else { rpc::json(&m.volumes_json, "volumes_json")? };
            let accepted = Accepted { tenant, id, name: m.name, uid_base: m.uid_base, spec, endpoints, volumes };
            engine.create(accepted).await.map(reply)
        })
        .await
    }

    async fn start(&self, request: Request<v1::StartRequest>) -> Answer<v1::VerbReply> {
        self.verb(request, |engine, m| async move {
            let (tenant, id) = rpc::tenant_and_container(m.container)?;
            match m.refused.is_empty() {
                true => engine.start(tenant, &id, host_ports(m.ports)?).await,
                false => engine.refuse_start(tenant, &id, m.refused).await,
            }
            .map(reply)
        })
        .await
    }

    async fn stop(&self, request: Request<v1::StopRequest>) -> Answer<v1::VerbReply> {
        self.verb(request, |engine, m| async move {
            let (tenant, id) = rpc::tenant_and_container(m.container)?;
            engine.stop(tenant, &id, m.signal.map(Signal), m.timeout_s).await.map(reply)
        })
        .await
    }

    async fn restart(&self, request: Request<v1::StopRequest>) -> Answer<v1::VerbReply> {
        self.verb(request, |engine, m| async move {
            let (tenant, id) = rpc::tenant_and_container(m.container)?;
            let ports = host_ports(m.ports)?;
            engine.restart(tenant, &id, m.signal.map(Signal), m.timeout_s, ports).await.map(reply)
        })
        .await
    }

    async fn kill(&self, request: Request<v1::KillRequest>) -> Answer<v1::VerbReply> {
        self.verb(request, |engine, m| async move {
            let (tenant, id) = rpc::tenant_and_container(m.container)?;
            engine.kill(tenant, &id, Signal(m.signal)).await.map(reply)
        })
        .await
    }

    async fn pause(&self, request: Request<v1::ContainerRequest>) -> Answer<v1::VerbReply> {
        self.verb(request, |engine, m| async move {
            let (tenant, id) = rpc::tenant_and_container(m.container)?;
            engine.pause(tenant, &id).await.map(reply)
        })
        .await
    }

    async fn unpause(&self, request: Request<v1::ContainerRequest>) -> Answer<v1::VerbReply> {
        self.verb(request, |engine, m| async move {
            let (tenant, id) = rpc::tenant_and_container(m.container)?;
            engine.unpause(tenant, &id).await.map(reply)
        })
        .await
    }

    async fn remove(&self, request: Request<v1::RemoveRequest>) -> Answer<v1::VerbReply> {
        self.verb(request, |engine, m| async move {
            let (tenant, id) = rpc::tenant_and_container(m.container)?;
            engine.remove(tenant, &id, m.force).await.map(reply)
        })
        .await
    }

    async fn resize(&self, request: Request<v1::ResizeRequest>) -> Answer<v1::Empty> {
        self.verb(request, |engine, m| async move {
            let (tenant, id) = rpc::tenant_and_container(m.container)?;
            engine.resize(tenant, &id, None, m.height, m.width).await.map(|()| v1::Empty {})
        })
        .await
    }

    /// Not a task of its own: a caller that hangs up waits no longer.
    async fn wait(&self, request: Request<v1::WaitRequest>) -> Answer<v1::VerbReply> {
        admit(&request)?;
        let m = request.into_inner();
        let condition = match v1::WaitCondition::try_from(m.condition) {
            Ok(v1::WaitCondition::Unspecified | v1::WaitCondition::NotRunning) => Condition::NotRunning,
            Ok(v1::WaitCondition::NextExit) => Condition::NextExit(m.after_generation),
            Ok(v1::WaitCondition::Removed) => Condition::Removed,
            // A newer peer's: not to be taken for one that is known.
            Err(_) => return Err(refuse(Error::invalid(format!("unknown wait condition {}", m.condition)))),
        };
        let (tenant, id) = rpc::tenant_and_container(m.container).map_err(refuse)?;
        let observation = self.engine.wait(tenant, &id, condition).await.map_err(refuse)?;
        Ok(Response::new(reply(Done { already: false, observation })))
    }

    async fn attach(&self, request: Request<Streaming<v1::AttachInput>>) -> Answer<Replies> {
        use v1::attach_input::Input as I;
        let start = |m: v1::AttachInput| if let Some(I::Start(start)) = m.input { Some(start) } else { None };
        let input = |m: v1::AttachInput| match m.input {
            Some(I::Stdin(bytes)) => Some(Input::Bytes(bytes)),
            Some(I::CloseStdin(_)) => Some(Input::Close),
            _ => None,
        };
        let (start, input) = first(request, start, input).await?;
        let (tenant, id) = rpc::tenant_and_container(start.container.clone()).map_err(refuse)?;
        let outputs = self.engine.attach(tenant, &id, &start, input).map_err(refuse)?;
        Ok(Response::new(replies(outputs)))
    }

    async fn logs(&self, request: Request<v1::LogsRequest>) -> Answer<Replies> {
        admit(&request)?;
        let m = request.into_inner();
        let (tenant, id) = rpc::tenant_and_container(m.container.clone()).map_err(refuse)?;
        let outputs = self.engine.logs(tenant, &id, &m).map_err(refuse)?;
        Ok(Response::new(replies(outputs)))
    }

    async fn exec(&self, request: Request<Streaming<v1::ExecInput>>) -> Answer<Replies> {
        exec::exec(&self.engine, request).await
    }

    async fn resize_exec(&self, request: Request<v1::ResizeExecRequest>) -> Answer<v1::Empty> {
        self.verb(request, |engine, m| async move {
            let (tenant, id) = rpc::tenant_and_container(m.container)?;
            let exec: domain::ExecId = m.exec_id.parse()?;
            engine.resize(tenant, &id, Some(exec.as_str()), m.height, m.width).await.map(|()| v1::Empty {})
        })
        .await
    }

    async fn top(&self, request: Request<v1::TopRequest>) -> Answer<v1::TopReply> {
        self.verb(request, |engine, m| async move {
            let (tenant, id) = rpc::tenant_and_container(m.container)?;
            let table = engine.top(tenant, &id, &m.ps_args).await?;
            let processes = table.rows.into_iter().map(|fields| v1::TopProcess { fields }).collect();
            Ok(v1::TopReply { titles: table.titles, processes })
        })
        .await
    }
}

fn host_ports(ports: Vec<v1::HostPort>) -> Outcome<Vec<HostPort>> {
    let port = |number: u32| u16::try_from(number).map_err(|_| Error::invalid(format!("not a port: {number}")));
    let read = |p: v1::HostPort| {
        let protocol = p.protocol.parse()?;
        Ok(HostPort { protocol, host_port: port(p.host_port)?, container_port: port(p.container_port)? })
    };
    ports.into_iter().map(read).collect()
}
