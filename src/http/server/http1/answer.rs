//! Answers as bytes. What frames an answer is decided here; a handler has no say in it.

use std::io::Write;

use axum::body::HttpBody;
use axum::http::header::{
    CONNECTION, CONTENT_LENGTH, DATE, TRANSFER_ENCODING, X_CONTENT_TYPE_OPTIONS,
};
use axum::http::{HeaderMap, HeaderValue, StatusCode};
use tokio::time::{Duration, Instant};

use super::wire::Error;
use crate::clock::{Clock, Timestamp};

/// How an answer's body is framed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Frames {
    /// There is none, and nothing to be said of its length.
    Nothing,
    /// It has so many bytes.
    Length(u64),
    /// There is none; what it would have, its headers say.
    Announced,
    /// In chunks.
    Chunked,
    /// It ends with the connection.
    Close,
}

/// What decides how an answer is framed.
#[derive(Clone, Copy, Debug)]
pub(super) struct Asked {
    /// The request speaks HTTP/1.1, not 1.0.
    pub(super) is_11: bool,
    /// The method is HEAD.
    pub(super) is_head: bool,
    /// The connection stays open behind the answer.
    pub(super) keep_alive: bool,
}

impl Asked {
    pub(super) fn frames(self, status: StatusCode, body: &impl HttpBody) -> Frames {
        if matches!(status, StatusCode::NO_CONTENT | StatusCode::NOT_MODIFIED) {
            return Frames::Nothing;
        }
        match body.size_hint().exact() {
            Some(0) if self.is_head => Frames::Announced,
            Some(length) => Frames::Length(length),
            None if self.is_head => Frames::Announced,
            None if self.is_11 => Frames::Chunked,
            None => Frames::Close,
        }
    }

    /// Writes the head of an answer.
    pub(super) fn write(
        self,
        out: &mut Vec<u8>,
        (status, headers): (StatusCode, &HeaderMap),
        frames: Frames,
        date: &str,
    ) {
        out.extend_from_slice(if self.is_11 { b"HTTP/1.1 " } else { b"HTTP/1.0 " });
        out.extend_from_slice(status.as_str().as_bytes());
        out.push(b' ');
        out.extend_from_slice(status.canonical_reason().unwrap_or_default().as_bytes());
        out.extend_from_slice(b"\r\n");
        for (name, value) in headers {
            let ours = name == CONNECTION || name == TRANSFER_ENCODING || name == DATE;
            if ours || (name == CONTENT_LENGTH && frames != Frames::Announced) {
                continue;
            }
            out.extend_from_slice(name.as_str().as_bytes());
            out.extend_from_slice(b": ");
            out.extend_from_slice(value.as_bytes());
            out.extend_from_slice(b"\r\n");
        }
        match frames {
            Frames::Length(length) => {
                out.extend_from_slice(b"content-length: ");
                out.extend_from_slice(itoa::Buffer::new().format(length).as_bytes());
                out.extend_from_slice(b"\r\n");
            }
            Frames::Chunked => out.extend_from_slice(b"transfer-encoding: chunked\r\n"),
            Frames::Nothing | Frames::Announced | Frames::Close => {}
        }
        if self.keep_alive && !self.is_11 {
            out.extend_from_slice(b"connection: keep-alive\r\n");
        } else if !self.keep_alive && self.is_11 {
            out.extend_from_slice(b"connection: close\r\n");
        }
        out.extend_from_slice(b"date: ");
        out.extend_from_slice(date.as_bytes());
        out.extend_from_slice(b"\r\n\r\n");
    }
}

/// Writes the answer to a head that is none; its status.
pub(super) fn write_refusal(out: &mut Vec<u8>, error: Error, date: &str) -> StatusCode {
    let status = match error {
        Error::Malformed => StatusCode::BAD_REQUEST,
        Error::TooLarge => StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE,
    };
    let asked = Asked { is_11: true, is_head: false, keep_alive: false };
    let nosniff = HeaderValue::from_static("nosniff");
    let headers = HeaderMap::from_iter([(X_CONTENT_TYPE_OPTIONS, nosniff)]);
    asked.write(out, (status, &headers), Frames::Length(0), date);
    status
}

/// Writes a part of an answer's body.
pub(super) fn write_part(out: &mut Vec<u8>, part: &[u8], frames: Frames) {
    if frames != Frames::Chunked {
        out.extend_from_slice(part);
    } else if !part.is_empty() {
        // A vector takes all that it is given.
        write!(out, "{:x}\r\n", part.len()).ok();
        out.extend_from_slice(part);
        out.extend_from_slice(b"\r\n");
    }
}

/// Writes what ends an answer's body.
pub(super) fn write_end(out: &mut Vec<u8>, frames: Frames) {
    if frames == Frames::Chunked {
        out.extend_from_slice(b"0\r\n\r\n");
    }
}

