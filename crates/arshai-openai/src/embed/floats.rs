//! The fast way through a reply of floats.
//!
//! A vector has 1,536 numbers of twenty digits or so, and reading them is nearly all that a reply of floats costs. Most of
//! that is finding the nearest of all floats, which serde_json and the standard library do with integers of many digits. A
//! division of doubles decides it nearly always, and tells when it does not. So the lists are taken out of the reply, and
//! the rest of it is left to serde. Whatever is unusual is left to serde altogether.

const KEY: &[u8] = br#""embedding""#;
/// Powers of ten that a double holds exactly.
const POWERS: [f64; 23] = [
    1e0, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9, 1e10, 1e11, 1e12, 1e13, 1e14, 1e15, 1e16, 1e17, 1e18,
    1e19, 1e20, 1e21, 1e22,
];
/// So many digits fit into 64 bits whatever they are.
const DIGITS: usize = 19;
/// The bits of a double that a float has no place for, and those of them half way between two floats.
const SURPLUS: u64 = (1 << 29) - 1;
const HALF_WAY: u64 = 1 << 28;
/// By so many units of its last bit a double may be off after two roundings, and then some.
const DOUBT: u64 = 4;

/// The lists of a reply.
#[derive(Debug, PartialEq)]
pub(super) struct Floats {
    /// The reply with the number of each list in its place.
    pub(super) rest: Vec<u8>,
    /// The values of all lists.
    pub(super) values: Vec<f32>,
    /// Where each list begins in the values, and its length.
    pub(super) lists: Vec<(usize, usize)>,
}

/// Takes every `"embedding":[…]` out of a reply to `expected` texts; `None` when one of them is not a list of numbers, or
/// there is none. What is no JSON may be taken out wrongly, but not so that the rest is JSON.
pub(super) fn taken_out(body: &[u8], expected: usize) -> Option<Floats> {
    let mut floats = Floats { rest: Vec::new(), values: Vec::new(), lists: Vec::with_capacity(expected) };
    let mut left = body;
    while let Some(at) = left.windows(KEY.len()).position(|window| window == KEY) {
        let (before, after) = left.split_at_checked(at + KEY.len())?;
        floats.rest.extend_from_slice(before);
        left = after;
        // In JSON a text before a colon is a name; elsewhere it is some value.
        let Some(value) = space(after).strip_prefix(b":") else { continue };
        let start = floats.values.len();
        left = list(space(value).strip_prefix(b"[")?, &mut floats.values)?;
        let length = floats.values.len() - start;
        if start == 0 {
            // With the first row, for all of them: growing bit by bit would move them again and again.
            floats
                .values
                .reserve_exact(length.saturating_mul(expected.saturating_sub(1)).min(body.len() / 2));
        }
        floats.rest.extend_from_slice(format!(":{}", floats.lists.len()).as_bytes());
        floats.lists.push((start, length));
    }
    floats.rest.extend_from_slice(left);
    Some(floats).filter(|floats| !floats.lists.is_empty())
}

/// Reads the numbers of a list behind its bracket, and gives what comes behind the list.
fn list<'b>(bytes: &'b [u8], values: &mut Vec<f32>) -> Option<&'b [u8]> {
    let mut left = space(bytes);
    loop {
        let (value, after) = match left.strip_prefix(b"null") {
            // JSON knows no NaN; servers write null for it.
            Some(after) => (f32::NAN, after),
            None => number(left)?,
        };
        values.push(value);
        let after = space(after);
        match after.split_first()? {
            (b',', after) => left = space(after),
            (b']', after) => return Some(after),
            _ => return None,
        }
    }
}

/// A number of JSON, and what comes behind it.
fn number(bytes: &[u8]) -> Option<(f32, &[u8])> {
    quick(bytes).or_else(|| exact(bytes))
}

/// A number without an exponent and of few digits, where a double is near enough to tell which float is the nearest.
fn quick(bytes: &[u8]) -> Option<(f32, &[u8])> {
    let unsigned = bytes.strip_prefix(b"-");
    let whole = unsigned.unwrap_or(bytes);
    let (sum, count, after) = match whole {
        [b'0', after @ ..] => (0, 0, after),
        [b'1'..=b'9', ..] => {
            let (sum, after) = digits(whole, 0);
            (sum, whole.len() - after.len(), after)
        }
        _ => return None,
    };
    let places = after.strip_prefix(b".").unwrap_or_default();
    let (sum, left) = if places.is_empty() { (sum, after) } else { digits(places, sum) };
    let fraction = places.len().checked_sub(left.len()).filter(|_| !places.is_empty()).unwrap_or(0);
    if count + fraction > DIGITS
        || matches!(left, [b'.' | b'e' | b'E', ..])
        || (fraction == 0 && !places.is_empty())
    {
        return None;
    }
    let value = sum as f64 / POWERS.get(fraction)?;
    let is_decided = (value.to_bits() & SURPLUS).abs_diff(HALF_WAY) > DOUBT && (1e-30..1e30).contains(&value);
    if !is_decided && sum != 0 {
        return None;
    }
    let value = value as f32;
    Some((if unsigned.is_some() { -value } else { value }, left))
}

