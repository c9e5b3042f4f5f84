//! What can be said of a query without asking anybody else.
//!
//! A name that is known has no records but A: any other type is an empty NOERROR, never NXDOMAIN, or resolvers that ask
//! for AAAA first would give up on the name.

use std::net::Ipv4Addr;

use hickory_proto::{
    op::{Message, MessageType, OpCode, Query, ResponseCode},
    rr::{
        Name, RData, Record, RecordType,
        rdata::{A, PTR},
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
        RecordType::A => Some(addresses.into_iter().map(|a| record(RData::A(A(a)))).collect()),
        _ => Some(Vec::new()),
    }
}

/// `4.3.2.1.in-addr.arpa`
fn address(name: &Name) -> Option<Ipv4Addr> {
    let text = name.to_ascii().to_ascii_lowercase();
    let digits = text.trim_end_matches('.').strip_suffix(".in-addr.arpa")?;
    let reversed: Ipv4Addr = digits.parse().ok()?;
    let [d, c, b, a] = reversed.octets();
    Some(Ipv4Addr::new(a, b, c, d))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dns::Upstream;

    #[test]
    fn reverse_names_are_read() {
        let name = Name::from_ascii("4.3.2.10.IN-ADDR.arpa.").unwrap();
        assert_eq!(address(&name), Some(Ipv4Addr::new(10, 2, 3, 4)));
        assert_eq!(address(&Name::from_ascii("2.10.in-addr.arpa.").unwrap()), None);
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
