//! The table: every path of the Docker API, built or not, in the order of Docker's own description.
//!
//! An endpoint touches, in order: its row here; its JSON type in `docker-api`; `handlers/<noun>/<verb>.rs`; where it reaches
//! a host, an rpc in `/proto` and a method in `agent/src/grpc`; a test in `/tests`. What is not built is a row too, so that
//! this table is the whole truth; a test compares it with the list of Docker's paths.

use axum::{
    Router,
    extract::Request,
    handler::Handler,
    middleware::{Next, from_fn},
    response::{IntoResponse, Response},
    routing::{MethodFilter, MethodRouter, on},
};
use domain::Error;
use http::Method;
use rpc::request_id::REQUEST_ID;
use tracing::Instrument;

use crate::{
    error::ApiError,
    extract::Caller,
    handlers::{auth, build, containers, distribution, exec, images, networks, system, volumes},
    serve::page_not_found,
    state::App,
};

/// One method of one path.
pub(crate) struct Row {
    #[cfg_attr(not(test), allow(dead_code, reason = "the handler has it too; the tests cannot look inside"))]
    pub(crate) method: Method,
    pub(crate) path: &'static str,
    handler: MethodRouter<App>,
}

pub(crate) fn router(app: App) -> Router {
    let router = table().into_iter().fold(Router::new(), |router, row| router.route(row.path, row.handler));
    router.fallback(page_not_found).method_not_allowed_fallback(page_not_found).with_state(app)
}

pub(crate) fn table() -> Vec<Row> {
    [
        system_rows(),
        container_rows(),
        exec_rows(),
        image_rows(),
        volume_rows(),
        network_rows(),
        plugin_rows(),
        swarm_rows(),
    ]
    .into_iter()
    .flatten()
    .collect()
}

fn system_rows() -> Vec<Row> {
    vec![
        get("/_ping", system::ping::ping),
        unserved(Method::HEAD, "/_ping"), // served by GET's row: axum answers HEAD without the body
        get("/version", system::version::version),
        get("/info", system::info::info),
        read_post("/auth", auth::auth),
        get("/events", system::events::events),
        get("/system/df", system::df::df),
        post("/build", build::build::build),
        post("/build/prune", build::prune::prune),
        read_post("/build/cancel", build::cancel::cancel),
        read_post("/session", system::sessions::not_offered),
        read_post("/grpc", system::sessions::not_offered),
    ]
}

fn container_rows() -> Vec<Row> {
    vec![
        get("/containers/json", containers::list::list),
        post("/containers/create", containers::create::create),
        get("/containers/{id}/json", containers::inspect::inspect),
        get("/containers/{id}/top", containers::top::top),
        get("/containers/{id}/logs", containers::logs::logs),
        get("/containers/{id}/changes", containers::changes::changes),
        get("/containers/{id}/export", containers::export::export),
        get("/containers/{id}/stats", containers::stats::stats),
        post("/containers/{id}/resize", containers::resize::resize),
        post("/containers/{id}/start", containers::start::start),
        post("/containers/{id}/stop", containers::stop::stop),
        post("/containers/{id}/restart", containers::restart::restart),
        post("/containers/{id}/kill", containers::kill::kill),
        post("/containers/{id}/update", containers::update::update),
        post("/containers/{id}/rename", containers::rename::rename),
        post("/containers/{id}/pause", containers::pause::pause),
        post("/containers/{id}/unpause", containers::unpause::unpause),
        read_post("/containers/{id}/attach", containers::attach::attach), // a viewer may watch; stdin is checked there
        get("/containers/{id}/attach/ws", containers::attach_ws::attach_ws),
        read_post("/containers/{id}/wait", containers::wait::wait),
        delete("/containers/{id}", containers::remove::remove),
        row(Method::HEAD, "/containers/{id}/archive", containers::archive::head::head),
        get("/containers/{id}/archive", containers::archive::get::get),
        writes(row(Method::PUT, "/containers/{id}/archive", containers::archive::put::put)),
        post("/containers/prune", containers::prune::prune),
        post("/commit", containers::commit::commit),
        row(Method::GET, "/containers/{id}/checkpoints", system::checkpoints::disabled),
        row(Method::POST, "/containers/{id}/checkpoints", system::checkpoints::disabled),
        row(Method::DELETE, "/containers/{id}/checkpoints/{checkpoint}", system::checkpoints::disabled),
    ]
}

