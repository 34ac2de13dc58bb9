//! Addresses as the configuration and proxies spell them: the public URL, networks of proxies.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// The address that clients reach the gateway by.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PublicUrl {
    /// https, else http.
    pub https: bool,
    /// Host, with the port if it is not the scheme's own.
    pub authority: String,
    /// Path before ours: empty, or with a leading and no trailing slash.
    pub prefix: String,
}

impl PublicUrl {
    /// Reads `http://host[:port][/prefix]` or the same with https; nothing else may follow.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let (https, rest) = match text.split_once("://")? {
            ("https", rest) => (true, rest),
            ("http", rest) => (false, rest),
            _ => return None,
        };
        let (authority, path) = match rest.split_once('/') {
            Some((authority, path)) => (authority, format!("/{path}")),
            None => (rest, String::new()),
        };
        let prefix = path.trim_end_matches('/').to_owned();
        (is_authority(authority) && is_prefix(&prefix)).then(|| Self {
            https,
            authority: authority.to_owned(),
            prefix,
        })
    }

    /// `http` or `https`.
    #[must_use]
    pub const fn scheme(&self) -> &'static str {
        if self.https { "https" } else { "http" }
    }
}

impl std::fmt::Display for PublicUrl {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}://{}{}", self.scheme(), self.authority, self.prefix)
    }
}

/// True for `host`, `host:port`, `[v6]`, `[v6]:port`: nothing that could change the meaning of a
/// URL it is put into.
#[must_use]
pub fn is_authority(text: &str) -> bool {
    const BYTES_MAX: usize = 253 + 6;
    let (host, port) = match text.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
        Some((v6, port)) if v6.parse::<Ipv6Addr>().is_ok() => ("v6", port.strip_prefix(':')),
        Some(_) => return false,
        None => match text.split_once(':') {
            Some((host, port)) => (host, Some(port)),
            None => (text, None),
        },
    };
    let is_host = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'-' | b'_');
    let port_fits = port.is_none_or(|port| {
        port.bytes().all(|b| b.is_ascii_digit()) && port.parse::<u16>().is_ok_and(|port| port > 0)
    });
    let tail_fits = !text.starts_with('[') || text.ends_with(']') || port.is_some();
    text.len() <= BYTES_MAX
        && !host.is_empty()
        && host.bytes().all(is_host)
        && port_fits
        && tail_fits
}

/// True for a path prefix: empty, or segments of unreserved characters, no `.` or `..` among them.
#[must_use]
pub fn is_prefix(text: &str) -> bool {
    const BYTES_MAX: usize = 256;
    let is_path = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'-' | b'_' | b'~');
    let fits = |segment: &str| {
        !segment.is_empty() && segment != "." && segment != ".." && segment.bytes().all(is_path)
    };
    text.is_empty()
        || (text.len() <= BYTES_MAX
            && text.strip_prefix('/').is_some_and(|rest| rest.split('/').all(fits)))
}

/// Peers whose forwarding headers are believed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Proxy {
    /// 127.0.0.0/8 and `::1`.
    Loopback,
    /// 10/8, 172.16/12, 192.168/16, 169.254/16, fc00::/7 and fe80::/10.
    Private,
    /// A network.
    Net {
        /// Its first address.
        address: IpAddr,
        /// How many bits all its addresses share.
        bits: u8,
    },
}

impl Proxy {
    /// Reads `loopback`, `private`, an address, or a network such as `10.1.0.0/16`.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        match text {
            "loopback" => return Some(Self::Loopback),
            "private" => return Some(Self::Private),
            _ => {}
        }
        let (address, bits) = match text.split_once('/') {
            Some((address, bits)) => (address, Some(bits)),
            None => (text, None),
        };
        let address: IpAddr = address.parse().ok()?;
        let most = if address.is_ipv4() { 32 } else { 128 };
        let bits = match bits {
            Some(bits) => bits.parse().ok().filter(|bits| *bits <= most)?,
            None => most,
        };
        Some(Self::Net { address, bits })
    }

    /// True if `address` is such a peer. An IPv4 address in IPv6's form is taken as IPv4.
    #[must_use]
    pub fn contains(self, address: IpAddr) -> bool {
        match (self, address.to_canonical()) {
            (Self::Loopback, address) => address.is_loopback(),
            (Self::Private, IpAddr::V4(v4)) => v4.is_private() || v4.is_link_local(),
            (Self::Private, IpAddr::V6(v6)) => v6.is_unique_local() || v6.is_unicast_link_local(),
            (Self::Net { address: IpAddr::V4(net), bits }, IpAddr::V4(v4)) => {
                shares(u128::from(net.to_bits()) << 96, u128::from(v4.to_bits()) << 96, bits)
            }
            (Self::Net { address: IpAddr::V6(net), bits }, IpAddr::V6(v6)) => {
                shares(net.to_bits(), v6.to_bits(), bits)
            }
            (Self::Net { .. }, _) => false,
        }
    }
}

const fn shares(left: u128, right: u128, bits: u8) -> bool {
    bits == 0 || (left ^ right) >> (128 - bits) == 0
}

impl std::fmt::Display for Proxy {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Loopback => f.write_str("loopback"),
            Self::Private => f.write_str("private"),
            Self::Net { address, bits } => write!(f, "{address}/{bits}"),
        }
    }
}

/// Where `localhost` is.
pub(super) const LOCALHOST: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn public_urls_are_read_whole_or_not_at_all() {
        let url = PublicUrl::parse("https://events.example.com/track/").unwrap();
        assert_eq!((url.https, url.prefix.as_str()), (true, "/track"));
        assert_eq!(url.to_string(), "https://events.example.com/track");
        for text in ["http://localhost:8080", "http://[::1]:8080", "https://a.b/c/d"] {
            assert_eq!(PublicUrl::parse(text).unwrap().to_string(), text);
        }
        for text in [
            "",
            "ftp://a",
            "a.example",
            "http://",
            "http://a b",
            "http://u@a",
            "http://a?q",
            "http://a/#f",
            "http://a:0",
            "http://a:99999",
            "http://a/../b",
            "http://a//b",
            "http://[::1",
            "http://a:+80",
        ] {
            assert_eq!(PublicUrl::parse(text), None, "{text}");
        }
    }

    #[test]
    fn proxies_contain_their_addresses() {
        for (proxy, inside, outside) in [
            ("loopback", "127.3.2.1", "128.0.0.1"),
            ("loopback", "::1", "::2"),
            ("private", "172.31.255.1", "172.32.0.1"),
            ("private", "fd00::1", "2001:db8::1"),
            ("10.1.0.0/16", "10.1.255.9", "10.2.0.0"),
            ("10.1.0.0/16", "::ffff:10.1.2.3", "::1"),
            ("192.0.2.7", "192.0.2.7", "192.0.2.8"),
            ("2001:db8::/32", "2001:db8:1::9", "2001:db9::"),
        ] {
            let proxy = Proxy::parse(proxy).unwrap();
            assert!(proxy.contains(inside.parse().unwrap()), "{proxy} {inside}");
            assert!(!proxy.contains(outside.parse().unwrap()), "{proxy} {outside}");
        }
        assert!(Proxy::parse("0.0.0.0/0").unwrap().contains(LOCALHOST));
        for text in ["", "all", "10.0.0.0/33", "10.0.0.0/x", "::/129"] {
            assert_eq!(Proxy::parse(text), None, "{text}");
        }
    }
}
