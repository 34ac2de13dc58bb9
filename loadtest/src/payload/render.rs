//! Puts events into requests: path, headers, body, compression, and the faults a profile asks for.
//! A request is one run of bytes, ready to be written, so that sending costs no formatting.

use std::io::Write;
use std::sync::Arc;

use anyhow::Context;
use base64::Engine;
use flate2::Compression;
use flate2::write::GzEncoder;

use super::client::{Client, Habits, weighted};
use super::template::Fill;
use crate::profile::{Profile, Send};
use crate::rng::Rng;

/// Users that the traffic's ids are drawn from; each keeps its ids for the whole run.
const USERS: u64 = 10_000;

/// Where requests go.
#[derive(Clone, Debug)]
pub(crate) struct Target {
    /// Host and port, as the Host header says it.
    pub(crate) authority: String,
    /// Path in front of every endpoint; empty or `/prefix`.
    pub(crate) prefix: String,
}

/// What the right answer to a request is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Expect {
    /// 200: every event of it is kept, if only among the rejected.
    Taken,
    /// This status: nothing of it is kept.
    Refused(u16),
    /// No answer at all, since the sender goes away amid the body.
    Nothing,
}

/// One request, ready to be written to a connection.
#[derive(Clone, Debug)]
pub(crate) struct Request {
    /// Head and body.
    pub(crate) bytes: Vec<u8>,
    /// Where its body begins.
    pub(crate) body_at: usize,
    /// Events in it.
    pub(crate) events: u32,
    /// Their message ids, each followed by a line feed.
    pub(crate) ids: Vec<u8>,
    /// What a right server does with it.
    pub(crate) expect: Expect,
    /// How many of `bytes` are written before the sender goes away.
    pub(crate) cut_at: Option<usize>,
}

#[derive(Clone, Debug)]
struct Sender {
    client: usize,
    write_key: String,
    authorization: String,
}

/// Makes the requests of one connection.
#[derive(Debug)]
pub(crate) struct Renderer {
    plan: Arc<Plan>,
    rng: Rng,
    body: Vec<u8>,
}

#[derive(Debug)]
struct Plan {
    target: Target,
    profile: Profile,
    seed: u64,
    habits: Vec<Habits>,
    senders: Vec<(u32, Sender)>,
}

impl Renderer {
    /// Compiles what `profile` sends to `target`; equal seeds make equal traffic, times aside.
    ///
    /// # Errors
    /// When a payload file cannot be compiled.
    pub(crate) fn new(profile: &Profile, target: &Target, seed: u64) -> anyhow::Result<Self> {
        let mut clients: Vec<Client> = Vec::new();
        let mut senders = Vec::with_capacity(profile.sources.len());
        for source in &profile.sources {
            let known = clients.iter().position(|client| *client == source.client);
            let client = known.unwrap_or(clients.len());
            if known.is_none() {
                clients.push(source.client);
            }
            let user = format!("{}:", source.write_key);
            let authorization = base64::engine::general_purpose::STANDARD.encode(user);
            let write_key = source.write_key.clone();
            senders.push((source.weight, Sender { client, write_key, authorization }));
        }
        let habits = clients.into_iter().map(Habits::compile).collect::<Result<_, _>>()?;
        let (target, profile) = (target.clone(), profile.clone());
        let plan = Arc::new(Plan { target, profile, seed, habits, senders });
        Ok(Self { plan, rng: Rng::new(seed), body: Vec::new() })
    }

    /// The renderer of connection `lane`, which has its own randomness.
    pub(crate) fn lane(&self, lane: u64) -> Self {
        let rng = Rng::lane(self.plan.seed, lane);
        Self { plan: Arc::clone(&self.plan), rng, body: Vec::new() }
    }

    /// The same traffic in kind, other events: the lanes of this one draw from `seed`.
    pub(crate) fn reseeded(&self, seed: u64) -> Self {
        let Plan { target, profile, habits, senders, .. } = &*self.plan;
        let (target, profile) = (target.clone(), profile.clone());
        let (habits, senders) = (habits.clone(), senders.clone());
        let plan = Arc::new(Plan { target, profile, seed, habits, senders });
        Self { plan, rng: Rng::new(seed), body: Vec::new() }
    }