fn exec_rows() -> Vec<Row> {
    vec![
        post("/containers/{id}/exec", exec::create::create),
        post("/exec/{id}/start", exec::start::start),
        post("/exec/{id}/resize", exec::resize::resize),
        get("/exec/{id}/json", exec::inspect::inspect),
    ]
}

fn image_rows() -> Vec<Row> {
    vec![
        get("/images/json", images::list::list),
        post("/images/create", images::create::create),
        get("/images/{name}/json", images::inspect::inspect),
        get("/images/{name}/history", images::history::history),
        post("/images/{name}/push", images::push::push),
        post("/images/{name}/tag", images::tag::tag),
        delete("/images/{name}", images::remove::remove),
        get("/images/search", images::search::search),
        post("/images/prune", images::prune::prune),
        get("/images/{name}/get", images::get::get_one),
        get("/images/get", images::get::get_many),
        post("/images/load", images::load::load),
        get("/distribution/{name}/json", distribution::inspect::inspect),
    ]
}

fn volume_rows() -> Vec<Row> {
    vec![
        get("/volumes", volumes::list::list),
        post("/volumes/create", volumes::create::create),
        get("/volumes/{name}", volumes::inspect::inspect),
        put("/volumes/{name}", volumes::update::update),
        delete("/volumes/{name}", volumes::remove::remove),
        post("/volumes/prune", volumes::prune::prune),
    ]
}

fn network_rows() -> Vec<Row> {
    vec![
        get("/networks", networks::list::list),
        get("/networks/{id}", networks::inspect::inspect),
        delete("/networks/{id}", networks::remove::remove),
        post("/networks/create", networks::create::create),
        post("/networks/{id}/connect", networks::connect::connect),
        post("/networks/{id}/disconnect", networks::disconnect::disconnect),
        post("/networks/prune", networks::prune::prune),
    ]
}

fn plugin_rows() -> Vec<Row> {
    vec![
        get("/plugins", system::plugins::list),
        get("/plugins/privileges", system::plugins::not_installable),
        read_post("/plugins/pull", system::plugins::not_installable),
        read_post("/plugins/create", system::plugins::not_installable),
        get("/plugins/{name}/json", system::plugins::not_found),
        row(Method::DELETE, "/plugins/{name}", system::plugins::not_found),
        read_post("/plugins/{name}/enable", system::plugins::not_found),
        read_post("/plugins/{name}/disable", system::plugins::not_found),
        read_post("/plugins/{name}/upgrade", system::plugins::not_found),
        read_post("/plugins/{name}/push", system::plugins::not_found),
        read_post("/plugins/{name}/set", system::plugins::not_found),
    ]
}

