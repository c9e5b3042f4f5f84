//! A host and an outside, each a network namespace, gone when the test ends, however it ends.

use std::{
    fs::File,
    io::{Read, Write},
    net::{IpAddr, Ipv4Addr, SocketAddr, TcpListener, TcpStream, UdpSocket},
    path::{Path, PathBuf},
    process::Command,
    thread::JoinHandle,
    time::Duration,
};

use hickory_proto::{
    op::{Message, Query, ResponseCode},
    rr::{Name, RData, Record, RecordType, rdata::A},
};
use nix::{
    mount::{MntFlags, umount2},
    sched::{CloneFlags, setns},
};

/// A host on the internet, as containers see it.
pub(crate) const INTERNET: Ipv4Addr = Ipv4Addr::new(198, 51, 100, 1);
pub(crate) const METADATA: Ipv4Addr = Ipv4Addr::new(169, 254, 169, 254);
/// The outside's address in the underlay's subnet.
pub(crate) const GATEWAY: Ipv4Addr = Ipv4Addr::new(10, 250, 0, 1);
pub(crate) const HOST: Ipv4Addr = Ipv4Addr::new(10, 250, 0, 11);
pub(crate) const PORT: u16 = 8080;
/// What the outside's resolver says to every question about A.
pub(crate) const ANSWER: Ipv4Addr = Ipv4Addr::new(203, 0, 113, 7);

const PATIENCE: Duration = Duration::from_millis(150);

pub(crate) struct World {
    prefix: String,
    pub(crate) run: PathBuf,
}

impl World {
    pub(crate) fn new() -> Self {
        let prefix = format!("whtest-{}", std::process::id());
        let world = Self { run: PathBuf::from(format!("/run/{prefix}")), prefix };
        let (host, outside) = (world.name("host"), world.name("outside"));
        let commands = [
            format!("ip netns add {host}"),
            format!("ip netns add {outside}"),
            format!("ip -n {outside} link set lo up"),
            format!("ip -n {host} link set lo up"),
            format!("ip link add eth0 netns {host} type veth peer name wan0 netns {outside}"),
            format!("ip -n {host} addr add {HOST}/24 dev eth0"),
            format!("ip -n {outside} addr add {GATEWAY}/24 dev wan0"),
            format!("ip -n {outside} addr add {INTERNET}/32 dev lo"),
            format!("ip -n {outside} addr add {METADATA}/32 dev lo"),
            format!("ip -n {host} link set eth0 up"),
            format!("ip -n {outside} link set wan0 up"),
            format!("ip -n {host} route add default via {GATEWAY}"),
        ];
        commands.iter().for_each(|c| sh(c));
        world.within("outside", || {
            listen(SocketAddr::from((Ipv4Addr::UNSPECIFIED, PORT)), "outside");
            resolve();
        });
        world.within("host", || listen(SocketAddr::from((Ipv4Addr::UNSPECIFIED, PORT)), "host"));
        world
    }

    pub(crate) fn name(&self, part: &str) -> String {
        format!("{}-{part}", self.prefix)
    }

    pub(crate) fn path(&self, part: &str) -> PathBuf {
        PathBuf::from(format!("/run/netns/{}", self.name(part)))
    }

    pub(crate) fn within<T: Send + 'static>(&self, part: &str, f: impl FnOnce() -> T + Send + 'static) -> T {
        within(&self.path(part), f)
    }
}

impl Drop for World {
    fn drop(&mut self) {
        let mounts = std::fs::read_to_string("/proc/self/mountinfo").unwrap_or_default();
        for path in mounts.lines().filter_map(|line| line.split(' ').nth(4)) {
            if Path::new(path).starts_with(&self.run) {
                let _ = umount2(path, MntFlags::MNT_DETACH);
            }
        }
        let _ = std::fs::remove_dir_all(&self.run);
        for part in ["host", "outside"] {
            let _ = Command::new("ip").args(["netns", "del", &self.name(part)]).status();
        }
    }
}

fn sh(command: &str) {
    let mut words = command.split(' ');
    let status = Command::new(words.next().unwrap()).args(words).status().unwrap();
    assert!(status.success(), "{command}");
}

