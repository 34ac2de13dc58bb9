//! One HTTP/1.1 connection: writes bytes that are already a request, reads one answer. Smaller than
//! a general client on purpose: the generator shares the machine with what it measures, so every
//! microsecond here is one less there. Keep-alive, Content-Length and chunked answers, TLS if asked.

use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use anyhow::{Context, bail, ensure};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_rustls::client::TlsStream;

use crate::misuse::misuse;
use crate::payload::Target;
use crate::tls::{Tls, Trust};

/// Longest answer that is kept; admin answers are the longest we ask for.
const ANSWER_BYTES_MAX: usize = 64 << 20;

/// How long a look whether somebody listens may take.
const CONNECT_MAX: Duration = Duration::from_secs(10);

/// A server's address.
#[derive(Clone, Debug)]
pub(crate) struct Address {
    /// Where to connect.
    pub(crate) socket: SocketAddr,
    /// What the request line and the Host header say.
    pub(crate) target: Target,
    /// How connections are secured; none for http://.
    pub(crate) tls: Option<Tls>,
}

impl Address {
    /// A server of our own on `port` of the loopback.
    pub(crate) fn loopback(port: u16) -> Self {
        let target = Target { authority: format!("127.0.0.1:{port}"), prefix: String::new() };
        Self { socket: (Ipv4Addr::LOCALHOST, port).into(), target, tls: None }
    }

    /// Reads `http[s]://host[:port][/prefix]` and resolves the host once, to the first of its addresses
    /// that is listened on.
    ///
    /// # Errors
    /// When it is no such address, the host is unknown, or nobody listens there.
    pub(crate) async fn resolve(url: &str, trust: &Trust) -> anyhow::Result<Self> {
        let Parts { authority, host, port, prefix, secured } =
            parts(url).with_context(|| format!("{url} is no address")).map_err(misuse)?;
        let tls = secured.then(|| Tls::new(host, trust)).transpose().map_err(misuse)?;
        let found = tokio::net::lookup_host(format!("{host}:{port}"));
        let mut fault = anyhow::anyhow!("{host} has no address");
        for socket in found.await.with_context(|| format!("resolve {host}"))? {
            match tokio::time::timeout(CONNECT_MAX, TcpStream::connect(socket)).await {
                Ok(Ok(stream)) => {
                    if let Some(tls) = &tls {
                        // Else a certificate that is not believed shows as broken connections only.
                        let shaken = tls.secure(stream).await;
                        shaken.with_context(|| format!("cannot reach {url}"))?;
                    }
                    let target = Target { authority: authority.to_owned(), prefix };
                    return Ok(Self { socket, target, tls });
                }
                Ok(Err(refused)) => fault = refused.into(),
                Err(_) => fault = anyhow::anyhow!("{socket} does not answer"),
            }
        }
        Err(fault.context(format!("cannot reach {url}")))
    }

    /// The address as a URL.
    pub(crate) fn url(&self) -> String {
        let scheme = if self.tls.is_some() { "https" } else { "http" };
        format!("{scheme}://{}{}", self.target.authority, self.target.prefix)
    }
}

/// The parts of a URL.
#[derive(Debug, PartialEq, Eq)]
struct Parts<'a> {
    authority: &'a str,
    host: &'a str,
    port: u16,
    prefix: String,
    secured: bool,
}

fn parts(url: &str) -> anyhow::Result<Parts<'_>> {
    let (rest, secured) = match (url.strip_prefix("http://"), url.strip_prefix("https://")) {
        (Some(rest), _) => (rest, false),
        (_, Some(rest)) => (rest, true),
        _ => bail!("it must begin with http:// or https://"),
    };
    let (authority, path) = rest.split_once('/').unwrap_or((rest, ""));
    ensure!(!authority.contains('@'), "a user in it is not supported, --write-key gives a key");
    ensure!(!path.contains(['?', '#']), "it must end with its path");
    // The colons of an IPv6 address lie within brackets.
    let named = authority.rsplit_once(':').filter(|(_, port)| !port.contains(']'));
    let (host, port) = match named {
        Some((host, port)) => (host, port.parse().with_context(|| format!("{port} is no port"))?),
        None => (authority, if secured { 443 } else { 80 }),
    };
    ensure!(!host.is_empty() && port > 0, "it needs a host, and a port above 0 if any");
    let prefix = path.trim_end_matches('/');
    let prefix = if prefix.is_empty() { String::new() } else { format!("/{prefix}") };
    Ok(Parts { authority, host, port, prefix, secured })
}

/// What the server said.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Answer {
    /// Status code.
    pub(crate) status: u16,
    /// `Retry-After`, where it is a number of seconds.
    pub(crate) retry_after: Option<Duration>,
    /// Its body.
    pub(crate) body: Vec<u8>,
}

