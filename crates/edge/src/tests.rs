//! Real sockets on loopback addresses of the tests' own.

use std::{io, net::SocketAddr, time::Duration};

use rpc::v1;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream, UdpSocket},
    time::timeout,
};

use crate::table::Table;

const SOON: Duration = Duration::from_secs(5);

/// A port that nobody has at this moment.
async fn free(ip: &str) -> u16 {
    TcpListener::bind((ip, 0)).await.unwrap().local_addr().unwrap().port()
}

fn list(ip: &str, generation: u64, ports: &[(&str, u16, SocketAddr, bool)]) -> v1::PublishedAddress {
    let ports = ports.iter().map(|(protocol, port, target, proxy_protocol)| v1::PublishedPort {
        protocol: (*protocol).to_owned(),
        port: (*port).into(),
        target: target.to_string(),
        proxy_protocol: *proxy_protocol,
    });
    v1::PublishedAddress { address: ip.to_owned(), generation, ports: ports.collect() }
}

/// Answers all that it gets once the client has closed its side, with a letter in front.
async fn echo_after_the_end(letter: u8) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let at = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            tokio::spawn(async move {
                let mut all = Vec::new();
                stream.read_to_end(&mut all).await?;
                stream.write_all(&[letter]).await?;
                stream.write_all(&all).await?;
                stream.shutdown().await
            });
        }
    });
    at
}

async fn ask(at: (&str, u16), question: &[u8]) -> io::Result<Vec<u8>> {
    let (mut reader, mut writer) = TcpStream::connect(at).await?.into_split();
    let question = question.to_vec();
    let asking = tokio::spawn(async move {
        writer.write_all(&question).await?;
        writer.shutdown().await
    });
    let mut answer = Vec::new();
    timeout(SOON, reader.read_to_end(&mut answer)).await??;
    asking.await??;
    Ok(answer)
}

#[tokio::test]
async fn bytes_go_both_ways_and_each_side_closes_for_itself() {
    let ip = "127.9.0.1";
    let (port, table) = (free(ip).await, Table::new(free(ip).await, Vec::new()));
    let to = echo_after_the_end(b'A').await;
    table.apply(&list(ip, 2, &[("tcp", port, to, false)])).unwrap();
    let big: Vec<u8> = (0..16u32 << 20).map(|n| (n ^ (n >> 8)) as u8).collect();
    let (small, large) = tokio::join!(ask((ip, port), b"hello"), ask((ip, port), &big));
    assert_eq!(small.unwrap(), b"Ahello");
    let large = large.unwrap();
    assert!(large[0] == b'A' && large[1..] == big, "{} bytes", large.len());
}

#[tokio::test]
async fn a_reset_is_handed_on_as_one() {
    let ip = "127.9.0.8";
    let (port, table) = (free(ip).await, Table::new(free(ip).await, Vec::new()));
    let server = TcpListener::bind("127.0.0.1:0").await.unwrap();
    table.apply(&list(ip, 2, &[("tcp", port, server.local_addr().unwrap(), false)])).unwrap();
    let client = TcpStream::connect((ip, port)).await.unwrap();
    let (mut inner, _) = timeout(SOON, server.accept()).await.unwrap().unwrap();
    client.set_zero_linger().unwrap();
    drop(client);
    let error = timeout(SOON, inner.read(&mut [0u8; 1])).await.unwrap().unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::ConnectionReset);
}

/// Whatever the edge does at that moment: the server speaks first, as TLS does after its handshake.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_said_before_a_reset_arrives() {
    let ip = "127.9.0.9";
    let (port, table) = (free(ip).await, Table::new(free(ip).await, Vec::new()));
    let server = TcpListener::bind("127.0.0.1:0").await.unwrap();
    table.apply(&list(ip, 2, &[("tcp", port, server.local_addr().unwrap(), false)])).unwrap();
    for round in 0..500u64 {
        let mut client = TcpStream::connect((ip, port)).await.unwrap();
        let (mut inner, _) = timeout(SOON, server.accept()).await.unwrap().unwrap();
        let greeting = tokio::spawn(async move {
            for _ in 0..8 {
                let _ = inner.write_all(&[1; 1000]).await;
                tokio::task::yield_now().await;
            }
            inner
        });
        tokio::time::sleep(Duration::from_micros(round % 50 * 10)).await;
        client.write_all(b"request").await.unwrap();
        client.set_zero_linger().unwrap();
        drop(client);
        let (mut inner, mut heard) = (greeting.await.unwrap(), Vec::new());
        let _ = timeout(SOON, inner.read_to_end(&mut heard)).await.expect("the reset is handed on");
        assert_eq!(heard, b"request", "round {round}");
    }
}

#[tokio::test]
async fn the_newest_list_counts() {
    let ip = "127.9.0.2";
    let (port, table) = (free(ip).await, Table::new(free(ip).await, Vec::new()));
    let (first, second) = (echo_after_the_end(b'1').await, echo_after_the_end(b'2').await);
    table.apply(&list(ip, 5, &[("tcp", port, first, false)])).unwrap();
    let mut open = TcpStream::connect((ip, port)).await.unwrap();
    assert_eq!(ask((ip, port), b"x").await.unwrap(), b"1x");
    table.apply(&list(ip, 4, &[("tcp", port, second, false)])).unwrap();
    assert_eq!(ask((ip, port), b"x").await.unwrap(), b"1x", "an older list");
    table.apply(&list(ip, 6, &[("tcp", port, second, false)])).unwrap();
    assert_eq!(ask((ip, port), b"x").await.unwrap(), b"2x");
    let ended = timeout(SOON, open.read(&mut [0u8; 1])).await.expect("a connection to the old target ends");
    assert!(matches!(ended, Ok(0) | Err(_)));
    assert_eq!(table.known()[0].generation, 6);
    // Nobody who calls at that moment is turned away.
    for generation in 7..50 {
        let (to, answer) = if generation % 2 == 0 { (second, b"2x") } else { (first, b"1x") };
        table.apply(&list(ip, generation, &[("tcp", port, to, false)])).unwrap();
        assert_eq!(ask((ip, port), b"x").await.unwrap(), answer, "generation {generation}");
    }
    table.apply(&list(ip, 51, &[])).unwrap();
    assert!(ask((ip, port), b"x").await.is_err());
    table.apply(&list(ip, 52, &[("tcp", port, first, false)])).unwrap();
    table.forget(&[ip.to_owned()]);
    assert!(ask((ip, port), b"x").await.is_err() && table.known().is_empty());
}

