//! Counters of a container's interfaces, from its own network namespace.

use std::collections::HashMap;

use rpc::v1;

/// Of the network namespace that the process `pid` is in. Nothing once it has ended.
pub(super) fn read(pid: u32) -> HashMap<String, v1::InterfaceStats> {
    std::fs::read_to_string(format!("/proc/{pid}/net/dev")).map(|text| parse(&text)).unwrap_or_default()
}

/// Two lines of titles, then `name: rx_bytes packets errs drop fifo frame compressed multicast tx_bytes packets errs drop ...`.
fn parse(text: &str) -> HashMap<String, v1::InterfaceStats> {
    let interface = |line: &str| {
        let (name, counters) = line.split_once(':')?;
        let n: Vec<u64> = counters.split_whitespace().map_while(|c| c.parse().ok()).collect();
        let name = name.trim();
        let [rx_bytes, rx_packets, rx_errors, rx_dropped, _, _, _, _, tx_bytes, tx_packets, tx_errors, tx_dropped, ..] =
            n[..]
        else {
            return None;
        };
        let counters = v1::InterfaceStats {
            rx_bytes,
            rx_packets,
            rx_errors,
            rx_dropped,
            tx_bytes,
            tx_packets,
            tx_errors,
            tx_dropped,
        };
        (name != "lo").then(|| (name.to_owned(), counters))
    };
    text.lines().skip(2).filter_map(interface).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_interface_but_loopback() {
        let text = "Inter-|   Receive                                                |  Transmit\n \
            face |bytes    packets errs drop fifo frame compressed multicast|bytes    packets errs drop fifo colls carrier compressed\n    \
            lo:     84       1    0    0    0     0          0         0       84       1    0    0    0     0       0          0\n  \
            eth0:  876      10    1    2    0     0          0         0      126       3    4    5    0     0       0          0\n";
        let got = parse(text);
        assert_eq!(got.len(), 1);
        let eth0 = &got["eth0"];
        assert_eq!((eth0.rx_bytes, eth0.rx_packets, eth0.rx_errors, eth0.rx_dropped), (876, 10, 1, 2));
        assert_eq!((eth0.tx_bytes, eth0.tx_packets, eth0.tx_errors, eth0.tx_dropped), (126, 3, 4, 5));
    }
}
