//! The pass over one text, of which only those detectors look at it that its classes allow.

use super::class::{
    self, ALNUM, AT, COLON, DASH, DIGIT, EQUALS, HIGH, OTHER, SLASH, UPPER, is_alnum,
};
use super::number::{self, Groups};
use super::token;
use super::{
    Detector, Found, Set, birth, crypto, email, iban, net, owner, path, phone, secret, spoken,
};

/// The shortest vendor's token, Amazon's.
pub(super) const TOKEN_MIN: usize = 18;

/// The shortest thing without a sign: an IPv4 address, a local telephone number.
pub(super) const NUMBER_MIN: usize = 7;

/// A text and what was found in it.
pub(super) struct Scan<'t, 'f> {
    text: &'t str,
    bytes: &'t [u8],
    want: Set,
    found: &'f mut Vec<Found>,
    run: token::Run,
}

impl<'t, 'f> Scan<'t, 'f> {
    pub(super) fn new(text: &'t str, want: Set, found: &'f mut Vec<Found>) -> Self {
        Self { text, bytes: text.as_bytes(), want, found, run: token::Run::default() }
    }
}

const NUMBERS: Set =
    Set::of(&[Detector::Phone, Detector::Card, Detector::Ssn, Detector::Ipv4, Detector::Imei]);
const TOKENS: Set = Set::of(&[Detector::Jwt, Detector::Token]);

/// A run of ASCII letters and digits that has begun.
struct Word {
    start: usize,
    some_digit: bool,
    all_digits: bool,
}

const PATHS: Set = Set::of(&[Detector::UserPath, Detector::UserFile]);
const WORDS: Set = NUMBERS.with(Set::of(&[
    Detector::Iban,
    Detector::Ipv6,
    Detector::Mac,
    Detector::Jwt,
    Detector::Token,
    Detector::Crypto,
    Detector::BirthDate,
]));

impl Scan<'_, '_> {
    /// Runs the detectors that texts of these classes need.
    pub(super) fn run(&mut self, classes: u16) {
        let has = |class: u16| classes & class != 0;
        if has(AT) {
            self.at_signs(classes);
        }
        if has(SLASH) && self.want.any(PATHS) {
            self.paths();
        }
        if has(COLON | EQUALS) && self.want.has(Detector::Secret) {
            self.secrets();
        }
        if has(OTHER) && self.want.has(Detector::Secret) {
            if has(SLASH) {
                for at in memchr::memmem::find_iter(self.bytes, b"</") {
                    self.keep(secret::element(self.text, at), Detector::Secret);
                }
            }
            if has(DIGIT) && self.bytes.len() >= TOKEN_MIN {
                for at in memchr::memchr2_iter(b' ', b'\t', self.bytes) {
                    self.keep(spoken::behind(self.text, at), Detector::Secret);
                }
            }
        }
        if has(DASH) && self.bytes.len() > 30 && self.want.has(Detector::Pem) {
            self.pems();
        }
        if has(OTHER) && has(UPPER) && self.want.has(Detector::Name) {
            let found = &mut *self.found;
            owner::introduced(self.text, &mut |start, end| {
                found.push(Found { start, end, what: Detector::Name, encoded: false });
            });
        }
        if has(HIGH) && has(DIGIT) && self.want.has(Detector::BirthDate) {
            let found = &mut *self.found;
            birth::beyond_ascii(self.text, &mut |start, end| {
                found.push(Found { start, end, what: Detector::BirthDate, encoded: false });
            });
        }
        if self.want.has(Detector::DeviceOwner) {
            let span = owner::device_owner(self.text);
            self.keep(span, Detector::DeviceOwner);
        }
        if self.want.has(Detector::Opaque) && token::is_opaque(self.bytes) {
            self.keep(Some((0, self.bytes.len())), Detector::Opaque);
        }
        let tokens = has(UPPER) && self.bytes.len() >= TOKEN_MIN;
        if !self.want.any(WORDS) || !has(DIGIT) && !tokens {
            return;
        }
        // Where tokens are all there is to look for, as in user agents, few texts have one as long.
        if self.want.any(WORDS.without(TOKENS)) || token::may_be_in(self.bytes, TOKEN_MIN) {
            self.words(classes);
        }
    }