    /// The next request, its events dated `now_millis`.
    ///
    /// # Errors
    /// When the compressor fails, which it does not on memory.
    pub(crate) fn request(&mut self, now_millis: i64) -> anyhow::Result<Request> {
        let plan = Arc::clone(&self.plan);
        let sender = weighted(&mut self.rng, &plan.senders).context("no source has a weight")?;
        let habits = plan.habits.get(sender.client).context("a source without a client")?;
        let fault = Fault::draw(&plan.profile, &mut self.rng);
        let (send, count) = self.way(&plan.profile, habits)?;
        let mut ids = Vec::new();
        let path = self.body(habits, send, count, now_millis, fault, &mut ids)?;
        let mut request = Request {
            bytes: Vec::with_capacity(self.body.len() + 1_024),
            body_at: 0,
            events: u32::try_from(count)?,
            ids,
            expect: Expect::Taken,
            cut_at: None,
        };
        match fault {
            Fault::BadJson => {
                self.body.truncate(self.body.len() / 2);
                request.expect = Expect::Refused(400);
            }
            Fault::BadKey => request.expect = Expect::Refused(401),
            Fault::NoIds => request.expect = Expect::Refused(400),
            Fault::CutShort => request.expect = Expect::Nothing,
            Fault::None | Fault::UnknownType => {}
        }
        self.write(&plan, sender, habits, send, &path, fault, &mut request)?;
        Ok(request)
    }

    /// Events of a request, on average over sources and ways to send.
    pub(crate) fn mean_events(&self) -> f64 {
        let traffic = &self.plan.profile.traffic;
        match traffic.send {
            Send::Single => 1.0,
            Send::Batch | Send::Beacon => u32::try_from(traffic.batch).map_or(1.0, f64::from),
            Send::AsSdk => {
                let senders = &self.plan.senders;
                let total: f64 = senders.iter().map(|(weight, _)| f64::from(*weight)).sum();
                let events = |(weight, sender): &(u32, Sender)| {
                    let mean = self.plan.habits.get(sender.client).map_or(1.0, Habits::mean_events);
                    f64::from(*weight) * mean
                };
                senders.iter().map(events).sum::<f64>() / total.max(1.0)
            }
        }
    }

    fn way(&mut self, profile: &Profile, habits: &Habits) -> anyhow::Result<(Send, usize)> {
        Ok(match profile.traffic.send {
            Send::AsSdk => {
                let way = habits.way(&mut self.rng).context("a client without a way to send")?;
                let (low, high) = way.events;
                (way.send, usize::try_from(self.rng.between(low, high))?)
            }
            Send::Single => (Send::Single, 1),
            batched => (batched, profile.traffic.batch),
        })
    }

    /// Fills `self.body` and answers with the path, write keys in queries aside.
    fn body(
        &mut self,
        habits: &Habits,
        send: Send,
        count: usize,
        now_millis: i64,
        fault: Fault,
        ids: &mut Vec<u8>,
    ) -> anyhow::Result<String> {
        self.body.clear();
        let mut path = String::from("/v1/batch");
        if send != Send::Single {
            self.body.extend_from_slice(b"{\"batch\":[");
        }
        for number in 0..count {
            if number > 0 {
                self.body.push(b',');
            }
            let event = habits.event(&mut self.rng).context("a client without events")?;
            if send == Send::Single {
                path = format!("/v1/{}", event.kind);
            }
            self.body.push(b'{');
            // Some servers keep the first of two equal keys and some the last: both overrule.
            let overrule: &[u8] = match fault {
                Fault::NoIds => NO_IDS,
                Fault::UnknownType if number == 0 => UNKNOWN_TYPE,
                _ => b"",
            };
            if !overrule.is_empty() {
                self.body.extend_from_slice(overrule);
                self.body.push(b',');
            }
            let user = Rng::lane(self.plan.seed, self.rng.below(USERS)).next();
            let mut fill = Fill { rng: &mut self.rng, now_millis, user, ids };
            event.template.render(&mut self.body, &mut fill);
            if !overrule.is_empty() {
                self.body.push(b',');
                self.body.extend_from_slice(overrule);
            }
            if send == Send::Single {
                self.sent_at(now_millis);
            }
            self.body.push(b'}');
        }
        if send != Send::Single {
            self.body.push(b']');
            self.sent_at(now_millis);
            self.body.push(b'}');
        }
        if send == Send::Beacon {
            path = String::from("/beacon/v1/batch");
        }
        Ok(path)
    }

