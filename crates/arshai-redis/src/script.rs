//! The one step on the server.

use std::sync::LazyLock;

use fred::types::Value;
use sha1::{Digest as _, Sha1};

/// Compare-and-set on bytes that the script does not look into (Redis' own JSON library corrupts numbers and empty
/// lists).
///
/// `ARGV`: the SHA-1 that the current value must have, empty for none; the new value; its milliseconds to live, empty
/// for no end; `1` to leave the end of an existing value as it is. Answers `{1}`, or `{0, current value}`.
pub(crate) const COMPARE_AND_SET: &str = "\
local current = redis.call('GET', KEYS[1])
local expected = ARGV[1]
if expected == '' then
  if current then return {0, current} end
elseif not current then
  return {0, false}
elseif redis.sha1hex(current) ~= expected then
  return {0, current}
end
if current and ARGV[4] == '1' then
  redis.call('SET', KEYS[1], ARGV[2], 'KEEPTTL')
elseif ARGV[3] == '' then
  redis.call('SET', KEYS[1], ARGV[2])
else
  redis.call('SET', KEYS[1], ARGV[2], 'PX', ARGV[3])
end
return {1}
";

/// Whether this is the script's answer that it wrote nothing.
pub(crate) fn is_refusal(answer: &Value) -> bool {
    matches!(answer, Value::Array(parts) if matches!(parts.first(), Some(Value::Integer(0))))
}

/// The name under which a server knows the script once it has run.
pub(crate) static COMPARE_AND_SET_SHA: LazyLock<String> =
    LazyLock::new(|| hex(&sha1(COMPARE_AND_SET.as_bytes())));

pub(crate) fn sha1(bytes: &[u8]) -> [u8; 20] {
    Sha1::digest(bytes).into()
}

pub(crate) fn hex(bytes: &[u8]) -> String {
    let digit = |nibble: u8| char::from(if nibble < 10 { b'0' + nibble } else { b'a' - 10 + nibble });
    let mut out = String::with_capacity(bytes.len().saturating_mul(2));
    for byte in bytes {
        out.push(digit(byte >> 4));
        out.push(digit(byte & 15));
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn digests_are_sha_1_in_lower_case_as_redis_computes_them() {
        assert_eq!(hex(&sha1(b"abc")), "a9993e364706816aba3e25717850c26c9cd0d89d");
        assert_eq!(COMPARE_AND_SET_SHA.len(), 40);
    }
}