    fn keep(&mut self, span: Option<(usize, usize)>, what: Detector) -> Option<usize> {
        let (start, end) = span?;
        self.found.push(Found { start, end, what, encoded: false });
        Some(end)
    }

    /// Keeps what `end` says was found from `start` on, if `what` is wanted at all.
    fn check(
        &mut self,
        what: Detector,
        start: usize,
        end: impl FnOnce() -> Option<usize>,
    ) -> Option<usize> {
        if !self.want.has(what) {
            return None;
        }
        let end = end()?;
        self.keep(Some((start, end)), what)
    }

    fn at_signs(&mut self, classes: u16) {
        if classes & COLON != 0 && classes & SLASH != 0 && self.want.has(Detector::Credentials) {
            for at in memchr::memmem::find_iter(self.bytes, b"//") {
                self.keep(path::credentials(self.text, at), Detector::Credentials);
            }
        }
        if classes & COLON != 0 && self.want.has(Detector::Credentials) {
            for at in memchr::memchr_iter(b'@', self.bytes) {
                self.keep(path::data_source(self.bytes, at), Detector::Credentials);
            }
        }
        if !self.want.has(Detector::Email) {
            return;
        }
        for at in memchr::memchr_iter(b'@', self.bytes) {
            let Some(span) = email::around(self.text, at) else { continue };
            self.keep(Some(span), Detector::Email);
            let opened = span.0 > 0 && matches!(self.bytes[span.0 - 1], b'<' | b'(');
            if opened && self.want.has(Detector::Name) {
                self.keep(owner::before_bracket(self.text, span.0 - 1), Detector::Name);
            }
        }
    }

    fn paths(&mut self) {
        let cautious = !self.want.has(Detector::UserPath);
        let what = if cautious { Detector::UserFile } else { Detector::UserPath };
        for at in memchr::memchr2_iter(b'/', b'\\', self.bytes) {
            self.keep(path::user_folder(self.text, at, cautious), what);
        }
    }

    fn secrets(&mut self) {
        let (mut ends, mut reach) = (secret::Ends::default(), 0);
        for at in memchr::memchr2_iter(b'=', b':', self.bytes) {
            // One within another says nothing new.
            let span = secret::behind(self.text, at, &mut ends).filter(|span| span.1 > reach);
            reach = self.keep(span, Detector::Secret).unwrap_or(reach);
        }
    }

    fn pems(&mut self) {
        let mut armour_end = token::ArmourEnd::default();
        for at in memchr::memmem::find_iter(self.bytes, b"-----BEGIN ") {
            let end = token::pem(self.bytes, at, &mut armour_end);
            self.keep(end.map(|end| (at, end)), Detector::Pem);
        }
    }

    /// Goes from word to word; a word is a run of ASCII letters and digits. Block by block as bits,
    /// since words are short and a branch at each end of each would cost more than all else.
    fn words(&mut self, classes: u16) {
        if classes & !ALNUM == 0 {
            self.word(0, self.bytes.len(), classes & DIGIT != 0, classes == DIGIT);
            return;
        }
        let mut open: Option<Word> = None;
        // Words before this place belong to something found already.
        let mut from = 0;
        for (number, block) in self.bytes.chunks(64).enumerate() {
            let base = number * 64;
            let (alnum, digits) = class::word_bits(block);
            let mut at = 0;
            while at < 64 {
                let mut word = match open.take() {
                    Some(word) => word,
                    None => {
                        at += (alnum >> at).trailing_zeros();
                        if at >= 64 {
                            break;
                        }
                        Word { start: base + at as usize, some_digit: false, all_digits: true }
                    }
                };
                let length = (!(alnum >> at)).trailing_zeros().min(64 - at);
                let bits = if length == 64 { u64::MAX } else { ((1 << length) - 1) << at };
                word.some_digit |= digits & bits != 0;
                word.all_digits &= digits & bits == bits;
                at += length;
                let end = base + at as usize;
                if at == 64 && end < self.bytes.len() {
                    open = Some(word);
                } else if word.start >= from {
                    from = self.word(word.start, end, word.some_digit, word.all_digits);
                }
            }
        }
    }

