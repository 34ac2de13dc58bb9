//! Addresses of the network: IPv4, IPv6, MAC.

use std::net::{Ipv4Addr, Ipv6Addr};

use super::class::is_alnum;
use super::number::Groups;
use super::words;

/// Words before a number of four parts that make it a version or a place in a document.
const VERSION: [&str; 29] = [
    "version",
    "versions",
    "ver",
    "release",
    "build",
    "firmware",
    "upgrade",
    "upgraded",
    "update",
    "updated",
    "sdk",
    "plugin",
    "rev",
    "revision",
    "driver",
    "kernel",
    "section",
    "chapter",
    "clause",
    "paragraph",
    "figure",
    "table",
    "semver",
    "tag",
    "bios",
    "versione",
    "versie",
    "wersja",
    "verze",
];

/// Products whose version stands directly behind their name.
const PRODUCTS: [&str; 30] = [
    "chrome",
    "chromium",
    "firefox",
    "edge",
    "safari",
    "opera",
    "webkit",
    "electron",
    "windows",
    "android",
    "ios",
    "macos",
    "linux",
    "ubuntu",
    "node",
    "python",
    "java",
    "nginx",
    "mattermost",
    "openssl",
    "tomcat",
    "php",
    "ruby",
    "os",
    "office",
    "acrobat",
    "msie",
    "rfc",
    // `?v=1.2.3.4`, and Gecko's `rv:1.9.2.20`
    "v",
    "rv",
];
/// Words for a version that have letters beyond ASCII, as they stand directly before it.
const VERSION_ABROAD: [&str; 12] = [
    "versión",
    "Versión",
    "versão",
    "Versão",
    "версия",
    "Версия",
    "версии",
    "sürüm",
    "Sürüm",
    "版本",
    "バージョン",
    "버전",
];
/// Words that may stand between such a name and its number.
const BETWEEN: [&str; 6] = ["to", "is", "was", "of", "than", "now"];
/// Words that name an address, whatever is told of versions before them.
const HOSTS: [&str; 7] = ["host", "ip", "address", "addr", "peer", "connect", "connected"];

fn one_of(word: &str, list: &[&str]) -> bool {
    list.iter().any(|known| word.eq_ignore_ascii_case(known))
}

/// True if the parts are as small as those of versions are: all but one of them, or the first two,
/// or the second is zero as in most browsers' versions. One address in five has parts like that.
fn is_versionlike([major, minor, build, patch]: [u8; 4]) -> bool {
    let large = [major, minor, build, patch].iter().filter(|&&part| part >= 100).count();
    large <= 1 || minor == 0 || major < 50 && minor < 50
}

/// True if the number of four parts at `start`, which are as those of versions, is one: the word
/// before it says so, or one of the words before it does.
fn is_version(text: &str, start: usize, octets: [u8; 4]) -> bool {
    let before = words::before(text, start);
    let mut last = before.rsplit(|ch: char| !ch.is_ascii_alphabetic()).filter(|w| !w.is_empty());
    let named = last.find(|word| !one_of(word, &BETWEEN)).unwrap_or_default();
    VERSION.iter().any(|known| words::ends_with(named, known))
        || one_of(named, &PRODUCTS)
        || before.trim_end().ends_with(".NET")
        || !before.is_ascii() && is_version_abroad(before)
        || octets[0] < 100 && !one_of(named, &HOSTS) && words::precede(text, start, &VERSION)
}

/// True if `before` ends with such a word, and not with one like `conversión`.
fn is_version_abroad(before: &str) -> bool {
    let word = before.trim_end_matches([' ', ':', '\u{FF1A}', '=']);
    let ahead = VERSION_ABROAD.iter().filter_map(|known| Some((*known, word.strip_suffix(known)?)));
    ahead.into_iter().any(|(known, ahead)| {
        known.starts_with(words::is_unspaced) || !ahead.ends_with(char::is_alphabetic)
    })
}

/// True for what no machine of a person has: nothing, loopback as resolvers and containers use it
/// (`127.0.0.53`), a network's mask, broadcast.
fn is_nobodys(octets: [u8; 4]) -> bool {
    matches!(octets, [0, 0, 0, 0] | [127, 0, ..] | [255, ..])
}

