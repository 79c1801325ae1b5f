//! Text keys on a server that stores a single quote but cannot find it again.
//!
//! There, a quote is stored as `&` and the last character of Unicode, which stand exactly where the quote stood in the
//! order of texts: above every other text that begins with `&`, below `(`. So ranges and pages stay what they are.

use std::borrow::Cow;

const ESCAPED: &str = "&\u{10ffff}";

/// The key as it is stored.
pub(crate) fn stored(key: &str, escaped: bool) -> Cow<'_, str> {
    if escaped && key.contains('\'') { key.replace('\'', ESCAPED).into() } else { key.into() }
}

/// The key as it was given.
pub(crate) fn given(key: String, escaped: bool) -> String {
    if escaped && key.contains(ESCAPED) { key.replace(ESCAPED, "'") } else { key }
}

/// Whether it comes back as it was given.
pub(crate) fn is_sound(key: &str, escaped: bool) -> bool {
    !(escaped && key.contains('\u{10ffff}'))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn escaped_keys_come_back_and_keep_their_order(a in "[&'(a%]{0,6}", b in "[&'(a%]{0,6}") {
            let (stored_a, stored_b) = (stored(&a, true).into_owned(), stored(&b, true).into_owned());
            prop_assert_eq!(stored_a.cmp(&stored_b), a.cmp(&b));
            prop_assert!(!stored_a.contains('\''));
            prop_assert_eq!(given(stored_a, true), a);
        }
    }
}
