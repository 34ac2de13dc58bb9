//! Connections in memory: what comes in which pieces, and what is answered, byte for byte.

use axum::body::Body;
use axum::http::{Method, StatusCode};
use http_body_util::BodyExt;
use proptest::prelude::*;
use tokio::io::DuplexStream;

use super::*;
use crate::clock::{Fixed, Timestamp};
use crate::metrics::Metrics;

const LIMITS: Limits = Limits {
    connections_max: 1,
    header_timeout: Duration::from_secs(60),
    idle_timeout: Duration::from_secs(60),
    drain: Duration::from_secs(60),
    rest_bytes_max: 1 << 20,
};

/// Bytes of the answer to `/large`.
const LARGE: usize = 200_000;

impl Stream for DuplexStream {
    fn poll_discard(
        &mut self,
        cx: &mut std::task::Context<'_>,
        most: u64,
    ) -> std::task::Poll<io::Result<usize>> {
        stream::read_and_forget(self, cx, most)
    }
}

/// Answers with what was asked: how it went by the path.
#[derive(Clone)]
struct Echo;

impl Handle for Echo {
    async fn handle(&self, request: Request, _: Peer) -> Response {
        let (head, mut body) = request.into_parts();
        let mut response = match head.uri.path() {
            "/refused" => Response::new(Body::from("no")),
            "/begun" => {
                drop(body.frame().await);
                Response::new(Body::from("no more"))
            }
            "/stalled" => {
                drop(futures_util::poll!(body.frame()));
                Response::new(Body::from("not waited for"))
            }
            "/streamed" => {
                let parts = ["a", "", "bcd"].map(Ok::<_, io::Error>);
                Response::new(Body::from_stream(futures_util::stream::iter(parts)))
            }
            "/broken" => {
                let parts = [Ok("a"), Err(io::Error::other("gone"))];
                Response::new(Body::from_stream(futures_util::stream::iter(parts)))
            }
            "/large" => Response::new(Body::from("x".repeat(LARGE))),
            "/nothing" => Response::new(Body::empty()),
            path => match body.collect().await {
                Ok(whole) => {
                    let text = String::from_utf8_lossy(&whole.to_bytes()).into_owned();
                    Response::new(Body::from(format!("{} {path} {text}\n", head.method)))
                }
                Err(_) => Response::new(Body::from("unreadable\n")),
            },
        };
        if head.uri.path() == "/nothing" {
            *response.status_mut() = StatusCode::NO_CONTENT;
        }
        if head.method == Method::HEAD {
            *response.body_mut() = Body::empty();
        }
        response
    }

    fn panicked(&self) {}
}

fn shared(limits: Limits) -> Shared {
    Shared {
        tls: None,
        limits,
        clock: Arc::new(Fixed::at(Timestamp::from_millis(784_111_777_250))),
        tasks: TaskTracker::new(),
        stats: Arc::default(),
        closing: CancellationToken::new(),
        ended: CancellationToken::new(),
    }
}

/// Sends `parts`, one after the other has been read, and then nothing more; all that is answered,
/// without the headers that every answer has.
async fn answers<'a>(parts: impl IntoIterator<Item = &'a [u8]>) -> String {
    answers_of(&shared(LIMITS), parts).await
}

/// The same, on these limits and counts.
async fn answers_of<'a>(shared: &Shared, parts: impl IntoIterator<Item = &'a [u8]>) -> String {
    let (mut client, server) = tokio::io::duplex(1 << 16);
    let peer = Peer { ip: IpAddr::from([127, 0, 0, 1]), tls: false, lane: 0 };
    let (mut incoming, mut outgoing) = tokio::io::split(&mut client);
    let mut all = Vec::new();
    let sent = async {
        for part in parts {
            if outgoing.write_all(part).await.is_err() {
                break;
            }
            // The connection, polled beside this in turn, takes it before the next one comes.
            for _ in 0..3 {
                tokio::task::yield_now().await;
            }
        }
        outgoing.shutdown().await.ok();
    };
    tokio::join!(shared.serve(server, peer, Echo), sent, incoming.read_to_end(&mut all)).2.unwrap();
    String::from_utf8(all).unwrap().replace("date: Sun, 06 Nov 1994 08:49:37 GMT\r\n", "")
}

