//! The one step on the server.

use std::sync::LazyLock;

use fred::types::Value;
use sha1::{Digest as _, Sha1};

/// Compare-and-set on bytes that the script does not look into (Redis' own JSON library corrupts numbers and empty
/// lists).
///
/// `expected`: the SHA-1 that the current value must have, empty for none; `ttl`: the new value's milliseconds to live,
/// empty for no end; `keep`: `1` to leave the end of an existing value as it is. Gives `{1}`, or `{0, current value}`.
macro_rules! step {
    () => {
        "\
local function step(key, expected, new, ttl, keep)
  local current = redis.call('GET', key)
  if expected == '' then
    if current then return {0, current} end
  elseif not current then
    return {0, false}
  elseif redis.sha1hex(current) ~= expected then
    return {0, current}
  end
  if current and keep == '1' then
    redis.call('SET', key, new, 'KEEPTTL')
  elseif ttl == '' then
    redis.call('SET', key, new)
  else
    redis.call('SET', key, new, 'PX', ttl)
  end
  return {1}
end
"
    };
}

/// One step. `ARGV`: `expected`, `new`, `ttl`, `keep`.
pub(crate) const COMPARE_AND_SET: &str =
    concat!(step!(), "return step(KEYS[1], ARGV[1], ARGV[2], ARGV[3], ARGV[4])\n");

/// A step for each key, each by itself. `ARGV`: `ttl`, `keep`, and for each key `expected` and `new`. Answers two values
/// for each: `1` and nothing, `0` and the current value, or `-1` and nothing when the step failed and wrote nothing.
pub(crate) const COMPARE_AND_SET_ALL: &str = concat!(
    step!(),
    "\
local answers = {}
for number, key in ipairs(KEYS) do
  local at = 2 * number
  local went, answer = pcall(step, key, ARGV[at + 1], ARGV[at + 2], ARGV[1], ARGV[2])
  if not went then answer = {-1} end
  answers[at - 1] = answer[1]
  answers[at] = answer[2] or false
end
return answers
"
);

/// Whether this is the script's answer that it wrote nothing.
pub(crate) fn is_refusal(answer: &Value) -> bool {
    matches!(answer, Value::Array(parts) if matches!(parts.first(), Some(Value::Integer(0))))
}

/// The name under which a server knows the script once it has run.
pub(crate) static COMPARE_AND_SET_SHA: LazyLock<String> =
    LazyLock::new(|| hex(&sha1(COMPARE_AND_SET.as_bytes())));

/// The same for [`COMPARE_AND_SET_ALL`].
pub(crate) static COMPARE_AND_SET_ALL_SHA: LazyLock<String> =
    LazyLock::new(|| hex(&sha1(COMPARE_AND_SET_ALL.as_bytes())));

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