/// True if the slash before `start` parts a product from its version, as in `Chrome/1.2.3.4`, and no
/// folder from an address, as in `/lookup/1.2.3.4`: a folder in lower case that is no known product
/// has a version below it only if all parts are small.
fn is_of_product(text: &str, start: usize, octets: [u8; 4]) -> bool {
    let head = text.get(..start - 1).unwrap_or_default();
    let name = head
        .get(head.rfind(|ch: char| !ch.is_ascii_alphanumeric()).map_or(0, |at| at + 1)..)
        .unwrap_or_default();
    let folder = matches!(head.as_bytes().get(..head.len() - name.len()), Some([.., b'/' | b'.']));
    !folder
        || name.starts_with(|ch: char| ch.is_ascii_uppercase())
        || one_of(name, &PRODUCTS)
        || one_of(name, &VERSION)
        || octets.iter().all(|&part| part < 100)
}

/// An IPv4 address from the first group on: where it ends. Versions of four parts and what is
/// nobody's are left alone.
pub(super) fn ipv4(text: &str, groups: &Groups) -> Option<usize> {
    let bytes = text.as_bytes();
    let dotted = groups.count >= 4 && groups.gaps[..3].iter().all(|&gap| gap == b'.');
    if !dotted || (groups.count > 4 && groups.gaps[3] == b'.') {
        return None;
    }
    let (start, end) = (groups.spans[0].0, groups.end(4));
    let address: Ipv4Addr = text.get(start..end)?.parse().ok()?;
    let octets = address.octets();
    if is_nobodys(octets) {
        return None;
    }
    let before = |back: usize| start.checked_sub(back).map_or(0, |at| bytes[at]);
    // `1.2.3.4.5` has five parts.
    if before(1) == b'.' && before(2).is_ascii_digit() {
        return None;
    }
    if !is_versionlike(octets) {
        return Some(end);
    }
    let part_of_more = matches!(before(1), b'.' | b'-' | b'_') && is_alnum(before(2));
    let suffix = matches!(bytes.get(end), Some(b'-' | b'+' | b'_'))
        && bytes.get(end + 1).is_some_and(u8::is_ascii_alphabetic);
    // `localhost/1.2.3.4:80` and `//1.2.3.4` name a host.
    let product = before(1) == b'/'
        && is_alnum(before(2))
        && bytes.get(end) != Some(&b':')
        && is_of_product(text, start, octets);
    (!part_of_more && !suffix && !product && !is_version(text, start, octets)).then_some(end)
}

/// Bytes that are looked at for an IPv6 address: the longest, and one behind it.
pub(super) const IPV6_WINDOW: usize = 46;

/// An IPv6 address at `at`, where a hexadecimal digit or `::` stands: where it ends.
pub(super) fn ipv6(text: &str, at: usize) -> Option<usize> {
    let bytes = text.as_bytes();
    let rest = bytes.get(at..)?;
    let len = rest
        .iter()
        .take(IPV6_WINDOW)
        .position(|byte| !byte.is_ascii_hexdigit() && !matches!(byte, b':' | b'.'))
        .unwrap_or_else(|| rest.len().min(IPV6_WINDOW));
    let mut end = at + len;
    while end > at
        && (bytes[end - 1] == b'.'
            || bytes[..end].ends_with(b":") && !bytes[..end].ends_with(b"::"))
    {
        end -= 1;
    }
    let run = text.get(at..end)?;
    let colons = run.bytes().filter(|&byte| byte == b':').count();
    let compressed = run.contains("::");
    if colons < 2 || (!compressed && colons < 6) || bytes.get(end).is_some_and(|&b| is_alnum(b)) {
        return None;
    }
    let address: Ipv6Addr = run.parse().ok()?;
    let groups = run.split(':').filter(|group| !group.is_empty()).count();
    let digits = run.bytes().filter(u8::is_ascii_hexdigit).count();
    // `abc::def` is a path in C++ and Rust as well; real ones have a digit and more to them.
    let likely =
        !compressed || groups >= 2 && digits >= 5 && run.bytes().any(|byte| byte.is_ascii_digit());
    (likely && !is_fingerprint(run) && !address.is_unspecified() && !address.is_loopback())
        .then_some(end)
}

/// Eight pairs are the beginning of a key's fingerprint, but for those of a hardware address of 64
/// bits that was made from one of 48.
fn is_fingerprint(run: &str) -> bool {
    run.split(':').all(|group| group.len() == 2)
        && !run.get(9..14).is_some_and(|middle| middle.eq_ignore_ascii_case("ff:fe"))
}