/// The answer of [`Echo`] with this body.
fn ok(body: &str) -> String {
    format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n{body}", body.len())
}

/// The same as the last one of a connection.
fn last(body: &str) -> String {
    ok(body).replacen("\r\n\r\n", "\r\nconnection: close\r\n\r\n", 1)
}

fn bad(status: &str) -> String {
    format!(
        "HTTP/1.1 {status}\r\nx-content-type-options: nosniff\r\n\
         content-length: 0\r\nconnection: close\r\n\r\n"
    )
}

#[tokio::test]
async fn one_request_is_answered() {
    for (asked, expected) in [
        ("GET /a HTTP/1.1\r\n\r\n", ok("GET /a \n")),
        ("POST /a HTTP/1.1\r\ncontent-length: 3\r\n\r\nabc", ok("POST /a abc\n")),
        (
            "POST /a HTTP/1.1\r\ntransfer-encoding: chunked\r\n\r\n3\r\nabc\r\n1\r\nd\r\n0\r\nx: y\r\n\r\n",
            ok("POST /a abcd\n"),
        ),
        ("GET /nothing HTTP/1.1\r\n\r\n", "HTTP/1.1 204 No Content\r\n\r\n".to_owned()),
        ("HEAD /a HTTP/1.1\r\n\r\n", "HTTP/1.1 200 OK\r\n\r\n".to_owned()),
        (
            "GET /streamed HTTP/1.1\r\n\r\n",
            "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n1\r\na\r\n3\r\nbcd\r\n0\r\n\r\n"
                .to_owned(),
        ),
        // Without its end it does not look whole.
        (
            "GET /broken HTTP/1.1\r\n\r\n",
            "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n1\r\na\r\n".to_owned(),
        ),
        ("GET /streamed HTTP/1.0\r\n\r\n", "HTTP/1.0 200 OK\r\n\r\nabcd".to_owned()),
        ("", String::new()),
        ("GET /a HTTP/1.1\r\n", String::new()),
    ] {
        assert_eq!(answers([asked.as_bytes()]).await, expected, "{asked:?}");
    }
}

#[tokio::test]
async fn what_follows_the_last_request_is_never_read() {
    let hidden = "GET /hidden HTTP/1.1\r\n\r\n";
    for (asked, expected) in [
        ("GET /a HTTP/1.1\r\nconnection: close\r\n\r\n", last("GET /a \n")),
        (
            "GET /a HTTP/1.0\r\n\r\n",
            "HTTP/1.0 200 OK\r\ncontent-length: 8\r\n\r\nGET /a \n".to_owned(),
        ),
        ("CONNECT a:1 HTTP/1.1\r\n\r\n", last("CONNECT  \n")),
        ("GET /a HTTP/1.1\r\na : b\r\n\r\n", bad("400 Bad Request")),
        (
            "POST /a HTTP/1.1\r\ncontent-length: 1\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n",
            bad("400 Bad Request"),
        ),
        (
            "POST /a HTTP/1.1\r\ncontent-length: 1\r\ncontent-length: 2\r\n\r\nab",
            bad("400 Bad Request"),
        ),
        ("GET /a HTTP/1.1\na: b\n\n", bad("400 Bad Request")),
        (
            "POST /a HTTP/1.1\r\ntransfer-encoding: chunked\r\n\r\n1\na\r\n0\r\n\r\n",
            last("unreadable\n"),
        ),
        ("POST /refused HTTP/1.1\r\ntransfer-encoding: chunked\r\n\r\nx", ok("no")),
        ("POST /refused HTTP/1.1\r\nconnection: close\r\ncontent-length: 2\r\n\r\nab", last("no")),
        // What comes may be the body, or not.
        (
            "POST /refused HTTP/1.1\r\nexpect: 100-continue\r\ncontent-length: 99\r\n\r\n",
            last("no"),
        ),
        ("POST /refused HTTP/1.1\r\ncontent-length: 1048600\r\n\r\n", last("no")),
    ] {
        let mut all = asked.as_bytes().to_vec();
        if asked.contains("1048600") {
            all.resize(all.len() + 1_048_600, b' ');
        }
        all.extend_from_slice(hidden.as_bytes());
        assert_eq!(answers(all.chunks(1 << 16)).await, expected, "{asked:?}");
    }
    let endless = format!("GET /a HTTP/1.1\r\na: {}", "b".repeat(1 << 17));
    assert_eq!(answers([endless.as_bytes()]).await, bad("431 Request Header Fields Too Large"));
}

