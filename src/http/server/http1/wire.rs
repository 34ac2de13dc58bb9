//! The head of an HTTP/1 request: where it ends, what it says, and how its body is framed.
//!
//! Pure: bytes go in, a [`Head`] or the reason against it comes out. What two programs could read in
//! two ways is refused, also where RFC 9112 leaves a choice: a proxy in front and we must see the
//! same requests. `http1` waits for the bytes and answers.

use std::mem::MaybeUninit;

use axum::http::{HeaderMap, HeaderName, HeaderValue, Method, Uri};
use bytes::{Buf, Bytes, BytesMut};

/// Largest head in bytes, from the method to the empty line; beacons carry cookies.
pub const HEAD_BYTES_MAX: usize = 64 << 10;
/// Most header lines of a request: browsers send some thirty.
const HEADERS_MAX: usize = 100;

/// Most empty lines before a head.
const EMPTY_LINES_MAX: usize = 16;

/// The head of a request.
#[derive(Debug)]
pub struct Head {
    /// Its method.
    pub method: Method,
    /// Where it goes.
    pub uri: Uri,
    /// It speaks HTTP/1.1, not 1.0.
    pub is_11: bool,
    /// Its headers, those that were asked for; `Content-Length` is there once at most.
    pub headers: HeaderMap,
    /// How its body is framed.
    pub framing: Framing,
    /// Another request may follow on the connection.
    pub keep_alive: bool,
    /// The client waits for `100 Continue` before it sends the body.
    pub expects_continue: bool,
}

/// Which headers of a request its handler looks at. A browser sends fifteen of them, and to keep one
/// takes as long as to read it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Headers {
    /// Whatever comes.
    All,
    /// Those of these names, in lower case; others are checked and left out.
    Only(&'static [&'static str]),
}

impl Headers {
    fn have(self, name: &str) -> bool {
        match self {
            Self::All => true,
            Self::Only(names) => names.iter().any(|known| name.eq_ignore_ascii_case(known)),
        }
    }
}

/// How the body of a request is framed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Framing {
    /// By its length in bytes; zero where the head says nothing.
    Length(u64),
    /// In chunks that carry their lengths.
    Chunked,
}

/// Why a head is refused; the connection cannot go on after any of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// It is not HTTP/1, or could be read in two ways.
    #[error("the request's head is malformed")]
    Malformed,
    /// It has too many bytes or lines.
    #[error("the request's head is too large")]
    TooLarge,
}

impl Error {
    /// The reason as counts tell it.
    pub(super) const fn label(self) -> &'static str {
        match self {
            Self::Malformed => "malformed_head",
            Self::TooLarge => "head_too_large",
        }
    }
}

/// Finds heads in what a connection received.
#[derive(Debug, Default)]
pub struct Heads {
    /// Bytes at the front of the buffer in which no head ends.
    scanned: usize,
    /// Empty lines before the head.
    empty_lines: usize,
}

impl Heads {
    /// Takes the next head from the front of `buffer`; `None` where more bytes are needed for it.
    /// `asks` says by method and path which headers are wanted.
    ///
    /// # Errors
    /// [`Error`]; nothing after such a head may be read.
    pub fn take(
        &mut self,
        buffer: &mut BytesMut,
        asks: impl Fn(&Method, &str) -> Headers,
    ) -> Result<Option<Head>, Error> {
        // Some clients end a body with a line more than it has.
        while buffer.starts_with(b"\r\n") {
            buffer.advance(2);
            self.scanned = 0;
            self.empty_lines += 1;
            if self.empty_lines > EMPTY_LINES_MAX {
                return Err(Error::Malformed);
            }
        }
        if buffer.is_empty() {
            return Ok(None);
        }
        let is_new = self.scanned == 0;
        match self.end(buffer)? {
            Some(end) if end > HEAD_BYTES_MAX => Err(Error::TooLarge),
            Some(end) => {
                *self = Self::default();
                parse(&buffer.split_to(end).freeze(), asks).map(Some)
            }
            None if buffer.len() >= HEAD_BYTES_MAX => Err(Error::TooLarge),
            None if is_new => begins_well(buffer).map(|()| None),
            None => Ok(None),
        }
    }

    /// Where the head ends. Lines end with CR LF, and so must each line feed.
    fn end(&mut self, buffer: &[u8]) -> Result<Option<usize>, Error> {
        let unseen = buffer.get(self.scanned..).unwrap_or_default();
        for at in memchr::memchr_iter(b'\n', unseen) {
            let end = self.scanned + at + 1;
            let line = buffer.get(..end).unwrap_or_default();
            if !line.ends_with(b"\r\n") {
                return Err(Error::Malformed);
            }
            if line.ends_with(b"\r\n\r\n") {
                return Ok(Some(end));
            }
        }
        self.scanned = buffer.len();
        Ok(None)
    }
}

