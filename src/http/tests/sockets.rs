//! Real connections: their time limits, their number, TLS, HTTP/2, and the end.

use std::net::SocketAddr;
use std::path::Path;
use std::time::Duration;

use http_body_util::Full;
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use super::*;
use crate::http::server::{Lanes, Limits, Server};
use crate::http::tls;

const LIMITS: Limits = Limits {
    connections_max: 100,
    header_timeout: Duration::from_secs(60),
    idle_timeout: Duration::from_secs(60),
    drain: Duration::from_secs(60),
    rest_bytes_max: 16 << 20,
};

const TRACK: &str = "POST /v1/track HTTP/1.1\r\nhost: x\r\nauthorization: Basic d2stZW5hYmxlZDo=\r\n\
                     content-length: 14\r\n\r\n{\"userId\":\"u\"}";

struct Running {
    address: SocketAddr,
    edge: Edge<Fake>,
    pipeline: Arc<Fake>,
    shutdown: CancellationToken,
    server: JoinHandle<()>,
}

async fn run(limits: Limits, tls: Option<tls::Acceptor>) -> Running {
    run_on(Arc::default(), limits, tls).await
}

async fn run_on(lanes: Arc<Lanes>, limits: Limits, tls: Option<tls::Acceptor>) -> Running {
    let (edge, pipeline) = edge("");
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let stats = Arc::clone(&edge.parts().stats);
    let shutdown = CancellationToken::new();
    let clock = Arc::clone(&edge.parts().clock);
    let server = Server { listener, tls, limits, lanes, clock, stats };
    let server = spawn(server.run(edge.clone(), shutdown.clone()));
    Running { address, edge, pipeline, shutdown, server }
}

impl Running {
    async fn connect(&self) -> TcpStream {
        TcpStream::connect(self.address).await.unwrap()
    }
}

/// Reads until `end` has come.
async fn read_to(stream: &mut TcpStream, end: &str) -> String {
    let mut all = Vec::new();
    while !all.ends_with(end.as_bytes()) {
        let byte = stream.read_u8().await.unwrap();
        all.push(byte);
    }
    String::from_utf8(all).unwrap()
}

/// Reads until the other side closes.
async fn read_all(stream: &mut TcpStream) -> String {
    let mut all = Vec::new();
    // A reset after the last byte is an end, too.
    stream.read_to_end(&mut all).await.ok();
    String::from_utf8(all).unwrap()
}

/// Ends every connection in a panic.
#[derive(Clone, Default)]
struct Faulty(Arc<std::sync::atomic::AtomicUsize>);

impl crate::http::server::Handle for Faulty {
    async fn handle(&self, _: axum::extract::Request, _: Peer) -> axum::response::Response {
        panic!("as a fault of the program would")
    }

    fn panicked(&self) {
        self.0.fetch_add(1, std::sync::atomic::Ordering::SeqCst);
    }
}

#[tokio::test]
async fn a_connection_that_ends_in_a_panic_is_counted() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let (lanes, stats, handler) = (Arc::default(), Arc::new(Stats::new()), Faulty::default());
    let clock = Arc::new(Fixed::at(Timestamp::from_millis(NOW_MS)));
    let server = Server { listener, tls: None, limits: LIMITS, lanes, clock, stats };
    let shutdown = CancellationToken::new();
    let server = spawn(server.run(handler.clone(), shutdown.clone()));
    for _ in 0..2 {
        let mut stream = TcpStream::connect(address).await.unwrap();
        stream.write_all(TRACK.as_bytes()).await.unwrap();
        assert_eq!(read_all(&mut stream).await, "");
    }
    shutdown.cancel();
    server.await.unwrap();
    assert_eq!(handler.0.load(std::sync::atomic::Ordering::SeqCst), 2);
}

#[tokio::test]
async fn a_connection_serves_many_requests() {
    let server = run(LIMITS, None).await;
    let mut stream = server.connect().await;
    for n in 1..=3 {
        stream.write_all(TRACK.as_bytes()).await.unwrap();
        let answer = read_to(&mut stream, "\r\n\r\nok").await;
        assert!(answer.starts_with("HTTP/1.1 200 OK\r\n"), "{answer}");
        assert_eq!(server.pipeline.count(), n);
    }
}