/// A hardware address at `at`: six pairs with one separator, or Cisco's three groups of four.
pub(super) fn mac(bytes: &[u8], at: usize) -> Option<usize> {
    pairs(bytes, at).or_else(|| cisco(bytes, at))
}

fn pairs(bytes: &[u8], at: usize) -> Option<usize> {
    let run = bytes.get(at..at + 17)?;
    let gap = run[2];
    if !matches!(gap, b':' | b'-') {
        return None;
    }
    let shaped = run.iter().enumerate().all(|(n, byte)| match n % 3 {
        2 => *byte == gap,
        _ => byte.is_ascii_hexdigit(),
    });
    // One pair more on either side makes it a fingerprint; `mac:` before it and `:443` behind do not.
    let goes_on = bytes.get(at + 17) == Some(&gap) && hex_group(bytes, at + 18) == 2;
    let began_before = at > 1 && bytes[at - 1] == gap && hex_group_before(bytes, at - 1) == 2;
    let ended = bytes.get(at + 17).is_none_or(|&byte| !is_alnum(byte));
    (shaped && ended && !goes_on && !began_before && !is_blank(run)).then_some(at + 17)
}

/// The hexadecimal digits of the word that starts at `at`, up to five; 0 if it has other letters.
fn hex_group(bytes: &[u8], at: usize) -> usize {
    hex_digits(bytes.get(at..).unwrap_or_default().iter())
}

/// The same for the word that ends before `end`.
pub(super) fn hex_group_before(bytes: &[u8], end: usize) -> usize {
    hex_digits(bytes.get(..end).unwrap_or_default().iter().rev())
}

fn hex_digits<'b>(word: impl Iterator<Item = &'b u8>) -> usize {
    let word = word.take(5).take_while(|&&byte| is_alnum(byte));
    let (count, all) =
        word.fold((0, true), |(count, all), byte| (count + 1, all && byte.is_ascii_hexdigit()));
    if all { count } else { 0 }
}

fn cisco(bytes: &[u8], at: usize) -> Option<usize> {
    let run = bytes.get(at..at + 14)?;
    let shaped = run.iter().enumerate().all(|(n, byte)| match n {
        4 | 9 => *byte == b'.',
        _ => byte.is_ascii_hexdigit(),
    });
    let letters = run.iter().any(u8::is_ascii_alphabetic);
    let began_before = at > 0 && bytes[at - 1] == b'.';
    let goes_on = match bytes.get(at + 14) {
        Some(b'.') => bytes.get(at + 15).is_some_and(|&byte| is_alnum(byte)),
        next => next.is_some_and(|&byte| is_alnum(byte)),
    };
    (shaped && letters && !began_before && !goes_on && !is_blank(run)).then_some(at + 14)
}

/// A hardware address in one piece, 12 hexadecimal digits, where a word before it says so.
pub(super) fn bare_mac(text: &str, start: usize, end: usize) -> bool {
    let run = text.as_bytes().get(start..end).unwrap_or_default();
    run.len() == 12
        && run.iter().all(u8::is_ascii_hexdigit)
        && !is_blank(run)
        && words::precede(text, start, &["mac", "bssid", "hwaddr", "ether"])
}

/// All zeros or all ones: no device has them.
fn is_blank(run: &[u8]) -> bool {
    let mut digits = run.iter().filter(|byte| byte.is_ascii_hexdigit());
    let first = digits.next().copied().unwrap_or_default();
    matches!(first, b'0' | b'f' | b'F') && digits.all(|&byte| byte == first)
}

/// `address` cut to its network: /24 for IPv4, /48 for IPv6. `None` if it is no address, or if what is
/// left does not look like one to the next who looks, as `fe80::` does not.
pub(in crate::transform) fn truncated_ip(address: &str) -> Option<std::net::IpAddr> {
    match address.parse().ok()? {
        std::net::IpAddr::V4(v4) => {
            let [a, b, c, _] = v4.octets();
            Some(Ipv4Addr::new(a, b, c, 0).into())
        }
        std::net::IpAddr::V6(v6) => {
            // An IPv4 address in IPv6's clothes is cut as what it is.
            if let Some(v4) = v6.to_ipv4_mapped() {
                let [a, b, c, _] = v4.octets();
                return Some(Ipv4Addr::new(a, b, c, 0).to_ipv6_mapped().into());
            }
            let [a, b, c, ..] = v6.segments();
            let network = Ipv6Addr::new(a, b, c, 0, 0, 0, 0, 0);
            ipv6(&network.to_string(), 0).map(|_| network.into())
        }
    }
}