/// The time as answers tell it, put in words once a second.
#[derive(Debug)]
pub(super) struct Date {
    text: String,
    until: Option<Instant>,
}

impl Date {
    pub(super) const fn new() -> Self {
        Self { text: String::new(), until: None }
    }

    /// The text at `now`.
    pub(super) fn at(&mut self, now: Instant, clock: &dyn Clock) -> &str {
        if self.until.is_none_or(|until| now >= until) {
            let time = clock.now();
            let into_second = time.micros().rem_euclid(1_000_000);
            let left = Duration::from_micros((1_000_000 - into_second).unsigned_abs());
            self.until = Some(now + left);
            self.text = text(time);
        }
        &self.text
    }
}

/// A moment as RFC 9110 writes it. Without a text for a year past 9999: no client reads it then.
fn text(time: Timestamp) -> String {
    jiff::Timestamp::from_microsecond(time.micros())
        .ok()
        .and_then(|time| {
            let printer = jiff::fmt::rfc2822::DateTimePrinter::new();
            printer.timestamp_to_rfc9110_string(&time).ok()
        })
        .unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use axum::body::Body;
    use axum::http::HeaderValue;

    use super::*;
    use crate::clock::Fixed;

    fn written(asked: Asked, status: u16, headers: &[(&'static str, &str)], body: &str) -> String {
        let mut map = HeaderMap::new();
        for (name, value) in headers {
            map.append(*name, HeaderValue::from_str(value).unwrap());
        }
        let status = StatusCode::from_u16(status).unwrap();
        let frames = asked.frames(status, &Body::from(body.to_owned()));
        let mut out = Vec::new();
        asked.write(&mut out, (status, &map), frames, "D");
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn answers_are_framed_for_who_asked() {
        let asked = Asked { is_11: true, is_head: false, keep_alive: true };
        let old = Asked { is_11: false, ..asked };
        let head = Asked { is_head: true, ..asked };
        let last = Asked { keep_alive: false, ..asked };
        let long = [
            ("content-length", "7"),
            ("connection", "x"),
            ("transfer-encoding", "y"),
            ("date", "z"),
        ];
        for (asked, status, headers, body, expected) in [
            (
                asked,
                200,
                &[("a", "b")][..],
                "ok",
                "HTTP/1.1 200 OK\r\na: b\r\ncontent-length: 2\r\n",
            ),
            (asked, 200, &long, "", "HTTP/1.1 200 OK\r\ncontent-length: 0\r\n"),
            (asked, 204, &[], "", "HTTP/1.1 204 No Content\r\n"),
            (asked, 299, &[], "", "HTTP/1.1 299 \r\ncontent-length: 0\r\n"),
            (head, 200, &long, "", "HTTP/1.1 200 OK\r\ncontent-length: 7\r\n"),
            (head, 200, &[], "four", "HTTP/1.1 200 OK\r\ncontent-length: 4\r\n"),
            (head, 200, &[], "", "HTTP/1.1 200 OK\r\n"),
            (last, 200, &[], "ok", "HTTP/1.1 200 OK\r\ncontent-length: 2\r\nconnection: close\r\n"),
            (
                old,
                200,
                &[],
                "ok",
                "HTTP/1.0 200 OK\r\ncontent-length: 2\r\nconnection: keep-alive\r\n",
            ),
        ] {
            let expected = format!("{expected}date: D\r\n\r\n");
            assert_eq!(written(asked, status, headers, body), expected);
        }
        let unknown = Body::from_stream(futures_util::stream::pending::<Result<&str, Error>>());
        assert_eq!(asked.frames(StatusCode::OK, &unknown), Frames::Chunked);
        assert_eq!(old.frames(StatusCode::OK, &unknown), Frames::Close);
        let mut out = Vec::new();
        write_part(&mut out, b"", Frames::Chunked);
        write_part(&mut out, b"0123456789abcdef", Frames::Chunked);
        write_end(&mut out, Frames::Chunked);
        assert_eq!(out, b"10\r\n0123456789abcdef\r\n0\r\n\r\n");
    }

    #[test]
    fn the_date_is_put_in_words_once_a_second() {
        let clock = Fixed::at(Timestamp::from_millis(784_111_777_250));
        let (mut date, start) = (Date::new(), Instant::now());
        assert_eq!(date.at(start, &clock), "Sun, 06 Nov 1994 08:49:37 GMT");
        clock.advance(Duration::from_secs(60));
        let later = |millis| start + Duration::from_millis(millis);
        assert_eq!(date.at(later(749), &clock), "Sun, 06 Nov 1994 08:49:37 GMT");
        assert_eq!(date.at(later(750), &clock), "Sun, 06 Nov 1994 08:50:37 GMT");
    }
}
