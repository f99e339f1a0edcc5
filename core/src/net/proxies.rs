//! Reverse proxies that a server trusts, and for whom they ask.

use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::str::FromStr;

use crate::net::Headers;

/// Addresses and networks of addresses, such as `10.0.0.0/8`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Networks(Vec<Network>);

/// One network: an address and how many of its first bits count.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Network(IpAddr, u8);

impl Networks {
    /// Tells whether an address belongs to one of them.
    #[must_use]
    pub fn contains(&self, address: IpAddr) -> bool {
        let address = address.to_canonical();
        self.0.iter().any(|Network(own, bits)| head(*own, *bits) == head(address, *bits))
    }

    /// Returns who asks: `remote` itself, or whom it asks for if it is one of these. Of the addresses in
    /// `X-Forwarded-For` the last that is none of these counts: whoever that is may have written all that
    /// stands before.
    pub(crate) fn client(&self, headers: &Headers, remote: String) -> String {
        let peer = remote.parse().map(|peer: SocketAddr| peer.ip().to_canonical());
        let Some(mut client) = peer.ok().filter(|peer| self.contains(*peer)) else { return remote };
        let own = client;
        let hops: Vec<&str> =
            headers.all("x-forwarded-for").flat_map(|hops| hops.split(',')).collect();
        for hop in hops.into_iter().rev() {
            // Behind what cannot be read nobody is believed.
            let Some(address) = hop_address(hop.trim()) else { break };
            client = address;
            if !self.contains(address) {
                break;
            }
        }
        if client == own { remote } else { SocketAddr::new(client, 0).to_string() }
    }
}

impl FromIterator<String> for Networks {
    /// Takes what can be read; the rest is nobody's.
    fn from_iter<I: IntoIterator<Item = String>>(texts: I) -> Self {
        Self(texts.into_iter().filter_map(|text| text.parse().ok()).collect())
    }
}

impl fmt::Display for Networks {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, Network(address, bits)) in self.0.iter().enumerate() {
            write!(f, "{}{address}/{bits}", if index > 0 { " " } else { "" })?;
        }
        Ok(())
    }
}

impl FromStr for Network {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        let (address, bits) = text.split_once('/').map_or((text, None), |(a, b)| (a, Some(b)));
        let address: IpAddr = address.parse().map_err(|_| ())?;
        let most = if address.is_ipv4() { 32 } else { 128 };
        let bits = bits.map_or(Ok(most), |bits| bits.parse().map_err(|_| ()))?;
        if bits > most { Err(()) } else { Ok(Self(address, bits)) }
    }
}

/// Tells whether a text is an address, or a network such as `10.0.0.0/8`.
pub(crate) fn is_network(text: &str) -> bool {
    text.parse::<Network>().is_ok()
}

/// Returns the first bits of an address, and of which kind it is.
fn head(address: IpAddr, bits: u8) -> (bool, u128) {
    let (is_old, all, width) = match address {
        IpAddr::V4(address) => (true, u128::from(u32::from(address)), 32),
        IpAddr::V6(address) => (false, u128::from(address), 128),
    };
    (is_old, all.checked_shr(width - u32::from(bits).min(width)).unwrap_or(0))
}

/// Reads a hop: an address, maybe with a port, an IPv6 one maybe in brackets.
fn hop_address(hop: &str) -> Option<IpAddr> {
    let bare = hop.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')).unwrap_or(hop);
    let address = bare.parse().ok();
    address.or_else(|| hop.parse().ok().map(|hop: SocketAddr| hop.ip())).map(|ip| ip.to_canonical())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn networks(texts: &[&str]) -> Networks {
        texts.iter().map(|text| (*text).to_owned()).collect()
    }

    #[test]
    fn networks_are_read_and_compared_by_their_first_bits() {
        let own = networks(&["10.0.0.0/8", "192.0.2.7", "2001:db8::/32", "0.0.0.0/33", "x"]);
        for (address, is_own) in [
            ("10.255.0.1", true),
            ("11.0.0.1", false),
            ("192.0.2.7", true),
            ("192.0.2.8", false),
            ("::ffff:10.0.0.1", true),
            ("2001:db8:ffff::1", true),
            ("2001:db9::1", false),
            ("::a00:1", false),
        ] {
            assert_eq!(own.contains(address.parse().unwrap()), is_own, "{address}");
        }
        assert!(networks(&["0.0.0.0/0"]).contains("8.8.8.8".parse().unwrap()));
        assert!(!networks(&["0.0.0.0/0"]).contains("::1".parse().unwrap()));
        assert!(!is_network("10.0.0.0/33") && !is_network("host") && is_network("::/0"));
        assert_eq!(own.to_string(), "10.0.0.0/8 192.0.2.7/32 2001:db8::/32");
    }

    /// K3.4: only who is listed is believed, and of what it forwards the last hop that is not listed.
    #[test]
    fn the_last_hop_that_is_not_trusted_asks() {
        let own = networks(&["10.0.0.0/8"]);
        let client = |remote: &str, forwarded: &[&str]| {
            let headers = forwarded
                .iter()
                .fold(Headers::new(), |headers, hops| headers.with("x-forwarded-for", *hops));
            own.client(&headers, remote.to_owned())
        };
        assert_eq!(client("203.0.113.1:5", &["198.51.100.7"]), "203.0.113.1:5", "not listed");
        assert_eq!(client("10.0.0.1:5", &[]), "10.0.0.1:5");
        assert_eq!(client("10.0.0.1:5", &["198.51.100.7"]), "198.51.100.7:0");
        assert_eq!(client("10.0.0.1:5", &["127.0.0.1, 198.51.100.7"]), "198.51.100.7:0", "forged");
        assert_eq!(
            client("10.0.0.1:5", &["127.0.0.1", "198.51.100.7, 10.2.3.4"]),
            "198.51.100.7:0"
        );
        assert_eq!(client("10.0.0.1:5", &["198.51.100.7:81"]), "198.51.100.7:0");
        assert_eq!(client("10.0.0.1:5", &["[2001:db8::1]:81"]), "[2001:db8::1]:0");
        assert_eq!(client("10.0.0.1:5", &["2001:db8::1"]), "[2001:db8::1]:0");
        assert_eq!(client("10.0.0.1:5", &["198.51.100.7, unknown"]), "10.0.0.1:5");
        assert_eq!(client("10.0.0.1:5", &["198.51.100.7, x, 10.0.0.9"]), "10.0.0.9:0");
        assert_eq!(client("[::ffff:10.0.0.1]:5", &["198.51.100.7"]), "198.51.100.7:0");
        assert_eq!(networks(&[]).client(&Headers::new(), "1.2.3.4:5".into()), "1.2.3.4:5");
    }
}