    fn sent_at(&mut self, now_millis: i64) {
        self.body.extend_from_slice(b",\"sentAt\":\"");
        crate::clock::write_iso(&mut self.body, now_millis);
        self.body.push(b'"');
    }

    #[expect(clippy::too_many_arguments, reason = "one request's parts, used once")]
    fn write(
        &mut self,
        plan: &Plan,
        sender: &Sender,
        habits: &Habits,
        send: Send,
        path: &str,
        fault: Fault,
        request: &mut Request,
    ) -> anyhow::Result<()> {
        let traffic = &plan.profile.traffic;
        let share = traffic.gzip.unwrap_or(habits.gzip);
        // A beacon is a string handed to the browser: never compressed.
        let gzip = send != Send::Beacon && self.rng.chance(share);
        if gzip {
            let level = Compression::new(traffic.gzip_level);
            let mut encoder = GzEncoder::new(Vec::with_capacity(self.body.len() / 6), level);
            encoder.write_all(&self.body)?;
            self.body = encoder.finish()?;
        }
        let bad = if fault == Fault::BadKey { "no-such-key-" } else { "" };
        let out = &mut request.bytes;
        out.extend_from_slice(b"POST ");
        out.extend_from_slice(plan.target.prefix.as_bytes());
        out.extend_from_slice(path.as_bytes());
        if send == Send::Beacon {
            write!(out, "?writeKey={bad}{}", sender.write_key)?;
        }
        write!(out, " HTTP/1.1\r\nHost: {}\r\n", plan.target.authority)?;
        if send != Send::Beacon {
            let authorization = &sender.authorization;
            // base64 of another user: still well-formed, known to nobody.
            let bad = if bad.is_empty() { "" } else { "bm8tc3VjaC1r" };
            write!(out, "Authorization: Basic {bad}{authorization}\r\n")?;
        }
        out.extend_from_slice(&habits.headers);
        if gzip {
            out.extend_from_slice(b"Content-Encoding: gzip\r\n");
        }
        write!(out, "Content-Length: {}\r\n\r\n", self.body.len())?;
        if fault == Fault::CutShort {
            let within = self.rng.index(self.body.len());
            request.cut_at = Some(out.len() + within);
        }
        request.body_at = out.len();
        out.extend_from_slice(&self.body);
        Ok(())
    }
}

const NO_IDS: &[u8] = br#""anonymousId":"","userId":null"#;
const UNKNOWN_TYPE: &[u8] = br#""type":"tracking""#;

/// What is wrong with a request on purpose.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fault {
    None,
    BadJson,
    BadKey,
    NoIds,
    UnknownType,
    CutShort,
}

impl Fault {
    fn draw(profile: &Profile, rng: &mut Rng) -> Self {
        let shares = profile.faults;
        let mut left = rng.unit();
        for (share, fault) in [
            (shares.bad_json, Self::BadJson),
            (shares.bad_key, Self::BadKey),
            (shares.no_ids, Self::NoIds),
            (shares.unknown_type, Self::UnknownType),
            (shares.cut_short, Self::CutShort),
        ] {
            if left < share {
                return fault;
            }
            left -= share;
        }
        Self::None
    }
}

#[cfg(test)]
mod tests {
    use std::io::Read;

    use serde_json::Value;

    use super::*;