#[tokio::test]
async fn taking_events_sees_all_headers_that_it_looks_at() {
    let server = run(LIMITS, None).await;
    let mut stream = server.connect().await;
    let body = limits::gzip(br#"{"userId":"u"}"#);
    let head = format!(
        "POST /v1/track HTTP/1.1\r\nhost: x\r\nuser-agent: a\r\nOrigin: https://app.example\r\n\
         X-Forwarded-For: 198.51.100.1\r\nX-FORWARDED-FOR: 203.0.113.77\r\n\
         Authorization: Basic d2stZW5hYmxlZDo=\r\nContent-Encoding: gzip\r\n\
         content-length: {}\r\n\r\n",
        body.len()
    );
    stream.write_all(&[head.as_bytes(), &body].concat()).await.unwrap();
    let answer = read_to(&mut stream, "\r\n\r\nok").await;
    assert!(answer.contains("access-control-allow-origin: https://app.example\r\n"), "{answer}");
    assert_eq!(server.pipeline.last().client_ip.to_string(), "203.0.113.77");
}

#[tokio::test]
async fn connections_are_dealt_out_to_threads_and_all_end() {
    let lanes = Arc::new(Lanes::start(2).unwrap());
    let server = run_on(Arc::clone(&lanes), LIMITS, None).await;
    let mut streams = Vec::new();
    for open in 1..=4 {
        let mut stream = server.connect().await;
        stream.write_all(TRACK.as_bytes()).await.unwrap();
        let answer = read_to(&mut stream, "\r\n\r\nok").await;
        assert!(answer.starts_with("HTTP/1.1 200 OK\r\n"), "{answer}");
        streams.push(stream);
        let held = lanes.connections();
        assert_eq!(held.iter().sum::<usize>(), open);
        assert!(held.iter().max().unwrap() - held.iter().min().unwrap() <= 1, "{held:?}");
    }
    // Each thread has a gate of its own, and the connections know which.
    server.pipeline.gate.forget_permits(usize::MAX);
    server.pipeline.waiting.forget_permits(usize::MAX);
    for stream in &mut streams {
        stream.write_all(TRACK.as_bytes()).await.unwrap();
        server.pipeline.waiting.acquire().await.unwrap().forget();
    }
    let held = [0, 1].map(|lane| server.edge.shared.load.held_on(lane));
    assert!(held[0] > 0 && held[0] == held[1], "{held:?}");
    server.pipeline.gate.add_permits(streams.len());
    for stream in &mut streams {
        read_to(stream, "\r\n\r\nok").await;
    }
    server.shutdown.cancel();
    server.server.await.unwrap();
    for mut stream in streams {
        assert_eq!(read_all(&mut stream).await, "");
    }
    assert_eq!(lanes.connections(), [0, 0]);
}

#[tokio::test]
async fn slow_headers_and_idle_connections_are_closed() {
    let limits = Limits { header_timeout: Duration::from_millis(300), ..LIMITS };
    let server = run(limits, None).await;
    for start in ["", "POST /v1/track HTTP/1.1\r\nhost: x\r\n"] {
        let mut stream = server.connect().await;
        stream.write_all(start.as_bytes()).await.unwrap();
        assert_eq!(read_all(&mut stream).await, "");
    }
    // The next request's headers have the same time.
    let mut stream = server.connect().await;
    stream.write_all(format!("{TRACK}GET /heal").as_bytes()).await.unwrap();
    read_to(&mut stream, "\r\n\r\nok").await;
    stream.write_all(b"th").await.unwrap();
    assert_eq!(read_all(&mut stream).await, "");

    let limits = Limits { idle_timeout: Duration::from_millis(300), ..LIMITS };
    let server = run(limits, None).await;
    let mut stream = server.connect().await;
    stream.write_all(TRACK.as_bytes()).await.unwrap();
    read_to(&mut stream, "\r\n\r\nok").await;
    assert_eq!(read_all(&mut stream).await, "");
}

#[tokio::test]
async fn a_request_that_is_being_answered_is_not_idle() {
    let short = Duration::from_millis(300);
    let server = run(Limits { header_timeout: short, idle_timeout: short, ..LIMITS }, None).await;
    server.pipeline.gate.forget_permits(usize::MAX);
    let mut stream = server.connect().await;
    stream.write_all(TRACK.as_bytes()).await.unwrap();
    server.pipeline.waiting.acquire().await.unwrap().forget();
    // Another connection's whole life passes meanwhile.
    assert_eq!(read_all(&mut server.connect().await).await, "");
    server.pipeline.gate.add_permits(1);
    assert!(read_to(&mut stream, "\r\n\r\nok").await.starts_with("HTTP/1.1 200 OK\r\n"));
}

#[tokio::test]
async fn connections_over_the_limit_are_turned_away() {
    let server = run(Limits { connections_max: 1, ..LIMITS }, None).await;
    let mut first = server.connect().await;
    first.write_all(TRACK.as_bytes()).await.unwrap();
    read_to(&mut first, "\r\n\r\nok").await;
    let mut second = server.connect().await;
    second.write_all(TRACK.as_bytes()).await.unwrap();
    let answer = read_to(&mut second, "Service Unavailable\n").await;
    assert!(answer.starts_with("HTTP/1.1 503 Service Unavailable\r\n"), "{answer}");
    assert!(answer.contains("\r\nretry-after: 1\r\n"), "{answer}");
    first.write_all(TRACK.as_bytes()).await.unwrap();
    assert!(read_to(&mut first, "\r\n\r\nok").await.starts_with("HTTP/1.1 200"));
    assert_eq!(server.pipeline.count(), 2);
}

#[tokio::test]
async fn the_header_block_is_limited() {
    let server = run(LIMITS, None).await;
    for (bytes, status) in [(60 << 10, "200"), (70 << 10, "431")] {
        let mut stream = server.connect().await;
        let cookie = format!("\r\ncookie: {}\r\nconnection: close\r\n\r\n", "c".repeat(bytes));
        let asked = TRACK.replacen("\r\n\r\n", &cookie, 1);
        // The server may answer and close before it has read all.
        stream.write_all(asked.as_bytes()).await.ok();
        let answer = read_all(&mut stream).await;
        assert!(answer.starts_with(&format!("HTTP/1.1 {status} ")), "{bytes} {answer}");
    }
}

#[tokio::test]
async fn a_client_that_goes_on_sending_gets_its_refusal() {
    let server = run(LIMITS, None).await;
    let mut stream = server.connect().await;
    let bytes = 4 << 20;
    let head = format!(
        "POST /v1/batch HTTP/1.1\r\nhost: x\r\nauthorization: Basic bm9wZTo=\r\ncontent-length: {bytes}\r\n\r\n"
    );
    stream.write_all(head.as_bytes()).await.unwrap();
    let answer = read_to(&mut stream, "invalid write key\n").await;
    assert!(answer.starts_with("HTTP/1.1 401 "), "{answer}");
    // The rest is thrown away, to the byte, and the connection is good for another request.
    stream.write_all(&vec![b' '; bytes]).await.unwrap();
    stream.write_all(TRACK.as_bytes()).await.unwrap();
    assert!(read_to(&mut stream, "\r\n\r\nok").await.starts_with("HTTP/1.1 200"));
    // However much of it has come with the head, and with the next request behind it.
    for body in [1, 8_000, 8_192, 65_536, 65_537, 200_000] {
        let head = head.replace(&bytes.to_string(), &body.to_string());
        let both = format!("{head}{}{TRACK}", "G".repeat(body));
        stream.write_all(both.as_bytes()).await.unwrap();
        read_to(&mut stream, "invalid write key\n").await;
        let answer = read_to(&mut stream, "\r\n\r\nok").await;
        assert!(answer.starts_with("HTTP/1.1 200"), "{body}: {answer}");
    }
    assert_eq!(server.pipeline.count(), 7);
}

#[tokio::test]
async fn a_refused_body_is_read_on_up_to_a_limit() {
    let server = run(Limits { rest_bytes_max: 1 << 20, ..LIMITS }, None).await;
    for (bytes, goes_on) in [(1 << 20, true), ((1 << 20) + 1, false), (usize::MAX, false)] {
        let mut stream = server.connect().await;
        let head = format!(
            "POST /v1/batch HTTP/1.1\r\nhost: x\r\nauthorization: Basic bm9wZTo=\r\ncontent-length: {bytes}\r\n\r\n"
        );
        stream.write_all(head.as_bytes()).await.unwrap();
        read_to(&mut stream, "invalid write key\n").await;
        stream.write_all(&vec![b' '; bytes.min((1 << 20) + 1)]).await.unwrap();
        stream.write_all(TRACK.as_bytes()).await.ok();
        let mut status = Vec::new();
        (&mut stream).take(12).read_to_end(&mut status).await.ok();
        assert_eq!(status == b"HTTP/1.1 200", goes_on, "{bytes}");
    }
}

#[tokio::test]
async fn requests_that_could_be_read_in_two_ways_are_refused() {
    let server = run(LIMITS, None).await;
    let key = "authorization: Basic d2stZW5hYmxlZDo=";
    for head in [
        "content-length: 14\r\ncontent-length: 15",
        "content-length: 14, 15",
        "content-length: +14",
        "content-length: 0x0e",
        "transfer-encoding: chunked, identity",
        "transfer-encoding: xchunked",
        " folded: header",
        "bad name: x",
    ] {
        let mut stream = server.connect().await;
        let asked = format!(
            "POST /v1/track HTTP/1.1\r\nhost: x\r\n{key}\r\n{head}\r\n\r\n{{\"userId\":\"u\"}}"
        );
        stream.write_all(asked.as_bytes()).await.unwrap();
        stream.shutdown().await.unwrap();
        let answer = read_all(&mut stream).await;
        assert!(answer.starts_with("HTTP/1.1 400 ") || answer.is_empty(), "{head}: {answer}");
    }
    assert_eq!(server.pipeline.count(), 0);
}

#[tokio::test]
async fn a_stop_lets_open_requests_end() {
    let server = run(LIMITS, None).await;
    server.pipeline.gate.forget_permits(usize::MAX);
    let mut idle = server.connect().await;
    idle.write_all(b"GET /robots.txt HTTP/1.1\r\nhost: x\r\n\r\n").await.unwrap();
    read_to(&mut idle, "Disallow: / \n").await;
    let mut busy = server.connect().await;
    busy.write_all(TRACK.as_bytes()).await.unwrap();
    server.pipeline.waiting.acquire().await.unwrap().forget();
    server.shutdown.cancel();
    assert_eq!(read_all(&mut idle).await, "");
    server.pipeline.gate.add_permits(1);
    assert!(read_all(&mut busy).await.starts_with("HTTP/1.1 200"));
    server.server.await.unwrap();
    assert!(TcpStream::connect(server.address).await.is_err());
}

#[tokio::test]
async fn a_stop_waits_no_longer_than_it_may() {
    let server = run(Limits { drain: Duration::from_millis(50), ..LIMITS }, None).await;
    server.pipeline.gate.forget_permits(usize::MAX);
    let mut busy = server.connect().await;
    busy.write_all(TRACK.as_bytes()).await.unwrap();
    server.pipeline.waiting.acquire().await.unwrap().forget();
    server.shutdown.cancel();
    server.server.await.unwrap();
    assert_eq!(read_all(&mut busy).await, "");
}

#[tokio::test]
async fn an_http2_connection_may_rest_between_requests() {
    let server = run(Limits { header_timeout: Duration::from_millis(300), ..LIMITS }, None).await;
    let io = TokioIo::new(server.connect().await);
    let (mut sender, connection) =
        hyper::client::conn::http2::handshake(TokioExecutor::new(), io).await.unwrap();
    spawn(connection);
    for _ in 0..2 {
        let asked =
            Request::builder().uri("http://x/health").body(Full::<Bytes>::default()).unwrap();
        assert_eq!(sender.send_request(asked).await.unwrap().status(), StatusCode::OK);
        // Another connection's whole life passes meanwhile.
        assert_eq!(read_all(&mut server.connect().await).await, "");
    }
}

fn golden(name: &str) -> std::path::PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/http").join(name)
}

