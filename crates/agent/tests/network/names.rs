//! What a container is called once it has been renamed.

use std::time::Duration;

use agent::network::Listing;
use hickory_proto::rr::RecordType;

use super::{FIRST, Guest, on_a_host, plane};
use crate::world::{ANSWER, addresses, ask, within};

const VNI: u32 = 1001;

/// A list that calls the guest, which is on this host, `name`.
fn called(guest: &Guest, generation: u64, name: &str) -> Listing {
    let own = vec![(guest.id.clone(), name.to_owned())];
    Listing { vni: VNI, name: "bridge".into(), generation, peers: Vec::new(), own }
}

#[test]
fn a_list_tells_what_a_container_of_this_host_is_called_now() {
    on_a_host(async |world| {
        let first = plane(&world).await;
        let one = Guest::new(FIRST, VNI, 2);
        let two = Guest { name: "web", ..Guest::new(FIRST, VNI, 3) };
        let at = one.start(&first).await;
        two.start(&first).await;
        let find = |name: &'static str| addresses(&within(&at.net_ns, move || ask(name, RecordType::A, false)));
        assert_eq!(find("web."), [two.address()]);
        first.set_peers(called(&two, 5, "front")).await.unwrap();
        first.set_peers(called(&two, 4, "older")).await.unwrap();
        // The outside's resolver has an answer for every name that nobody here has.
        let check = |when: &str| {
            for known in ["front.", "c3.", "front.bridge."] {
                assert_eq!(find(known), [two.address()], "{known} {when}");
            }
            assert_eq!((find("web."), find("older.")), (vec![ANSWER], vec![ANSWER]), "{when}");
        };
        check("after the list");
        two.start(&first).await;
        check("in its next run");
        // A successor knows of no renames until it has asked.
        drop(first);
        tokio::time::sleep(Duration::from_millis(100)).await;
        let second = plane(&world).await;
        second.adopt(&one.request()).await.unwrap();
        second.adopt(&two.request()).await.unwrap();
        assert_eq!(find("web."), [two.address()]);
        second.set_peers(called(&two, 5, "front")).await.unwrap();
        check("after a restart of the agent");
    });
}