/// Tools probe these to learn that Swarm is off.
fn swarm_rows() -> Vec<Row> {
    let one = [
        (Method::GET, "/swarm"),
        (Method::POST, "/swarm/update"),
        (Method::GET, "/swarm/unlockkey"),
        (Method::POST, "/swarm/unlock"),
        (Method::GET, "/nodes"),
        (Method::GET, "/nodes/{id}"),
        (Method::DELETE, "/nodes/{id}"),
        (Method::POST, "/nodes/{id}/update"),
        (Method::GET, "/services"),
        (Method::POST, "/services/create"),
        (Method::GET, "/services/{id}"),
        (Method::DELETE, "/services/{id}"),
        (Method::POST, "/services/{id}/update"),
        (Method::GET, "/services/{id}/logs"),
        (Method::GET, "/tasks"),
        (Method::GET, "/tasks/{id}"),
        (Method::GET, "/tasks/{id}/logs"),
        (Method::GET, "/secrets"),
        (Method::POST, "/secrets/create"),
        (Method::GET, "/secrets/{id}"),
        (Method::DELETE, "/secrets/{id}"),
        (Method::POST, "/secrets/{id}/update"),
        (Method::GET, "/configs"),
        (Method::POST, "/configs/create"),
        (Method::GET, "/configs/{id}"),
        (Method::DELETE, "/configs/{id}"),
        (Method::POST, "/configs/{id}/update"),
    ];
    let manager = one.into_iter().map(|(method, path)| row(method, path, system::swarm::not_a_manager));
    let node = [
        read_post("/swarm/init", system::swarm::not_offered),
        read_post("/swarm/join", system::swarm::not_offered),
        read_post("/swarm/leave", system::swarm::not_part_of_a_swarm),
    ];
    manager.chain(node).collect()
}

fn get<H: Handler<T, App>, T: 'static>(path: &'static str, handler: H) -> Row {
    row(Method::GET, path, handler)
}

/// A POST that changes something.
fn post<H: Handler<T, App>, T: 'static>(path: &'static str, handler: H) -> Row {
    writes(row(Method::POST, path, handler))
}

/// A POST that only reads.
fn read_post<H: Handler<T, App>, T: 'static>(path: &'static str, handler: H) -> Row {
    row(Method::POST, path, handler)
}

fn put<H: Handler<T, App>, T: 'static>(path: &'static str, handler: H) -> Row {
    writes(row(Method::PUT, path, handler))
}

fn delete<H: Handler<T, App>, T: 'static>(path: &'static str, handler: H) -> Row {
    writes(row(Method::DELETE, path, handler))
}

/// Part of the table, but answered by another row.
fn unserved(method: Method, path: &'static str) -> Row {
    Row { method, path, handler: MethodRouter::new() }
}

fn row<H: Handler<T, App>, T: 'static>(method: Method, path: &'static str, handler: H) -> Row {
    let filter = MethodFilter::try_from(method.clone()).unwrap_or(MethodFilter::TRACE);
    Row { method, path, handler: on(filter, handler) }
}

fn writes(row: Row) -> Row {
    Row { handler: row.handler.route_layer(from_fn(write)), ..row }
}

/// Viewers read; everything else is the developers' and owners'. A write runs as a task of its own, so that it is finished
/// (or undone) also when its client has gone: hyper drops the future of a request whose connection is closed.
async fn write(caller: Caller, request: Request, next: Next) -> Response {
    if !caller.tenant.role().can_write() {
        return ApiError::from(Error::forbidden("the role viewer may only read")).into_response();
    }
    let work = REQUEST_ID.scope(rpc::request_id::current(), next.run(request).in_current_span());
    match tokio::spawn(work).await {
        Ok(response) => response,
        Err(cause) => ApiError::from(Error::because("a handler's task", cause)).into_response(),
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    /// Methods and paths of Docker's API description, version 1.51.
    const DOCKERS: &str = include_str!("routes-1.51.txt");

    #[test]
    fn every_path_of_the_docker_api_has_a_row() {
        let ours: BTreeSet<String> = table().iter().map(|r| format!("{} {}", r.method, r.path)).collect();
        let missing: Vec<&str> = DOCKERS.lines().filter(|line| !ours.contains(*line)).collect();
        assert!(missing.is_empty(), "{missing:?}");
    }

    #[test]
    fn no_row_stands_twice() {
        let rows = table();
        let distinct: BTreeSet<String> = rows.iter().map(|r| format!("{} {}", r.method, r.path)).collect();
        assert_eq!(rows.len(), distinct.len());
    }
}