    /// Looks at the word from `start` to `end` and what may start with it; returns where to go on.
    #[inline]
    fn word(&mut self, start: usize, end: usize, some_digit: bool, all_digits: bool) -> usize {
        let next = self.bytes.get(end).copied().unwrap_or_default();
        let behind = start > 1 && self.bytes[start - 1] == b':' && self.behind_colons(start);
        let before = end - start <= 4 && matches!(next, b':' | b'-' | b'.');
        if (before || behind)
            && let Some(end) = self.address(start, end - start, next, behind)
        {
            return end;
        }
        let found = if all_digits {
            self.number(start, end, next)
        } else if some_digit {
            self.mixed(start, end, next)
        } else {
            self.letters(start, end, next)
        };
        found.unwrap_or(end)
    }

    fn behind_colons(&self, start: usize) -> bool {
        let head = self.bytes.get(..start).unwrap_or_default();
        head.ends_with(b"::")
            && !head.strip_suffix(b"::").and_then(<[u8]>::last).is_some_and(|&b| is_alnum(b))
    }

    /// An address of hardware or IPv6 whose first group, or the one behind `::`, is at `start`.
    fn address(&mut self, start: usize, length: usize, next: u8, behind: bool) -> Option<usize> {
        let (text, bytes) = (self.text, self.bytes);
        if !bytes[start].is_ascii_hexdigit() {
            return None;
        }
        let pairs = length == 2 && next != b'.' || length == 4 && next == b'.';
        if pairs && let Some(end) = self.check(Detector::Mac, start, || net::mac(bytes, start)) {
            return Some(end);
        }
        if next != b':' && !behind {
            return None;
        }
        let from = if behind { start - 2 } else { start };
        // A group in the middle of an address that was none; one with `::` may still follow.
        let again = !behind
            && start > 1
            && bytes[start - 1] == b':'
            && matches!(net::hex_group_before(bytes, start - 1), 1..=4);
        let compressed = |end: &usize| memchr::memmem::find(&bytes[from..*end], b"::").is_some();
        // In a long row of groups each would be read as an address for nothing.
        let window = &bytes[from..bytes.len().min(from + net::IPV6_WINDOW)];
        if again && !window.windows(2).any(|two| two == b"::") {
            return None;
        }
        let whole = || net::ipv6(text, from).filter(|end| !again || compressed(end));
        self.check(Detector::Ipv6, from, whole)
    }

    fn number(&mut self, start: usize, end: usize, next: u8) -> Option<usize> {
        let (text, bytes) = (self.text, self.bytes);
        let form = match end - start {
            1 => next == b'/',
            8..=10 => next == b':',
            _ => false,
        };
        if form
            && let Some(end) = self.check(Detector::Token, start, || token::vendor(bytes, start))
        {
            return Some(end);
        }
        // Alone and short, or not even announced: most numbers in texts.
        let alone = !matches!(next, b' ' | b'-' | b'.' | b'/' | b'(' | b')');
        if !self.want.any(NUMBERS) || alone && end - start < NUMBER_MIN {
            return None;
        }
        let signed = start > 0 && bytes[start - 1] == b'+';
        if signed {
            let span = phone::international(bytes, start).map(|end| (start - 1, end));
            if let Some(span) = span.filter(|_| self.want.has(Detector::Phone)) {
                return self.keep(Some(span), Detector::Phone);
            }
        }
        let groups = Groups::read(bytes, start);
        let short = groups.count == 0 || groups.end(groups.count) - start < 7;
        if short && !follows(bytes, start, b'(') && !phone::has_trunk_zero(bytes, end) {
            return None;
        }
        self.check(Detector::Ipv4, start, || net::ipv4(text, &groups))
            .or_else(|| self.check(Detector::Card, start, || number::card(text, &groups)))
            .or_else(|| self.check(Detector::Ssn, start, || number::ssn(text, &groups)))
            .or_else(|| self.check(Detector::Imei, start, || number::imei(text, &groups)))
            .or_else(|| self.phone(&groups))
    }