/// Looks at the first bytes of a head, so that what is no HTTP at all is not waited for.
fn begins_well(part: &[u8]) -> Result<(), Error> {
    let mut lines = [const { MaybeUninit::uninit() }; HEADERS_MAX];
    let mut request = httparse::Request::new(&mut []);
    request.parse_with_uninit_headers(part, &mut lines).map(|_| ()).map_err(error)
}

const fn error(error: httparse::Error) -> Error {
    match error {
        httparse::Error::TooManyHeaders => Error::TooLarge,
        _ => Error::Malformed,
    }
}

fn parse(bytes: &Bytes, asks: impl Fn(&Method, &str) -> Headers) -> Result<Head, Error> {
    let mut lines = [const { MaybeUninit::uninit() }; HEADERS_MAX];
    let mut request = httparse::Request::new(&mut []);
    let parsed = request.parse_with_uninit_headers(bytes, &mut lines).map_err(error)?;
    let (Some(method), Some(path), Some(version)) = (request.method, request.path, request.version)
    else {
        return Err(Error::Malformed);
    };
    if parsed != httparse::Status::Complete(bytes.len()) {
        return Err(Error::Malformed);
    }
    let method = Method::from_bytes(method.as_bytes()).map_err(|_| Error::Malformed)?;
    let path = bytes.slice_ref(path.as_bytes());
    let uri = Uri::from_maybe_shared(path).map_err(|_| Error::Malformed)?;
    let wanted = asks(&method, uri.path());
    let mut headers = HeaderMap::new();
    let mut said = Said::default();
    for line in request.headers.iter() {
        if said.note(line.name, line.value)? && wanted.have(line.name) {
            let name = HeaderName::from_bytes(line.name.as_bytes());
            let value = HeaderValue::from_maybe_shared(bytes.slice_ref(line.value));
            let (Ok(name), Ok(value)) = (name, value) else { return Err(Error::Malformed) };
            headers.append(name, value);
        }
    }
    let is_11 = version == 1;
    let framing = said.framing(is_11)?;
    // What follows an answer to CONNECT is no request.
    let keep_alive = !said.close && (is_11 || said.keep_alive) && method != Method::CONNECT;
    let expects_continue = is_11 && said.expects_continue;
    Ok(Head { method, uri, is_11, headers, framing, keep_alive, expects_continue })
}

/// What the headers say about the connection and the body.
#[derive(Debug, Default)]
struct Said {
    length: Option<u64>,
    chunked: bool,
    host: bool,
    close: bool,
    keep_alive: bool,
    expects_continue: bool,
}

impl Said {
    /// Notes a header; false for one that says again what was said.
    fn note(&mut self, name: &str, value: &[u8]) -> Result<bool, Error> {
        let is = |known: &str| name.eq_ignore_ascii_case(known);
        if is("content-length") {
            let length = digits(value).ok_or(Error::Malformed)?;
            let before = self.length.replace(length);
            if before.is_some_and(|before| before != length) {
                return Err(Error::Malformed);
            }
            return Ok(before.is_none());
        }
        if is("transfer-encoding") {
            // No other coding is known here; said twice, it would be coded twice.
            if self.chunked || !value.eq_ignore_ascii_case(b"chunked") {
                return Err(Error::Malformed);
            }
            self.chunked = true;
        } else if is("host") {
            if self.host {
                return Err(Error::Malformed);
            }
            self.host = true;
        } else if is("connection") {
            self.close |= has(value, b"close");
            self.keep_alive |= has(value, b"keep-alive");
        } else if is("expect") {
            self.expects_continue |= value.eq_ignore_ascii_case(b"100-continue");
        }
        Ok(true)
    }

    const fn framing(&self, is_11: bool) -> Result<Framing, Error> {
        match (self.chunked, self.length) {
            // HTTP/1.0 knows no chunks, and a length beside them is how requests are smuggled.
            (true, None) if is_11 => Ok(Framing::Chunked),
            (true, _) => Err(Error::Malformed),
            (false, Some(length)) => Ok(Framing::Length(length)),
            (false, None) => Ok(Framing::Length(0)),
        }
    }
}

/// A number of nothing but digits.
fn digits(text: &[u8]) -> Option<u64> {
    let add = |number: u64, digit: &u8| {
        let digit = digit.is_ascii_digit().then(|| u64::from(digit - b'0'))?;
        number.checked_mul(10)?.checked_add(digit)
    };
    if text.is_empty() { None } else { text.iter().try_fold(0, add) }
}