    fn renderer(profile: &Profile, seed: u64) -> Renderer {
        let target = Target { authority: "host:1".to_owned(), prefix: "/in".to_owned() };
        Renderer::new(profile, &target, seed).unwrap()
    }

    fn split(request: &Request) -> (String, Vec<u8>) {
        let at = request.bytes.windows(4).position(|four| four == b"\r\n\r\n").unwrap() + 4;
        let head = String::from_utf8(request.bytes[..at].to_vec()).unwrap();
        (head, request.bytes[at..].to_vec())
    }

    fn json(head: &str, body: &[u8]) -> Value {
        if !head.contains("Content-Encoding: gzip") {
            return serde_json::from_slice(body).unwrap();
        }
        let mut text = String::new();
        flate2::bufread::MultiGzDecoder::new(body).read_to_string(&mut text).unwrap();
        serde_json::from_str(&text).unwrap()
    }

    #[test]
    fn a_batch_holds_its_events_and_their_ids() {
        for name in ["batch50", "batch50-gzip"] {
            let profile = Profile::open(name).unwrap();
            let request = renderer(&profile, 1).request(1_782_000_000_000).unwrap();
            let (head, body) = split(&request);
            assert!(head.starts_with("POST /in/v1/batch HTTP/1.1\r\nHost: host:1\r\n"), "{head}");
            assert_eq!(head.contains("gzip"), name.ends_with("gzip"));
            assert!(head.contains(&format!("Content-Length: {}\r\n", body.len())));
            let value = json(&head, &body);
            let batch = value["batch"].as_array().unwrap();
            assert_eq!((batch.len(), request.events), (50, 50));
            let ids: Vec<&str> =
                batch.iter().map(|one| one["messageId"].as_str().unwrap()).collect();
            assert_eq!(format!("{}\n", ids.join("\n")).as_bytes(), request.ids);
        }
    }

    #[test]
    fn an_event_has_the_size_the_figures_are_for() {
        let profile = Profile::open("single").unwrap();
        let mut renderer = renderer(&profile, 5);
        let total: usize =
            (0..1_000).map(|_| split(&renderer.request(0).unwrap()).1.len()).sum::<usize>();
        assert!((1_150..1_350).contains(&(total / 1_000)), "{} bytes", total / 1_000);
    }

    #[test]
    fn the_corpus_mixes_ways_clients_and_faults() {
        let mut profile = Profile::open("corpus").unwrap();
        profile.faults.bad_json = 0.1;
        profile.faults.no_ids = 0.1;
        let mut renderer = renderer(&profile, 9);
        let mut seen = std::collections::BTreeMap::<String, u32>::new();
        for _ in 0..3_000 {
            let request = renderer.request(1_782_000_000_000).unwrap();
            let (head, body) = split(&request);
            let path = head.split([' ', '?']).nth(1).unwrap().to_owned();
            *seen.entry(path).or_default() += 1;
            *seen.entry(format!("{:?}", request.expect)).or_default() += 1;
            if request.expect == Expect::Taken && request.cut_at.is_none() {
                let value = json(&head, &body);
                assert!(value.get("batch").is_some() || value.get("messageId").is_some());
            }
        }
        for path in ["/in/v1/track", "/in/v1/page", "/in/v1/identify", "/in/v1/batch"] {
            assert!(seen[path] > 50, "{path}: {seen:?}");
        }
        assert!(seen["/in/beacon/v1/batch"] > 20 && seen["/in/v1/group"] > 0, "{seen:?}");
        assert!((400..800).contains(&seen["Refused(400)"]), "{seen:?}");
    }

    #[test]
    fn equal_seeds_and_lanes_send_equal_bytes() {
        let profile = Profile::open("corpus").unwrap();
        let take = |seed, lane| {
            let mut renderer = renderer(&profile, seed).lane(lane);
            (0..20).map(|_| renderer.request(7).unwrap().bytes).collect::<Vec<_>>()
        };
        assert_eq!(take(1, 2), take(1, 2));
        assert_ne!(take(1, 2), take(1, 3));
        assert_ne!(take(1, 2), take(2, 2));
    }
}