/// A connection that may be used again.
#[derive(Debug)]
pub(crate) struct Connection {
    stream: Stream,
    buffer: Vec<u8>,
    usable: bool,
}

#[derive(Debug)]
enum Stream {
    Plain(TcpStream),
    Secured(Box<TlsStream<TcpStream>>),
}

impl Stream {
    async fn write(&mut self, bytes: &[u8]) -> std::io::Result<()> {
        match self {
            Self::Plain(stream) => stream.write_all(bytes).await,
            Self::Secured(stream) => {
                stream.write_all(bytes).await?;
                stream.flush().await
            }
        }
    }
}

struct Head {
    len: usize,
    status: u16,
    retry_after: Option<Duration>,
    body: Length,
    close: bool,
}

#[derive(Clone, Copy)]
enum Length {
    Known(usize),
    Chunked,
    UntilClose,
}

impl Connection {
    /// Connects.
    ///
    /// # Errors
    /// When the server cannot be reached, or its certificate is not believed.
    pub(crate) async fn open(address: &Address) -> anyhow::Result<Self> {
        let stream = TcpStream::connect(address.socket).await.context("connect")?;
        stream.set_nodelay(true).context("connect")?;
        let stream = match &address.tls {
            Some(tls) => Stream::Secured(Box::new(tls.secure(stream).await?)),
            None => Stream::Plain(stream),
        };
        Ok(Self { stream, buffer: Vec::with_capacity(4_096), usable: true })
    }

    /// Whether another request may follow.
    pub(crate) const fn usable(&self) -> bool {
        self.usable
    }

    /// Writes `bytes` and gives up the connection without reading.
    ///
    /// # Errors
    /// When they cannot be written.
    pub(crate) async fn cut(mut self, bytes: &[u8]) -> anyhow::Result<()> {
        self.stream.write(bytes).await.context("write request")
    }

    /// Sends one request and reads its answer.
    ///
    /// # Errors
    /// When the connection breaks before the answer is whole; it is not usable any more.
    pub(crate) async fn exchange(&mut self, request: &[u8]) -> anyhow::Result<Answer> {
        self.usable = false;
        self.buffer.clear();
        // A server may refuse amid the body and close: then its answer is still there to read.
        let written = self.stream.write(request).await;
        let head = match self.head().await {
            Ok(head) => head,
            Err(fault) => return Err(written.err().map_or(fault, anyhow::Error::from)),
        };
        let body = self.body(&head).await?;
        self.usable = written.is_ok() && !head.close;
        Ok(Answer { status: head.status, retry_after: head.retry_after, body })
    }

    async fn fill(&mut self) -> anyhow::Result<bool> {
        ensure!(self.buffer.len() < ANSWER_BYTES_MAX, "the answer is too long");
        let count = match &mut self.stream {
            Stream::Plain(stream) => stream.read_buf(&mut self.buffer).await,
            Stream::Secured(stream) => stream.read_buf(&mut self.buffer).await,
        };
        Ok(count.context("read answer")? > 0)
    }

    async fn head(&mut self) -> anyhow::Result<Head> {
        loop {
            if let Some(head) = parse_head(&self.buffer)? {
                if head.status >= 200 {
                    return Ok(head);
                }
                self.buffer.drain(..head.len);
                continue;
            }
            ensure!(self.fill().await?, "the server closed without an answer");
        }
    }

    async fn body(&mut self, head: &Head) -> anyhow::Result<Vec<u8>> {
        match head.body {
            Length::Known(len) => {
                let end = head.len.checked_add(len).context("the answer is too long")?;
                while self.buffer.len() < end {
                    ensure!(self.fill().await?, "the server closed amid an answer");
                }
                Ok(self.buffer.get(head.len..end).unwrap_or_default().to_vec())
            }
            Length::UntilClose => {
                while self.fill().await? {}
                Ok(self.buffer.get(head.len..).unwrap_or_default().to_vec())
            }
            Length::Chunked => loop {
                if let Some(body) = unchunk(self.buffer.get(head.len..).unwrap_or_default())? {
                    return Ok(body);
                }
                ensure!(self.fill().await?, "the server closed amid an answer");
            },
        }
    }
}

fn parse_head(bytes: &[u8]) -> anyhow::Result<Option<Head>> {
    let mut headers = [httparse::EMPTY_HEADER; 64];
    let mut response = httparse::Response::new(&mut headers);
    let httparse::Status::Complete(len) = response.parse(bytes).context("read answer's head")?
    else {
        return Ok(None);
    };
    let status = response.code.context("an answer without a status")?;
    let mut head = Head { len, status, retry_after: None, body: Length::UntilClose, close: false };
    let empty = matches!(status, 100..=199 | 204 | 304);
    for header in response.headers.iter() {
        let value = std::str::from_utf8(header.value).unwrap_or_default().trim();
        if header.name.eq_ignore_ascii_case("content-length") {
            head.body = Length::Known(value.parse().context("read Content-Length")?);
        } else if header.name.eq_ignore_ascii_case("transfer-encoding") {
            head.body = Length::Chunked;
        } else if header.name.eq_ignore_ascii_case("connection") {
            head.close = value.eq_ignore_ascii_case("close");
        } else if header.name.eq_ignore_ascii_case("retry-after") {
            head.retry_after = value.parse().ok().map(Duration::from_secs);
        }
    }
    if empty {
        head.body = Length::Known(0);
    }
    head.close |= matches!(head.body, Length::UntilClose);
    Ok(Some(head))
}