    fn phone(&mut self, groups: &Groups) -> Option<usize> {
        if !self.want.has(Detector::Phone) {
            return None;
        }
        let start = groups.spans[0].0;
        let extended = phone::with_extended(self.bytes, groups);
        let groups = extended.as_ref().unwrap_or(groups);
        let span = phone::north_american(self.bytes, groups)
            .or_else(|| phone::dialled(self.bytes, groups).map(|end| (start, end)))
            .or_else(|| phone::in_context(self.text, groups));
        self.keep(span, Detector::Phone)
    }

    /// A word of letters and digits.
    fn mixed(&mut self, start: usize, end: usize, next: u8) -> Option<usize> {
        let (bytes, length) = (self.bytes, end - start);
        if length >= 4
            && let Some(end) = self.check(Detector::Iban, start, || iban::at(bytes, start))
        {
            return Some(end);
        }
        if length == 12 && self.want.has(Detector::Mac) && net::bare_mac(self.text, start, end) {
            return self.keep(Some((start, end)), Detector::Mac);
        }
        if bytes[start].is_ascii_digit() && length >= 9 && self.want.has(Detector::Phone) {
            let span = phone::with_glued(self.text, start);
            if let Some(end) = self.keep(span, Detector::Phone) {
                return Some(end);
            }
        }
        // `IBANDE89...`
        if length >= 8
            && bytes[start..end].get(..4).is_some_and(|head| head.eq_ignore_ascii_case(b"iban"))
            && let Some(end) = self.check(Detector::Iban, start + 4, || iban::at(bytes, start + 4))
        {
            return Some(end);
        }
        if length < TOKEN_MIN && !matches!(next, b'-' | b'_' | b'.' | b'~') {
            return None;
        }
        if let Some(end) = self.token(start) {
            return Some(end);
        }
        if !crypto::may_be(bytes, start, end) || !self.want.has(Detector::Crypto) {
            return None;
        }
        let span = crypto::is_address(bytes, start, end).then_some((start, end));
        self.keep(span, Detector::Crypto)
    }

    /// A word of letters only.
    fn letters(&mut self, start: usize, end: usize, next: u8) -> Option<usize> {
        let (text, bytes, length) = (self.text, self.bytes, end - start);
        let word = bytes.get(start..end).unwrap_or_default();
        let head = || text.get(..start).unwrap_or_default();
        let shortened =
            matches!(next, b'.' | b':' | b' ') && birth::announces_shortened(head(), word);
        let hook = next == b'/' && word == b"hooks";
        if length >= TOKEN_MIN || hook || matches!(next, b'-' | b'_' | b'.' | b'~') && !shortened {
            // `birth_date` and `date of birth.` look like the beginning of a token.
            if let Some(end) = self.token(start) {
                return Some(end);
            }
        }
        let announced = shortened
            || length == 2 && birth::announces_with_article(head(), word)
            || birth::announces(word);
        if self.want.has(Detector::BirthDate) && announced {
            let span = birth::date_behind(text, end + usize::from(shortened && next == b'.'));
            return self.keep(span, Detector::BirthDate);
        }
        if next == b' ' && self.want.has(Detector::Token) {
            let span = token::scheme(bytes, word, end);
            return self.keep(span, Detector::Token);
        }
        None
    }

    fn token(&mut self, start: usize) -> Option<usize> {
        let bytes = self.bytes;
        let mut run = std::mem::take(&mut self.run);
        let jwt = self.check(Detector::Jwt, start, || token::jwt(bytes, start, &mut run));
        self.run = run;
        // An id may have the general form as well: it counts where secrets are looked for.
        let general = self.want.has(Detector::Secret);
        let token = || {
            let general = || general.then(|| token::general(bytes, start)).flatten();
            token::vendor(bytes, start).or_else(general)
        };
        jwt.or_else(|| self.check(Detector::Token, start, token))
    }
}

fn follows(bytes: &[u8], start: usize, before: u8) -> bool {
    start.checked_sub(1).is_some_and(|at| bytes[at] == before)
}
