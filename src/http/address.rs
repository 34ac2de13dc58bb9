//! Who the client is and by which address it reaches us, behind trusted proxies.

use std::net::{IpAddr, SocketAddr};

use axum::http::header::HOST;
use axum::http::request::Parts;

use super::server::Peer;
use crate::config::{self, Proxy, PublicUrl, is_authority, is_prefix};

/// The client's address: the peer's, or, where that is a trusted proxy, the last address of
/// `X-Forwarded-For` that is not one. An entry that is no address ends the walk.
pub(super) fn client(head: &Parts, peer: IpAddr, trusted: &[Proxy]) -> IpAddr {
    let is_trusted = |address: IpAddr| trusted.iter().any(|proxy| proxy.contains(address));
    let mut client = peer.to_canonical();
    if !is_trusted(client) {
        return client;
    }
    let lists: Vec<_> = head.headers.get_all("x-forwarded-for").iter().collect();
    // Of a list that a client began with what is no text, the proxy's own entry is still one.
    let entries = lists.iter().rev().flat_map(|list| list.as_bytes().rsplit(|byte| *byte == b','));
    for entry in entries {
        let entry = std::str::from_utf8(entry.trim_ascii()).ok();
        let Some(address) = entry.and_then(address_of) else { break };
        client = address.to_canonical();
        if !is_trusted(client) {
            break;
        }
    }
    client
}

/// An address with or without port, as proxies write it.
fn address_of(text: &str) -> Option<IpAddr> {
    let bare = text.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')).unwrap_or(text);
    bare.parse().ok().or_else(|| text.parse::<SocketAddr>().ok().map(|socket| socket.ip()))
}

/// The address that configuration calls hand out: the configured one, else as the request reached
/// us. Headers that are no plain host, scheme or path are not repeated.
pub(super) fn public(head: &Parts, peer: Peer, options: &config::Http) -> PublicUrl {
    if let Some(url) = &options.public_url {
        return url.clone();
    }
    let trusted = options.trusted_proxies.iter().any(|proxy| proxy.contains(peer.ip));
    let header = |name: &str| head.headers.get(name).and_then(|value| value.to_str().ok());
    let forwarded = |name: &str| {
        let value = header(name).filter(|_| trusted)?;
        value.split(',').next().map(str::trim)
    };
    let host = forwarded("x-forwarded-host")
        .filter(|host| is_authority(host))
        .or_else(|| head.uri.authority().map(|authority| authority.as_str()))
        .or_else(|| header(HOST.as_str()))
        .filter(|host| is_authority(host));
    let https = match forwarded("x-forwarded-proto") {
        Some(scheme) if scheme.eq_ignore_ascii_case("https") => true,
        Some(scheme) if scheme.eq_ignore_ascii_case("http") => false,
        _ => peer.tls,
    };
    let prefix = forwarded("x-forwarded-prefix").unwrap_or_default().trim_end_matches('/');
    PublicUrl {
        https,
        authority: host.map_or_else(|| options.listen.to_string(), str::to_owned),
        prefix: if is_prefix(prefix) { prefix.to_owned() } else { String::new() },
    }
}

#[cfg(test)]
mod tests {
    use axum::http::Request;

    use super::*;

    fn head(headers: &[(&str, &str)]) -> Parts {
        let mut request = Request::builder().uri("/sourceConfig");
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        request.body(()).unwrap().into_parts().0
    }

    #[test]
    fn forwarded_addresses_are_walked_from_the_right_past_trusted_ones() {
        let trusted = [Proxy::Loopback, Proxy::Private];
        for (peer, forwarded, expected) in [
            ("10.0.0.1", &["\u{ff}, 198.51.100.1"][..], "198.51.100.1"),
            ("203.0.113.9", &["198.51.100.1"], "203.0.113.9"),
            ("10.0.0.1", &[], "10.0.0.1"),
            ("10.0.0.1", &["198.51.100.1"], "198.51.100.1"),
            ("10.0.0.1", &["1.1.1.1, 198.51.100.1, 10.0.0.2"], "198.51.100.1"),
            ("10.0.0.1", &["1.1.1.1", "198.51.100.1,192.168.1.1"], "198.51.100.1"),
            ("10.0.0.1", &["10.9.9.9, 10.0.0.2"], "10.9.9.9"),
            ("10.0.0.1", &["198.51.100.1, unknown, 10.0.0.2"], "10.0.0.2"),
            ("::ffff:10.0.0.1", &["198.51.100.1:4711"], "198.51.100.1"),
            ("::1", &["[2001:db8::7]:443"], "2001:db8::7"),
            ("::1", &["[2001:db8::7]"], "2001:db8::7"),
        ] {
            let headers: Vec<_> = forwarded.iter().map(|v| ("x-forwarded-for", *v)).collect();
            let client = client(&head(&headers), peer.parse().unwrap(), &trusted);
            assert_eq!(client.to_string(), expected, "{peer} {forwarded:?}");
        }
    }

    #[test]
    fn the_public_address_is_configured_or_as_the_request_came() {
        let parse = |text: &str| {
            config::parse(text, "k.toml".as_ref(), &config::Environment::new()).unwrap().http
        };
        let options = parse("");
        let proxied = [
            ("host", "internal:8080"),
            ("x-forwarded-host", "events.example.com, x"),
            ("x-forwarded-proto", "https"),
            ("x-forwarded-prefix", "/track/"),
        ];
        let hostile = [
            ("host", "a.example"),
            ("x-forwarded-host", "evil.example/\"><script>"),
            ("x-forwarded-proto", "javascript"),
            ("x-forwarded-prefix", "//evil.example"),
        ];
        for (headers, peer, tls, expected) in [
            (&proxied[..], "127.0.0.1", false, "https://events.example.com/track"),
            (&proxied, "203.0.113.9", false, "http://internal:8080"),
            (&hostile, "127.0.0.1", true, "https://a.example"),
            (&[], "127.0.0.1", false, "http://0.0.0.0:8080"),
        ] {
            let peer = Peer { ip: peer.parse().unwrap(), tls, lane: 0 };
            assert_eq!(public(&head(headers), peer, &options).to_string(), expected);
        }
        let options = parse("[http]\npublic_url = \"https://e.example/x\"");
        let peer = Peer { ip: "127.0.0.1".parse().unwrap(), tls: false, lane: 0 };
        assert_eq!(public(&head(&proxied), peer, &options).to_string(), "https://e.example/x");
    }
}