/// The content of a chunked body, once it is whole.
fn unchunk(mut bytes: &[u8]) -> anyhow::Result<Option<Vec<u8>>> {
    let mut out = Vec::new();
    loop {
        let httparse::Status::Complete((from, len)) =
            httparse::parse_chunk_size(bytes).map_err(|_| anyhow::anyhow!("a wrong chunk"))?
        else {
            return Ok(None);
        };
        let len = usize::try_from(len).context("a chunk is too long")?;
        let end = from.checked_add(len).context("a chunk is too long")?;
        if len == 0 {
            return Ok(bytes
                .get(from..)
                .is_some_and(|rest| rest.ends_with(b"\r\n"))
                .then_some(out));
        }
        let (Some(chunk), Some(rest)) = (bytes.get(from..end), bytes.get(end + 2..)) else {
            return Ok(None);
        };
        out.extend_from_slice(chunk);
        bytes = rest;
    }
}

/// Fetches `path` of `address` over a connection of its own.
///
/// # Errors
/// When there is no answer within `timeout`.
pub(crate) async fn get(
    address: &Address,
    path: &str,
    timeout: Duration,
) -> anyhow::Result<Answer> {
    let Target { authority, prefix } = &address.target;
    let head =
        format!("GET {prefix}{path} HTTP/1.1\r\nHost: {authority}\r\nConnection: close\r\n\r\n");
    let exchange = async { Connection::open(address).await?.exchange(head.as_bytes()).await };
    tokio::time::timeout(timeout, exchange).await.context("no answer in time")?
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn heads_are_read_once_they_are_whole() {
        let text = b"HTTP/1.1 503 Service Unavailable\r\nRetry-After: 2\r\nConnection: close\r\nContent-Length: 19\r\n\r\n";
        for cut in 0..text.len() {
            assert!(parse_head(&text[..cut]).unwrap().is_none());
        }
        let head = parse_head(text).unwrap().unwrap();
        assert_eq!((head.status, head.close), (503, true));
        assert_eq!(head.retry_after, Some(Duration::from_secs(2)));
        assert!(matches!(head.body, Length::Known(19)));
        assert!(parse_head(b"nonsense\r\n\r\n").is_err());
    }

    #[test]
    fn chunks_are_joined_once_they_are_whole() {
        let text = b"3\r\nabc\r\nA\r\n0123456789\r\n0\r\n\r\n";
        for cut in 0..text.len() - 2 {
            assert_eq!(unchunk(&text[..cut]).unwrap(), None, "{cut}");
        }
        assert_eq!(unchunk(text).unwrap().unwrap(), b"abc0123456789");
        assert!(unchunk(b"zz\r\n").is_err());
    }

    #[test]
    fn addresses_are_read_with_and_without_their_parts() {
        let rows = [
            ("http://127.0.0.1:81", "127.0.0.1", 81, "", false),
            ("http://127.0.0.1/a/b/", "127.0.0.1", 80, "/a/b", false),
            ("https://events.example.com/in", "events.example.com", 443, "/in", true),
            ("https://[::1]:8443", "[::1]", 8443, "", true),
            ("http://[::1]", "[::1]", 80, "", false),
        ];
        for (url, host, port, prefix, secured) in rows {
            let read = parts(url).unwrap();
            let seen = (read.host, read.port, read.prefix.as_str(), read.secured);
            assert_eq!(seen, (host, port, prefix, secured), "{url}");
        }
        for wrong in
            ["127.0.0.1:80", "ftp://a", "http://", "http://a:b", "http://a:0", "http://k@a"]
        {
            assert!(parts(wrong).is_err(), "{wrong}");
        }
    }

    #[tokio::test]
    async fn of_a_hosts_addresses_the_one_that_is_listened_on_is_taken() {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        // `localhost` may be ::1 first, where nobody listens.
        let url = format!("http://localhost:{port}/in");
        let address = Address::resolve(&url, &Trust::default()).await.unwrap();
        assert_eq!((address.socket, address.url()), (listener.local_addr().unwrap(), url.clone()));
        drop(listener);
        let fault = Address::resolve(&url, &Trust::default()).await.unwrap_err();
        assert!(format!("{fault:#}").starts_with("cannot reach http://localhost"), "{fault:#}");
    }
}