/// Whether a list of tokens has one.
fn has(list: &[u8], token: &[u8]) -> bool {
    list.split(|byte| *byte == b',').any(|one| one.trim_ascii().eq_ignore_ascii_case(token))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn take(bytes: &str) -> Result<Option<Head>, Error> {
        Heads::default().take(&mut BytesMut::from(bytes), |_, _| Headers::All)
    }

    fn framing(lines: &str) -> Result<Framing, Error> {
        take(&format!("POST / HTTP/1.1\r\nhost: x\r\n{lines}\r\n\r\n"))
            .map(|head| head.unwrap().framing)
    }

    #[test]
    fn what_could_be_read_in_two_ways_is_refused() {
        for lines in [
            "content-length: 1\r\ncontent-length: 2",
            "content-length: 1, 1",
            "content-length: 1 1",
            "content-length: +1",
            "content-length: -1",
            "content-length: 0x1",
            "content-length:",
            "content-length: 99999999999999999999",
            "content-length: 1\r\ntransfer-encoding: chunked",
            "transfer-encoding: chunked\r\ncontent-length: 1",
            "transfer-encoding: chunked\r\ntransfer-encoding: chunked",
            "transfer-encoding: gzip, chunked",
            "transfer-encoding: chunked, identity",
            "transfer-encoding: identity",
            "transfer-encoding: \"chunked\"",
            "transfer-encoding: chunked;q=1",
            "transfer-encoding:",
            "transfer-encoding: xchunked",
            "transfer-encoding: \u{b}chunked",
            "transfer-encoding : chunked",
            "content-length : 1",
            " content-length: 1",
            "a: b\r\n folded",
            "a: b\r\n\tfolded",
            "content-length:\r\n 1",
            "a: b\rtransfer-encoding: chunked",
            "a: b\ntransfer-encoding: chunked",
            "a: b\0",
            ": b",
            "a",
            "a b: c",
            "a\tb: c",
            "a(b): c",
            "h\u{f6}: c",
            "host: y",
        ] {
            assert_eq!(framing(lines).unwrap_err(), Error::Malformed, "{lines:?}");
        }
    }

    #[test]
    fn framing_is_read_as_the_standard_says() {
        for (lines, expected) in [
            ("a: b", Framing::Length(0)),
            ("content-length: 0", Framing::Length(0)),
            ("Content-LENGTH:7\t ", Framing::Length(7)),
            ("content-length: 007\r\ncontent-length: 7", Framing::Length(7)),
            ("content-length: 18446744073709551615", Framing::Length(u64::MAX)),
            ("Transfer-Encoding: Chunked", Framing::Chunked),
        ] {
            assert_eq!(framing(lines), Ok(expected), "{lines:?}");
        }
        let twice = "POST / HTTP/1.1\r\ncontent-length: 7\r\ncontent-length: 7\r\n\r\n";
        let headers = take(twice).unwrap().unwrap().headers;
        assert_eq!(headers.get_all("content-length").iter().count(), 1);
    }

    #[test]
    fn headers_that_nobody_asks_for_are_checked_and_left_out() {
        let take = |lines: &str| {
            let head = format!("POST /a?b HTTP/1.1\r\n{lines}\r\n\r\n");
            let asks = |method: &Method, path: &str| {
                assert_eq!((method, path), (&Method::POST, "/a"));
                Headers::Only(&["origin", "content-length"])
            };
            Heads::default().take(&mut BytesMut::from(head.as_str()), asks)
        };
        let head = take("Accept: */*\r\nOrigin: a\r\nContent-Length: 3\r\norigin: b").unwrap();
        let head = head.unwrap();
        let all: Vec<_> = head
            .headers
            .iter()
            .map(|(name, value)| (name.as_str(), value.to_str().unwrap()))
            .collect();
        assert_eq!(all, [("origin", "a"), ("origin", "b"), ("content-length", "3")]);
        assert_eq!(head.framing, Framing::Length(3));
        let head = take("transfer-encoding: chunked\r\nconnection: close").unwrap().unwrap();
        assert_eq!((head.framing, head.keep_alive), (Framing::Chunked, false));
        assert!(head.headers.is_empty());
        for wrong in ["accept : x", "accept: a\0", "host: a\r\nhost: b", "transfer-encoding: gzip"]
        {
            assert_eq!(take(wrong).unwrap_err(), Error::Malformed, "{wrong:?}");
        }
    }

    #[test]
    fn request_lines_are_read_strictly() {
        for line in [
            "GET",
            "GET /",
            "GET / HTTP/1.2",
            "GET / HTTP/0.9",
            "GET / HTTP/2.0",
            "GET / http/1.1",
            "GET  / HTTP/1.1",
            "GET /  HTTP/1.1",
            "GET\t/ HTTP/1.1",
            "GET / HTTP/1.1 ",
            " GET / HTTP/1.1",
            "G(T / HTTP/1.1",
            "GET /\u{7f} HTTP/1.1",
            "GET /a b HTTP/1.1",
            "GET http:// HTTP/1.1",
            "\u{16}\u{3}\u{1}",
        ] {
            let head = format!("{line}\r\nhost: x\r\n\r\n");
            assert_eq!(take(&head).unwrap_err(), Error::Malformed, "{line:?}");
        }
        for (line, method, uri) in [
            ("GET / HTTP/1.1", "GET", "/"),
            ("POST /v1/track?a=b HTTP/1.1", "POST", "/v1/track?a=b"),
            ("ODD * HTTP/1.1", "ODD", "*"),
            ("GET http://a.example/b HTTP/1.1", "GET", "http://a.example/b"),
            ("\r\n\r\nGET / HTTP/1.0", "GET", "/"),
        ] {
            let head = take(&format!("{line}\r\n\r\n")).unwrap().unwrap();
            assert_eq!((head.method.as_str(), head.uri.to_string().as_str()), (method, uri));
        }
    }

    #[test]
    fn what_is_no_http_is_not_waited_for() {
        for start in ["\u{16}\u{3}\u{1}\u{2}", "GET /\r\n", "A\n", "\n", "GET / HTTP/1.1\r\na : b"]
        {
            assert_eq!(take(start).unwrap_err(), Error::Malformed, "{start:?}");
        }
        for start in ["", "\r", "\r\n", "GE", "GET / HTTP/1.1\r\n", "GET / HTTP/1.1\r\na: b\r\n\r"]
        {
            assert!(take(start).unwrap().is_none(), "{start:?}");
        }
        // A line feed alone is one in later bytes, too.
        let (mut heads, mut buffer) = (Heads::default(), BytesMut::from("GET / HTTP/1.1\r\na: b"));
        assert!(heads.take(&mut buffer, |_, _| Headers::All).unwrap().is_none());
        buffer.extend_from_slice(b"\n");
        assert_eq!(heads.take(&mut buffer, |_, _| Headers::All).unwrap_err(), Error::Malformed);
    }

    #[test]
    fn connections_stay_or_close_as_both_sides_know_it() {
        for (head, keep_alive, expects) in [
            ("GET / HTTP/1.1", true, false),
            ("GET / HTTP/1.1\r\nconnection: close", false, false),
            ("GET / HTTP/1.1\r\nconnection: a, Close", false, false),
            ("GET / HTTP/1.1\r\nconnection: close\r\nconnection: keep-alive", false, false),
            ("GET / HTTP/1.0", false, false),
            ("GET / HTTP/1.0\r\nconnection: Keep-Alive", true, false),
            ("GET / HTTP/1.0\r\nconnection: keep-alive, close", false, false),
            ("CONNECT a.example:443 HTTP/1.1", false, false),
            ("GET / HTTP/1.1\r\nexpect: 100-Continue", true, true),
            ("GET / HTTP/1.1\r\nexpect: nothing", true, false),
            ("GET / HTTP/1.0\r\nexpect: 100-continue", false, false),
        ] {
            let read = take(&format!("{head}\r\n\r\n")).unwrap().unwrap();
            assert_eq!((read.keep_alive, read.expects_continue), (keep_alive, expects), "{head}");
        }
        for lines in
            ["transfer-encoding: chunked", "transfer-encoding: chunked\r\ncontent-length: 0"]
        {
            let old = format!("POST / HTTP/1.0\r\n{lines}\r\n\r\n");
            assert_eq!(take(&old).unwrap_err(), Error::Malformed);
        }
    }

    #[test]
    fn heads_have_a_limit_of_bytes_and_lines() {
        let head = |bytes: usize| {
            let mut head = "GET / HTTP/1.1\r\na: ".to_owned();
            head.push_str(&"b".repeat(bytes - head.len() - 4));
            head + "\r\n\r\n"
        };
        assert!(take(&head(HEAD_BYTES_MAX)).unwrap().is_some());
        assert_eq!(take(&head(HEAD_BYTES_MAX + 1)).unwrap_err(), Error::TooLarge);
        let endless = head(HEAD_BYTES_MAX + 4);
        let endless = endless.get(..HEAD_BYTES_MAX).unwrap();
        assert_eq!(take(endless).unwrap_err(), Error::TooLarge);
        let lines = |count| format!("GET / HTTP/1.1\r\n{}\r\n", "a: b\r\n".repeat(count));
        assert_eq!(take(&lines(HEADERS_MAX)).unwrap().unwrap().headers.len(), HEADERS_MAX);
        assert_eq!(take(&lines(HEADERS_MAX + 1)).unwrap_err(), Error::TooLarge);
    }
}