fn acceptor() -> tls::Acceptor {
    let options = config::Tls { certificate: golden("certificate.pem"), key: golden("key.pem") };
    tls::Acceptor::new(tls::Pair::read(&options).unwrap())
}

#[tokio::test]
async fn the_end_does_not_wait_for_who_has_not_said_hello() {
    let server = run(LIMITS, Some(acceptor())).await;
    let silent = server.connect().await;
    // By the time that this one is told off, the other was accepted.
    let mut wrong = server.connect().await;
    wrong.write_all(b"GET / HTTP/1.1\r\n\r\n").await.unwrap();
    read_all(&mut wrong).await;
    server.shutdown.cancel();
    let patience = LIMITS.header_timeout / 2;
    tokio::time::timeout(patience, server.server).await.expect("it waits").unwrap();
    drop(silent);
}

#[tokio::test]
async fn tls_serves_both_versions_of_http() {
    use rustls::pki_types::pem::PemObject;
    let server = run(LIMITS, Some(acceptor())).await;
    let mut roots = rustls::RootCertStore::empty();
    roots
        .add(rustls::pki_types::CertificateDer::from_pem_file(golden("certificate.pem")).unwrap())
        .unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let client = rustls::ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    for (alpn, version) in [("h2", "HTTP/2.0"), ("http/1.1", "HTTP/1.1"), ("http/1.0", "HTTP/1.1")]
    {
        let mut client = client.clone();
        client.alpn_protocols = vec![alpn.as_bytes().to_vec()];
        let connector = tokio_rustls::TlsConnector::from(Arc::new(client));
        let name = "localhost".try_into().unwrap();
        let stream = connector.connect(name, server.connect().await).await.unwrap();
        assert_eq!(stream.get_ref().1.alpn_protocol(), Some(alpn.as_bytes()));
        let io = TokioIo::new(stream);
        let asked = Request::builder()
            .uri("https://localhost/v1/projects/wk-enabled/settings")
            .header("host", "localhost")
            .body(Full::<Bytes>::default())
            .unwrap();
        let response = if alpn == "h2" {
            let (mut sender, connection) =
                hyper::client::conn::http2::handshake(TokioExecutor::new(), io).await.unwrap();
            spawn(connection);
            sender.send_request(asked).await.unwrap()
        } else {
            let (mut sender, connection) = hyper::client::conn::http1::handshake(io).await.unwrap();
            spawn(connection);
            sender.send_request(asked).await.unwrap()
        };
        assert_eq!(format!("{:?}", response.version()), version);
        let body = response.into_body().collect().await.unwrap().to_bytes();
        let value: serde_json::Value = serde_json::from_slice(&body).unwrap();
        let segment = &value["integrations"]["Segment.io"];
        assert_eq!(
            (&segment["apiHost"], &segment["protocol"]),
            (&"localhost/v1".into(), &"https".into())
        );
    }
    // Plain HTTP on the port is no handshake.
    let mut stream = server.connect().await;
    stream.write_all(TRACK.as_bytes()).await.unwrap();
    assert!(!read_all_bytes(&mut stream).await.starts_with(b"HTTP/1.1 200"));
}

async fn read_all_bytes(stream: &mut TcpStream) -> Vec<u8> {
    let mut all = Vec::new();
    stream.read_to_end(&mut all).await.ok();
    all
}

#[test]
fn a_certificate_that_cannot_be_used_names_the_file() {
    let files = |certificate: &str, key: &str| config::Tls {
        certificate: golden(certificate),
        key: golden(key),
    };
    for (options, named) in [
        (files("nope.pem", "key.pem"), &["nope.pem"][..]),
        (files("nope.pem", "none.pem"), &["nope.pem", "none.pem"]),
        (files("key.pem", "certificate.pem"), &["key.pem", "certificate.pem"]),
        (files("certificate.pem", "key-renewed.pem"), &["certificate.pem with"]),
    ] {
        let Err(errors) = tls::Pair::read(&options) else { panic!("accepted") };
        assert_eq!(errors.len(), named.len(), "{errors:?}");
        for (error, name) in errors.iter().zip(named) {
            assert!(error.to_string().contains(name), "{error}");
        }
    }
}