#[tokio::test]
async fn a_connection_goes_on_behind_a_body_that_was_not_read() {
    for (asked, expected) in [
        ("POST /refused HTTP/1.1\r\ncontent-length: 3\r\n\r\nabc", ok("no")),
        (
            "POST /refused HTTP/1.1\r\ntransfer-encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n",
            ok("no"),
        ),
        (
            "POST /begun HTTP/1.1\r\ntransfer-encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n",
            ok("no more"),
        ),
        ("POST /refused HTTP/1.1\r\nexpect: 100-continue\r\ncontent-length: 0\r\n\r\n", ok("no")),
    ] {
        let both = format!("{asked}GET /a HTTP/1.1\r\n\r\n");
        for size in 1..=both.len() {
            let got = answers(both.as_bytes().chunks(size)).await;
            // A body that is here with its head is not waited for; one that is not may be.
            assert_eq!(got, format!("{expected}{}", ok("GET /a \n")), "{asked:?} {size}");
        }
    }
}

#[tokio::test]
async fn a_large_answer_is_whole_and_in_its_place() {
    let asked = "GET /a HTTP/1.1\r\n\r\nGET /large HTTP/1.1\r\n\r\nGET /a HTTP/1.1\r\n\r\n";
    let expected = [ok("GET /a \n"), ok(&"x".repeat(LARGE)), ok("GET /a \n")].concat();
    assert!(answers([asked.as_bytes()]).await == expected);
}

#[tokio::test]
async fn heads_that_are_none_are_counted() {
    let shared = shared(LIMITS);
    for (asked, status) in [
        ("GET /a HTTP/1.1\r\na : b\r\n\r\n".to_owned(), "400 Bad Request"),
        ("\r\n".repeat(17), "400 Bad Request"),
        (
            format!("GET /a HTTP/1.1\r\na: {}", "b".repeat(1 << 17)),
            "431 Request Header Fields Too Large",
        ),
    ] {
        assert_eq!(answers_of(&shared, [asked.as_bytes()]).await, bad(status));
    }
    let metrics = Metrics::new();
    metrics.collect(Arc::clone(&shared.stats));
    let text = metrics.render();
    for line in [
        "keelrow_http_requests_total{endpoint=\"other\",status=\"400\"} 2\n",
        "keelrow_http_requests_total{endpoint=\"other\",status=\"431\"} 1\n",
        "keelrow_http_refusals_total{reason=\"malformed_head\",source=\"\"} 2\n",
        "keelrow_http_refusals_total{reason=\"head_too_large\",source=\"\"} 1\n",
    ] {
        assert!(text.contains(line), "{text}");
    }
}

#[tokio::test]
async fn a_request_that_is_on_its_way_at_the_end_is_answered() {
    let shared = shared(LIMITS);
    shared.closing.cancel();
    let late = b"POST /a HTTP/1.1\r\ncontent-length: 1\r\n\r\na";
    assert_eq!(answers_of(&shared, [&b""[..], late]).await, last("POST /a a\n"));
}

