//! Published ports: who gets which, when they are free again, and what edges hear.

use domain::{ContainerId, Error, PortWish, Protocol, Status};
use sqlx::PgPool;

use super::{World, observed};
use crate::{AddressVersion, Container, TenantView};

const POOL: &str = "203.0.113.0/24";

fn wish(container_port: u16, host_ports: (u16, u16)) -> PortWish {
    PortWish { container_port, protocol: Protocol::Tcp, host_ports, proxy_protocol: false }
}

impl World {
    async fn with_address(pg: PgPool) -> Self {
        let world = Self::new(pg, 2).await;
        world.inventory.assign_address(world.tenant.id, POOL.parse().unwrap()).await.unwrap();
        world
    }

    async fn publishing(&self, name: &str, ports: Vec<PortWish>) -> Container {
        let mut new = self.new_container(name);
        new.spec.ports = ports;
        self.inventory.reserve(&new, self.hosts[0]).await.unwrap();
        self.view().container(name).await.unwrap()
    }

    async fn see(&self, id: &ContainerId, generation: u64, status: Status) {
        self.view().observe(&observed(self.tenant.id, id, generation, status)).await.unwrap();
    }
}

async fn shown(view: &TenantView, name: &str) -> Vec<u16> {
    view.container(name).await.unwrap().ports.iter().map(|p| p.port).collect()
}

#[sqlx::test(migrations = "../../migrations")]
async fn each_tenant_has_an_address_and_keeps_it(pg: PgPool) {
    let world = World::with_address(pg).await;
    let address = world.view().address().await.unwrap().unwrap();
    assert_eq!(
        world.inventory.assign_address(world.tenant.id, "198.51.100.0/24".parse().unwrap()).await.unwrap(),
        address
    );
    let other = world.inventory.create_tenant("other", "172.17.0.0/16".parse().unwrap()).await.unwrap();
    assert_eq!(world.inventory.tenant(other.id).address().await.unwrap(), None);
    assert_ne!(world.inventory.assign_address(other.id, POOL.parse().unwrap()).await.unwrap(), address);
    let small = world.inventory.create_tenant("third", "172.17.0.0/16".parse().unwrap()).await.unwrap();
    let full = world.inventory.assign_address(small.id, "203.0.113.0/30".parse().unwrap()).await.unwrap_err();
    assert!(matches!(full, Error::NoCapacity(_)), "{full}");
}

#[sqlx::test(migrations = "../../migrations")]
async fn a_port_is_one_container_s_from_its_start_to_its_end(pg: PgPool) {
    let world = World::with_address(pg).await;
    let view = world.view();
    let web = world.publishing("web", vec![wish(80, (8080, 8080)), wish(81, (0, 0))]).await;
    let held = view.publish(&web).await.unwrap();
    assert_eq!(held.ports.iter().map(|p| p.container_port).collect::<Vec<_>>(), [80, 81]);
    assert!(held.ports.iter().all(|p| (20_000..30_000).contains(&p.host_port)));
    assert_eq!(view.publish(&web).await.unwrap().ports, held.ports, "a second start changes nothing");
    world.see(&web.id, 5, Status::Running).await;
    view.published(&web).await.unwrap();
    let ports = shown(&view, "web").await;
    assert_eq!((ports.len(), ports[0]), (2, 8080));
    assert!((32_768..=60_999).contains(&ports[1]));

    let rival = world.publishing("rival", vec![wish(82, (0, 0)), wish(80, (8080, 8080))]).await;
    let taken = view.publish(&rival).await.unwrap_err();
    let address = view.address().await.unwrap().unwrap();
    assert!(matches!(taken, Error::Conflict(_)));
    assert_eq!(
        taken.to_string(),
        format!(
            "driver failed programming external connectivity on endpoint rival ({}): Bind for {address}:8080 failed: \
             port is already allocated",
            rival.endpoints[0].endpoint_id
        )
    );
    assert_eq!(shown(&view, "rival").await, [0u16; 0], "all or none");
    // UDP is another name space, and a range looks on.
    let udp = PortWish { protocol: Protocol::Udp, ..wish(80, (8080, 8080)) };
    let others = world.publishing("others", vec![udp, wish(80, (8080, 8081)), wish(81, (8080, 8081))]).await;
    let full = view.publish(&others).await.unwrap_err();
    assert!(full.to_string().ends_with("all ports are allocated"), "{full}");

    world.see(&web.id, 6, Status::Exited).await;
    assert_eq!(shown(&view, "web").await, [0u16; 0]);
    view.publish(&rival).await.unwrap();
}

/// The end of a run may be told when the next one is under way already.
#[sqlx::test(migrations = "../../migrations")]
async fn an_end_that_is_told_late_does_not_release_the_next_run_s(pg: PgPool) {
    let world = World::with_address(pg).await;
    let view = world.view();
    let web = world.publishing("web", vec![wish(80, (8080, 8080))]).await;
    let first = view.publish(&web).await.unwrap();
    world.see(&web.id, 5, Status::Running).await;
    view.published(&web).await.unwrap();
    // It has died, and is started before anybody told.
    assert_eq!(view.publish(&web).await.unwrap().ports, first.ports);
    world.see(&web.id, 6, Status::Exited).await;
    world.see(&web.id, 7, Status::Running).await;
    view.published(&web).await.unwrap();
    assert_eq!(shown(&view, "web").await, [8080]);
    // One that is over before its start is answered holds nothing.
    world.see(&web.id, 8, Status::Exited).await;
    view.publish(&web).await.unwrap();
    world.see(&web.id, 10, Status::Exited).await;
    view.published(&web).await.unwrap();
    assert_eq!(shown(&view, "web").await, [0u16; 0]);
    view.publish(&web).await.unwrap();
    view.published(&web).await.unwrap();
    assert_eq!(shown(&view, "web").await, [0u16; 0]);
}

#[sqlx::test(migrations = "../../migrations")]
async fn edges_hear_of_what_differs(pg: PgPool) {
    let world = World::with_address(pg).await;
    let (view, inventory) = (world.view(), &world.inventory);
    let address = view.address().await.unwrap().unwrap().to_string();
    let news = async |known: &[AddressVersion]| inventory.newer_ports("https://10.0.0.1:7403", known).await.unwrap();
    let (all, gone) = news(&[]).await;
    assert_eq!((all.len(), all[0].ports.len(), gone.len()), (1, 0, 0));
    let known = [AddressVersion { address: address.clone(), generation: all[0].generation }];
    assert!(news(&known).await.0.is_empty());
    let web = world.publishing("web", vec![wish(80, (8080, 8080))]).await;
    let told = view.publish(&web).await.unwrap().address;
    let (newer, _) = news(&known).await;
    assert_eq!(newer, std::slice::from_ref(&told));
    assert!(told.generation > known[0].generation);
    assert!(told.ports[0].target.starts_with("10.0.0.1:2"), "{told:?}");
    view.forget(&web.id).await.unwrap();
    let (newer, _) = news(&[AddressVersion { address: address.clone(), generation: told.generation }]).await;
    assert!(newer[0].ports.is_empty() && newer[0].generation > told.generation);
    let (_, gone) = news(&[AddressVersion { address: "203.0.113.77".into(), generation: 3 }]).await;
    assert_eq!(gone, ["203.0.113.77"]);
    assert_eq!(inventory.edges().await.unwrap(), ["https://10.0.0.1:7403"]);
}