/// Digits behind others, as a number, and what comes behind them. Beyond [`DIGITS`] of them the number is none.
fn digits(bytes: &[u8], before: u64) -> (u64, &[u8]) {
    let (mut sum, mut left) = (before, bytes);
    while let [byte @ b'0'..=b'9', after @ ..] = left {
        sum = sum.wrapping_mul(10).wrapping_add(u64::from(byte - b'0'));
        left = after;
    }
    (sum, left)
}

/// Any number, by the standard library.
fn exact(bytes: &[u8]) -> Option<(f32, &[u8])> {
    let is_part = |byte: &u8| matches!(byte, b'0'..=b'9' | b'.' | b'-' | b'+' | b'e' | b'E');
    let end = bytes.iter().position(|byte| !is_part(byte))?;
    let (number, after) = bytes.split_at_checked(end)?;
    // The standard library takes more than JSON: a plus, a point at either end, and zeroes in front.
    match number.strip_prefix(b"-").unwrap_or(number) {
        [b'0', b'0'..=b'9', ..] => return None,
        [b'0'..=b'9', ..] => {}
        _ => return None,
    }
    let point = number.iter().position(|byte| *byte == b'.');
    if point.is_some_and(|point| !number.get(point + 1).is_some_and(u8::is_ascii_digit)) {
        return None;
    }
    let value: f32 = std::str::from_utf8(number).ok()?.parse().ok()?;
    // One that is too large is an error, which serde tells.
    value.is_finite().then_some((value, after))
}

fn space(bytes: &[u8]) -> &[u8] {
    let mut left = bytes;
    while let [b' ' | b'\n' | b'\r' | b'\t', after @ ..] = left {
        left = after;
    }
    left
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_are_taken_out_and_their_numbers_stand_in_for_them() {
        let body = br#"{"data":[{"object":"embedding","embedding" : [ 1, -2.5e-1 ,null]},{"embedding":[3,4]}],"n":1}"#;
        let floats = taken_out(body, 2).unwrap();
        let rest = r#"{"data":[{"object":"embedding","embedding":0},{"embedding":1}],"n":1}"#;
        assert_eq!(String::from_utf8(floats.rest).unwrap(), rest);
        assert_eq!(floats.lists, [(0, 3), (3, 2)]);
        assert_eq!((&floats.values[..2], &floats.values[3..]), (&[1.0, -0.25][..], &[3.0, 4.0][..]));
        assert!(floats.values[2].is_nan());
    }

    #[test]
    fn what_a_double_cannot_decide_is_left_to_the_standard_library() {
        // Half way between two floats, and a little beside it.
        for text in ["16777217", "0.500000029802322387", "0.50000002980232238", "0.5000000298023224"] {
            assert_eq!(quick(format!("{text},").as_bytes()), None, "{text}");
        }
        for text in [
            "1e3",
            "0.00000000000000000001",
            "12345678901234567890",
            "1.",
            "1.e",
            ".5",
            "+1",
            "-",
            "",
            "1.2.3",
        ] {
            assert_eq!(quick(format!("{text},").as_bytes()), None, "{text}");
        }
        for (text, value) in
            [("0", 0.0_f32), ("7", 7.0), ("-12.5", -12.5), ("0.012345679104328156", 0.012_345_679)]
        {
            assert_eq!(quick(format!("{text},").as_bytes()), Some((value, &b","[..])), "{text}");
        }
        assert!(quick(b"-0.0]").unwrap().0.is_sign_negative());
    }

    #[test]
    fn what_is_unusual_is_left_alone() {
        for list in [
            "[]",
            "[1",
            "[1,",
            "[1,]",
            "[1 2]",
            "[+1]",
            "[.5]",
            "[1.]",
            "[-]",
            "[01]",
            "[-01]",
            "[1e]",
            "[1e99]",
            "[NaN]",
            "[inf]",
            "[[1]]",
            "[\"1\"]",
            "[true]",
            "[1.e3]",
            "[1-2]",
            "\"AACAPw==\"",
            "7",
            "null",
            "{}",
        ] {
            let body = format!(r#"{{"data":[{{"embedding":{list}}}]}}"#);
            assert_eq!(taken_out(body.as_bytes(), 1), None, "{list}");
        }
        for body in ["", "{}", r#"{"error":"embedding"}"#, r#"{"text":"\"embedding\":[1]"}"#] {
            assert_eq!(taken_out(body.as_bytes(), 1), None, "{body}");
        }
    }
}