#[tokio::test]
async fn a_body_that_stalls_ends_the_connection() {
    let asked = "POST /stalled HTTP/1.1\r\ncontent-length: 3\r\n\r\n";
    let hidden = "abcGET /a HTTP/1.1\r\n\r\n";
    let got = answers([asked.as_bytes(), hidden.as_bytes()]).await;
    assert_eq!(got, last("not waited for"));
    // Or breaks off.
    let asked = "POST /a HTTP/1.1\r\ncontent-length: 3\r\n\r\na";
    assert_eq!(answers([asked.as_bytes()]).await, last("unreadable\n"));
}

#[tokio::test]
async fn whoever_waits_to_be_told_is_told_once() {
    let head = "POST /a HTTP/1.1\r\nexpect: 100-continue\r\ncontent-length: 3\r\n\r\n";
    let told = format!("HTTP/1.1 100 Continue\r\n\r\n{}", ok("POST /a abc\n"));
    assert_eq!(answers([head.as_bytes(), b"a", b"bc"]).await, told);
    // The body is here already.
    let whole = format!("{head}abc");
    assert_eq!(
        answers(whole.as_bytes().chunks(1 << 10)).await,
        told.replace("HTTP/1.1 100 Continue\r\n\r\n", "")
    );
    let old = head.replace("1.1", "1.0");
    let expected = "HTTP/1.0 200 OK\r\ncontent-length: 12\r\n\r\nPOST /a abc\n";
    assert_eq!(answers([old.as_bytes(), b"abc"]).await, expected);
}

/// Requests of one connection, and what is answered to each.
fn requests() -> impl Strategy<Value = Vec<(&'static str, String)>> {
    let one = prop_oneof![
        Just(("GET /a?b=c HTTP/1.1\r\nhost: x\r\n\r\n", ok("GET /a \n"))),
        Just(("\r\nHEAD /a HTTP/1.1\r\n\r\n", "HTTP/1.1 200 OK\r\n\r\n".to_owned())),
        Just(("POST /a HTTP/1.1\r\nContent-Length: 7\r\n\r\nGET / H", ok("POST /a GET / H\n"))),
        Just(("POST /refused HTTP/1.1\r\ncontent-length: 4\r\n\r\n\r\n\r\n", ok("no"))),
        Just((
            "PUT /b HTTP/1.1\r\ntransfer-encoding: chunked\r\n\r\n2;x=y\r\n\r\n\r\n03\r\nabc\r\n0\r\na: b\r\n\r\n",
            ok("PUT /b \r\nabc\n")
        )),
        Just((
            "POST /begun HTTP/1.1\r\ntransfer-encoding: chunked\r\n\r\n2\r\nab\r\n1\r\nc\r\n0\r\n\r\n",
            ok("no more")
        )),
        Just((
            "GET /streamed HTTP/1.1\r\n\r\n",
            "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n1\r\na\r\n3\r\nbcd\r\n0\r\n\r\n"
                .to_owned()
        )),
        Just((
            "GET /a HTTP/1.0\r\nconnection: keep-alive\r\n\r\n",
            "HTTP/1.0 200 OK\r\ncontent-length: 8\r\nconnection: keep-alive\r\n\r\nGET /a \n"
                .to_owned()
        )),
        Just(("GET /nothing HTTP/1.1\r\n\r\n", "HTTP/1.1 204 No Content\r\n\r\n".to_owned())),
    ];
    proptest::collection::vec(one, 1..8)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]
    #[test]
    fn answers_do_not_depend_on_how_the_bytes_come(
        requests in requests(),
        cuts in proptest::collection::vec(any::<proptest::sample::Index>(), 0..12),
    ) {
        let asked: String = requests.iter().map(|(asked, _)| *asked).collect();
        let expected: String = requests.iter().map(|(_, answer)| answer.as_str()).collect();
        let mut cuts: Vec<_> = cuts.iter().map(|cut| cut.index(asked.len())).collect();
        cuts.extend([0, asked.len()]);
        cuts.sort_unstable();
        let parts = cuts.windows(2).map(|ends| asked.as_bytes().get(ends[0]..ends[1]).unwrap());
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        prop_assert_eq!(runtime.block_on(answers(parts)), expected);
    }
}