/// Runs `f` on a thread in the namespace that is bound at `path`.
pub(crate) fn within<T: Send + 'static>(path: &Path, f: impl FnOnce() -> T + Send + 'static) -> T {
    let file = File::open(path).unwrap();
    let thread: JoinHandle<T> = std::thread::spawn(move || {
        setns(file, CloneFlags::CLONE_NEWNET).unwrap();
        f()
    });
    thread.join().unwrap()
}

/// Greets everybody who connects, for as long as the process lives. The socket stays in the caller's namespace.
pub(crate) fn listen(address: SocketAddr, greeting: &'static str) {
    let listener = TcpListener::bind(address).unwrap();
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let _ = stream.and_then(|mut s| s.write_all(greeting.as_bytes()));
        }
    });
}

/// What the listener there says; `None` if it can't be reached.
pub(crate) fn greeting(address: impl Into<IpAddr>) -> Option<String> {
    let mut stream = TcpStream::connect_timeout(&SocketAddr::new(address.into(), PORT), PATIENCE).ok()?;
    let mut text = String::new();
    stream.set_read_timeout(Some(PATIENCE)).ok()?;
    stream.read_to_string(&mut text).ok()?;
    Some(text)
}

/// A resolver on the internet: A is [`ANSWER`], everything else NXDOMAIN.
fn resolve() {
    let udp = UdpSocket::bind((INTERNET, 53)).unwrap();
    let tcp = TcpListener::bind((INTERNET, 53)).unwrap();
    std::thread::spawn(move || {
        let mut buffer = [0u8; 1500];
        while let Ok((n, client)) = udp.recv_from(&mut buffer) {
            let _ = udp.send_to(&reply(&buffer[..n]), client);
        }
    });
    std::thread::spawn(move || {
        for mut stream in tcp.incoming().flatten() {
            let query = read_framed(&mut stream);
            write_framed(&mut stream, &reply(&query));
        }
    });
}

fn reply(query: &[u8]) -> Vec<u8> {
    let query = Message::from_vec(query).unwrap();
    let mut answer = Message::response(query.metadata.id, query.metadata.op_code);
    let question = query.queries[0].clone();
    match question.query_type() {
        RecordType::A => {
            answer.add_answer(Record::from_rdata(question.name().clone(), 60, RData::A(A(ANSWER))));
        }
        _ => answer.metadata.response_code = ResponseCode::NXDomain,
    }
    answer.add_query(question);
    answer.to_vec().unwrap()
}

/// Asks 127.0.0.11, over UDP or TCP.
pub(crate) fn ask(name: &str, kind: RecordType, tcp: bool) -> Message {
    let mut query = Message::query();
    query.metadata.recursion_desired = true;
    query.add_query(Query::query(Name::from_ascii(name).unwrap(), kind));
    let bytes = query.to_vec().unwrap();
    let server = SocketAddr::from(([127, 0, 0, 11], 53));
    let answer = if tcp {
        let mut stream = TcpStream::connect(server).unwrap();
        write_framed(&mut stream, &bytes);
        read_framed(&mut stream)
    } else {
        let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
        socket.set_read_timeout(Some(Duration::from_secs(5))).unwrap();
        socket.connect(server).unwrap(); // only an answer from port 53 is taken
        socket.send(&bytes).unwrap();
        let mut buffer = vec![0u8; 1500];
        let n = socket.recv(&mut buffer).unwrap();
        buffer.truncate(n);
        buffer
    };
    let answer = Message::from_vec(&answer).unwrap();
    assert_eq!(answer.metadata.id, query.metadata.id);
    answer
}

pub(crate) fn addresses(answer: &Message) -> Vec<Ipv4Addr> {
    answer.answers.iter().filter_map(|r| if let RData::A(a) = &r.data { Some(a.0) } else { None }).collect()
}

fn read_framed(stream: &mut TcpStream) -> Vec<u8> {
    let mut length = [0u8; 2];
    stream.read_exact(&mut length).unwrap();
    let mut message = vec![0u8; u16::from_be_bytes(length).into()];
    stream.read_exact(&mut message).unwrap();
    message
}

fn write_framed(stream: &mut TcpStream, message: &[u8]) {
    let mut framed = (message.len() as u16).to_be_bytes().to_vec();
    framed.extend(message);
    stream.write_all(&framed).unwrap();
}