#[tokio::test]
async fn a_target_that_is_not_there_closes_the_connection() {
    let ip = "127.9.0.3";
    let (port, table) = (free(ip).await, Table::new(free(ip).await, Vec::new()));
    let nobody = SocketAddr::from(([127, 0, 0, 1], free("127.0.0.1").await));
    table.apply(&list(ip, 2, &[("tcp", port, nobody, false)])).unwrap();
    let answer = ask((ip, port), b"x").await;
    assert!(answer.as_ref().is_ok_and(Vec::is_empty) || answer.is_err(), "{answer:?}");
}

#[tokio::test]
async fn the_api_and_who_asks_for_it_hear_who_called() {
    let ip = "127.9.0.4";
    let (port, api) = (free(ip).await, free(ip).await);
    let (container, frontend) = (echo_after_the_end(b'C').await, echo_after_the_end(b'F').await);
    let gone = SocketAddr::from(([127, 0, 0, 1], free("127.0.0.1").await));
    let table = Table::new(api, vec![frontend, gone]);
    table.apply(&list(ip, 2, &[("tcp", port, container, true)])).unwrap();
    for (port, letter) in [(port, b'C'), (api, b'F'), (api, b'F')] {
        let answer = ask((ip, port), b"x").await.unwrap();
        assert_eq!((answer[0], answer.len()), (letter, 1 + 28 + 1), "one frontend that is away is passed over");
        assert_eq!(answer[1..13], *b"\r\n\r\n\0\r\nQUIT\n");
        assert_eq!(answer[21..25], [127, 9, 0, 4], "the address that was dialled");
        assert_eq!(answer[27..29], port.to_be_bytes());
    }
}

#[tokio::test]
async fn datagrams_find_their_way_back() {
    let ip = "127.9.0.5";
    let (port, table) = (free(ip).await, Table::new(free(ip).await, Vec::new()));
    let server = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    table.apply(&list(ip, 2, &[("udp", port, server.local_addr().unwrap(), false)])).unwrap();
    tokio::spawn(async move {
        let mut datagram = [0u8; 2048];
        while let Ok((length, from)) = server.recv_from(&mut datagram).await {
            server.send_to(&datagram[..length], from).await?;
        }
        io::Result::Ok(())
    });
    let clients = [UdpSocket::bind("127.0.0.1:0").await.unwrap(), UdpSocket::bind("127.0.0.1:0").await.unwrap()];
    for (n, client) in clients.iter().enumerate() {
        client.connect((ip, port)).await.unwrap();
        client.send(&[n as u8; 1400]).await.unwrap();
    }
    for (n, client) in clients.iter().enumerate() {
        let mut answer = [0u8; 2048];
        let length = timeout(SOON, client.recv(&mut answer)).await.unwrap().unwrap();
        assert_eq!((length, answer[0]), (1400, n as u8));
    }
}

#[tokio::test]
async fn a_port_that_somebody_else_has_is_told_and_taken_later() {
    let ip = "127.9.0.6";
    let table = Table::new(free(ip).await, Vec::new());
    let foreign = TcpListener::bind((ip, 0)).await.unwrap();
    let (taken, other) = (foreign.local_addr().unwrap().port(), free(ip).await);
    let to = echo_after_the_end(b'A').await;
    let error = table.apply(&list(ip, 2, &[("tcp", taken, to, false), ("tcp", other, to, false)])).unwrap_err();
    assert!(error.to_string().contains("address already in use"), "{error}");
    assert_eq!(ask((ip, other), b"x").await.unwrap(), b"Ax", "the other one is served");
    drop(foreign);
    table.try_again().unwrap();
    assert_eq!(ask((ip, taken), b"x").await.unwrap(), b"Ax");
}

/// As /proc says: bytes of this process in memory.
fn resident() -> usize {
    let status = std::fs::read_to_string("/proc/self/statm").unwrap();
    status.split(' ').nth(1).unwrap().parse::<usize>().unwrap() * 4096
}

#[tokio::test]
async fn an_idle_connection_costs_little() {
    const COUNT: usize = 1000;
    let ip = "127.9.0.7";
    let (port, table) = (free(ip).await, Table::new(free(ip).await, Vec::new()));
    let to = echo_after_the_end(b'A').await;
    table.apply(&list(ip, 2, &[("tcp", port, to, false)])).unwrap();
    let before = resident();
    let mut open = Vec::with_capacity(COUNT);
    for _ in 0..COUNT {
        let mut stream = TcpStream::connect((ip, port)).await.unwrap();
        stream.write_all(b"x").await.unwrap();
        open.push(stream);
    }
    tokio::time::sleep(Duration::from_millis(200)).await;
    let each = (resident() - before) / COUNT;
    // Both clients and servers of this test are in the process, too.
    assert!(each < 64 << 10, "{each} bytes");
}
