//! Chance with a seed, and values after a pattern.

/// SplitMix64.
pub(super) struct Dice(u64);

const ALNUM: &[u8] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789";

impl Dice {
    pub(super) const fn new(seed: u64) -> Self {
        Self(seed.wrapping_mul(0x9E37_79B9_7F4A_7C15))
    }

    pub(super) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }

    /// From `low` to `high`, both included.
    pub(super) fn range(&mut self, low: u64, high: u64) -> u64 {
        low + self.next() % (high - low + 1)
    }

    pub(super) fn place(&mut self, length: usize) -> usize {
        usize::try_from(self.range(0, length as u64 - 1)).unwrap()
    }

    pub(super) fn of<'a, T: ?Sized>(&mut self, list: &[&'a T]) -> &'a T {
        list[self.place(list.len())]
    }

    pub(super) fn from(&mut self, alphabet: &[u8]) -> char {
        char::from(alphabet[self.place(alphabet.len())])
    }

    pub(super) fn some(&mut self, alphabet: &[u8], count: usize) -> String {
        (0..count).map(|_| self.from(alphabet)).collect()
    }

    /// A text after a pattern: `#` is a digit, `§` 2 to 9, `¤` a letter or digit, `ħ` a small and
    /// `Ħ` a capital hexadecimal digit, `ł` a small and `Ł` a capital letter, `ŧ` of base 32,
    /// `ũ` of base64url; all else is itself.
    pub(super) fn after(&mut self, pattern: &str) -> String {
        pattern
            .chars()
            .map(|ch| match ch {
                '#' => self.from(b"0123456789"),
                '§' => self.from(b"23456789"),
                '¤' => self.from(ALNUM),
                'ħ' => self.from(b"0123456789abcdef"),
                'Ħ' => self.from(b"0123456789ABCDEF"),
                'ł' => self.from(b"abcdefghijklmnopqrstuvwxyz"),
                'Ł' => self.from(b"ABCDEFGHIJKLMNOPQRSTUVWXYZ"),
                'ŧ' => self.from(b"ABCDEFGHIJKLMNOPQRSTUVWXYZ234567"),
                'ũ' => {
                    self.from(b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_")
                }
                other => other,
            })
            .collect()
    }

    /// A pattern's last character so many times over: `("ghp_¤", 36)`.
    pub(super) fn repeated(&mut self, head: &str, each: char, count: usize) -> String {
        let tail: String = std::iter::repeat_n(each, count).collect();
        head.to_owned() + &self.after(&tail)
    }
}
