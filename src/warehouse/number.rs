//! What a JSON number is, decided from its spelling so that no digit is lost.

/// A number by the type that holds it exactly.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Number {
    /// Integral and within 64 bits, however it is spelled: `1`, `1.0`, `1e3`, `-0`.
    Int(i64),
    /// Any other number whose nearest double prints back to the same decimal.
    Float(f64),
    /// A number that fits neither, to be kept as it is spelled.
    Text,
}

/// Digits below which a decimal always survives the way through a double (`DBL_DIG`).
const SAFE_DIGITS: usize = 15;

/// More significant digits than any double's shortest form or any 64-bit integer has.
const DIGITS_MAX: usize = 24;

/// The double that is equal to an integer, if there is one.
#[must_use]
#[expect(clippy::cast_precision_loss, reason = "it is asked whether there is a loss")]
#[expect(clippy::cast_possible_truncation, reason = "a double made of 64 bits has no more")]
pub(crate) const fn double_of(int: i64) -> Option<f64> {
    let double = int as f64;
    if double as i128 == int as i128 { Some(double) } else { None }
}

/// Classifies `spelled`, which must follow JSON's grammar.
#[must_use]
pub(super) fn classify(spelled: &str) -> Number {
    if let Some(int) = plain_int(spelled.as_bytes()) {
        return Number::Int(int);
    }
    let mut digits = [0_u8; DIGITS_MAX];
    let Some(decimal) = Decimal::read(spelled, &mut digits) else { return Number::Text };
    if let Some(int) = decimal.as_int() {
        return Number::Int(int);
    }
    let Ok(float) = spelled.parse::<f64>() else { return Number::Text };
    if !float.is_finite() {
        return Number::Text;
    }
    let magnitude = decimal.exponent + i64::try_from(decimal.digits.len()).unwrap_or(0);
    if decimal.digits.len() <= SAFE_DIGITS && (-290..=290).contains(&magnitude) {
        return Number::Float(float);
    }
    let mut shortest = ryu::Buffer::new();
    let mut back = [0_u8; DIGITS_MAX];
    let back = Decimal::read(shortest.format_finite(float), &mut back);
    if back.is_some_and(|back| back == decimal) { Number::Float(float) } else { Number::Text }
}

/// The value of a short integer without fraction or exponent, which most numbers are.
fn plain_int(spelled: &[u8]) -> Option<i64> {
    let (negative, digits) = match spelled {
        [b'-', digits @ ..] => (true, digits),
        digits => (false, digits),
    };
    if digits.is_empty() || digits.len() > 18 {
        return None;
    }
    let mut value = 0_i64;
    for byte in digits {
        let digit = byte.wrapping_sub(b'0');
        if digit > 9 {
            return None;
        }
        value = value * 10 + i64::from(digit);
    }
    Some(if negative { -value } else { value })
}

/// A decimal as significant digits without zeros at either end, times a power of ten.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Decimal<'d> {
    negative: bool,
    digits: &'d [u8],
    exponent: i64,
}

impl<'d> Decimal<'d> {
    /// Reads a number; `None` if it has too many significant digits to be an integer of 64 bits or
    /// a double's shortest form.
    fn read(spelled: &str, digits: &'d mut [u8; DIGITS_MAX]) -> Option<Self> {
        let (negative, rest) = match spelled.strip_prefix('-') {
            Some(rest) => (true, rest),
            None => (false, spelled),
        };
        let (mantissa, written) = match rest.split_once(['e', 'E']) {
            Some((mantissa, exponent)) => (mantissa, saturating(exponent)),
            None => (rest, 0),
        };
        let (mut len, mut after_point, mut exponent, mut zeros) = (0, false, written, 0_i64);
        for byte in mantissa.bytes() {
            if byte == b'.' {
                after_point = true;
                continue;
            }
            exponent -= i64::from(after_point);
            if byte == b'0' {
                // Zeros count only once another digit follows.
                zeros += 1;
                continue;
            }
            if len > 0 {
                let upto = len + usize::try_from(zeros).ok()?;
                digits.get_mut(len..upto)?.fill(b'0');
                len = upto;
            }
            *digits.get_mut(len)? = byte;
            len += 1;
            zeros = 0;
        }
        let digits = digits.get(..len)?;
        if digits.is_empty() {
            return Some(Self { negative: false, digits, exponent: 0 });
        }
        Some(Self { negative, digits, exponent: exponent.saturating_add(zeros) })
    }

    fn as_int(&self) -> Option<i64> {
        if self.digits.is_empty() {
            return Some(0);
        }
        let zeros = u32::try_from(self.exponent).ok()?;
        if self.digits.len() + usize::try_from(zeros).ok()? > 19 {
            return None;
        }
        let mut value = 0_i128;
        for digit in self.digits {
            value = value * 10 + i128::from(digit - b'0');
        }
        value *= 10_i128.pow(zeros);
        i64::try_from(if self.negative { -value } else { value }).ok()
    }
}

/// An exponent's value; far out of every double's range where it is longer than 64 bits.
fn saturating(exponent: &str) -> i64 {
    const FAR: i64 = 1 << 40;
    let digits = exponent.strip_prefix('+').unwrap_or(exponent);
    match digits.parse::<i64>() {
        Ok(value) => value.clamp(-FAR, FAR),
        Err(_) if digits.starts_with('-') => -FAR,
        Err(_) => FAR,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_go_where_they_fit_exactly() {
        for (spelled, number) in [
            ("0", Number::Int(0)),
            ("-0", Number::Int(0)),
            ("-0.000e5", Number::Int(0)),
            ("1.0", Number::Int(1)),
            ("1.50e1", Number::Int(15)),
            ("1e18", Number::Int(1_000_000_000_000_000_000)),
            ("9007199254740993", Number::Int(9_007_199_254_740_993)),
            ("9223372036854775807", Number::Int(i64::MAX)),
            ("-9223372036854775808", Number::Int(i64::MIN)),
            ("9223372036854775808", Number::Text),
            ("18446744073709551616", Number::Text),
            ("18446744073709552000", Number::Float(18_446_744_073_709_552_000.0)),
            ("1e21", Number::Float(1e21)),
            ("1.10", Number::Float(1.1)),
            ("-2.5", Number::Float(-2.5)),
            ("0.1000000000000000055511151231257827", Number::Text),
            ("0.30000000000000004", Number::Float(0.300_000_000_000_000_04)),
            ("0.300000000000000040", Number::Float(0.300_000_000_000_000_04)),
            ("1e400", Number::Text),
            ("1e-400", Number::Text),
            ("5e-324", Number::Float(5e-324)),
            ("4e-324", Number::Text),
            ("1e99999999999999999999", Number::Text),
            ("0e99999999999999999999", Number::Int(0)),
            ("1.7976931348623157e308", Number::Float(f64::MAX)),
        ] {
            assert_eq!(classify(spelled), number, "{spelled}");
        }
        let long = format!("1{}", "0".repeat(400));
        assert_eq!(classify(&long), Number::Text);
        let long = format!("1{}e-400", "0".repeat(400));
        assert_eq!(classify(&long), Number::Int(1));
    }
}
