//! What can be said of a query without asking anybody else.
//!
//! A name that is known has no records but A and, in a network with IPv6, AAAA: any other type is an empty NOERROR, never
//! NXDOMAIN, or resolvers that ask for AAAA first would give up on the name.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use hickory_proto::{
    op::{Message, MessageType, OpCode, Query, ResponseCode},
    rr::{
        Name, RData, Record, RecordType,
        rdata::{A, AAAA, PTR},
    },
};

use super::{names::Names, serve::Scope};

/// Seconds; Docker's.
const TTL: u32 = 600;

pub(super) enum Verdict {
    Reply(Vec<u8>),
    /// A fair question about somebody else's name.
    Forward(Message),
}

/// `None`: not a query at all, to be ignored.
pub(super) fn consider(bytes: &[u8], names: &Names, scope: &Scope) -> Option<Verdict> {
    let request = Message::from_vec(bytes).ok()?;
    if request.metadata.message_type != MessageType::Query {
        return None;
    }
    let [question] = request.queries.as_slice() else {
        return failure(&request, ResponseCode::FormErr).map(Verdict::Reply);
    };
    if request.metadata.op_code != OpCode::Query {
        return failure(&request, ResponseCode::NotImp).map(Verdict::Reply);
    }
    match known(question, names, scope) {
        Some(records) => reply(&request, ResponseCode::NoError, records).map(Verdict::Reply),
        None => Some(Verdict::Forward(request)),
    }
}

/// A reply without records.
pub(super) fn failure(request: &Message, code: ResponseCode) -> Option<Vec<u8>> {
    reply(request, code, Vec::new())
}

fn reply(request: &Message, code: ResponseCode, records: Vec<Record>) -> Option<Vec<u8>> {
    let mut message = Message::response(request.metadata.id, request.metadata.op_code);
    message.metadata.recursion_desired = request.metadata.recursion_desired;
    message.metadata.recursion_available = true;
    message.metadata.response_code = code;
    message.add_queries(request.queries.iter().cloned());
    message.add_answers(records);
    message.to_vec().ok()
}

fn known(question: &Query, names: &Names, scope: &Scope) -> Option<Vec<Record>> {
    let record = |data| Record::from_rdata(question.name().clone(), TTL, data);
    if question.query_type() == RecordType::PTR {
        let name = names.reverse(&scope.vnis, address(question.name())?)?;
        let target = Name::from_ascii(format!("{name}.")).ok()?;
        return Some(vec![record(RData::PTR(PTR(target)))]);
    }
    let text = question.name().to_ascii();
    let text = text.trim_end_matches('.');
    let name = scope.links.get(&text.to_ascii_lowercase()).map_or(text, String::as_str);
    let addresses = names.addresses(&scope.vnis, name)?;
    match question.query_type() {
        RecordType::A => Some(addresses.into_iter().map(|a| record(RData::A(A(a.v4)))).collect()),
        RecordType::AAAA => {
            Some(addresses.into_iter().filter_map(|a| Some(record(RData::AAAA(AAAA(a.v6?))))).collect())
        }
        _ => Some(Vec::new()),
    }
}

/// `4.3.2.1.in-addr.arpa`, or the 32 digits of an IPv6 address, the last one first, before `ip6.arpa`.
fn address(name: &Name) -> Option<IpAddr> {
    let text = name.to_ascii().to_ascii_lowercase();
    let text = text.trim_end_matches('.');
    if let Some(digits) = text.strip_suffix(".ip6.arpa") {
        return address6(digits).map(IpAddr::V6);
    }
    let reversed: Ipv4Addr = text.strip_suffix(".in-addr.arpa")?.parse().ok()?;
    let [d, c, b, a] = reversed.octets();
    Some(Ipv4Addr::new(a, b, c, d).into())
}

fn address6(digits: &str) -> Option<Ipv6Addr> {
    let digit = |part: &str| match part.as_bytes() {
        [digit] => char::from(*digit).to_digit(16),
        _ => None,
    };
    let digits: Vec<u32> = digits.rsplit('.').map(digit).collect::<Option<_>>()?;
    let number = |digits: &[u32]| digits.iter().fold(0, |number, digit| (number << 4) | u128::from(*digit));
    (digits.len() == 32).then(|| Ipv6Addr::from(number(&digits)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dns::{Addresses, Upstream};

    #[test]
    fn reverse_names_are_read() {
        let name = Name::from_ascii("4.3.2.10.IN-ADDR.arpa.").unwrap();
        assert_eq!(address(&name), Some(Ipv4Addr::new(10, 2, 3, 4).into()));
        assert_eq!(address(&Name::from_ascii("2.10.in-addr.arpa.").unwrap()), None);
        let name = Name::from_ascii(format!("7.{}0.0.d.F.IP6.arpa.", "0.".repeat(27))).unwrap();
        assert_eq!(address(&name), Some("fd00::7".parse().unwrap()));
        for short in ["7.0.0.d.f.ip6.arpa.", "77.0.ip6.arpa.", "ip6.arpa."] {
            assert_eq!(address(&Name::from_ascii(short).unwrap()), None, "{short}");
        }
    }

    #[test]
    fn names_have_aaaa_records_in_networks_with_ipv6_only() {
        let names = Names::default();
        let addresses =
            |v4: &str, v6: Option<&str>| Addresses { v4: v4.parse().unwrap(), v6: v6.map(|a| a.parse().unwrap()) };
        for (vni, place) in [(1, addresses("10.0.0.7", Some("fd00::7"))), (2, addresses("10.0.0.7", None))] {
            let containers = [(domain::ContainerId::random(), place, vec!["web".to_owned()])];
            names.set_remote(vni, "net", containers.into_iter());
        }
        let ask = |vni: u32, name: &str, kind| {
            let scope = Scope { vnis: vec![vni], links: Default::default(), upstream: Upstream::None };
            let records = known(&Query::query(Name::from_ascii(name).unwrap(), kind), &names, &scope);
            records.map(|all| all.into_iter().map(|r| r.data.to_string()).collect::<Vec<_>>())
        };
        assert_eq!(ask(1, "web.", RecordType::AAAA), Some(vec!["fd00::7".to_owned()]));
        assert_eq!(ask(1, "web.net.", RecordType::A), Some(vec!["10.0.0.7".to_owned()]));
        assert_eq!(ask(1, "web.", RecordType::TXT), Some(vec![]));
        assert_eq!(ask(2, "web.", RecordType::AAAA), Some(vec![]), "known, without such a record");
        assert_eq!(ask(1, "db.", RecordType::AAAA), None);
        let reverse = format!("7.{}0.0.d.f.ip6.arpa.", "0.".repeat(27));
        assert_eq!(ask(1, &reverse, RecordType::PTR), Some(vec!["web.net.".to_owned()]));
        assert_eq!(ask(2, &reverse, RecordType::PTR), None);
    }

    #[test]
    fn an_unknown_name_is_forwarded_and_garbage_ignored() {
        let mut query = Message::query();
        query.add_query(Query::query(Name::from_ascii("example.org.").unwrap(), RecordType::A));
        let bytes = query.to_vec().unwrap();
        let scope = Scope { vnis: vec![1], links: Default::default(), upstream: Upstream::None };
        assert!(matches!(consider(&bytes, &Names::default(), &scope), Some(Verdict::Forward(_))));
        assert!(consider(b"garbage", &Names::default(), &scope).is_none());
    }
}
