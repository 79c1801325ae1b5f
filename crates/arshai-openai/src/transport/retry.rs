//! Whether there is another attempt, and when.

use std::time::Duration;

use arshai_core::Error;

use crate::config::OpenAiConfig;

/// How long to wait before the next attempt; `None` when there must be none.
///
/// Asking a model changes nothing, so every error that may go away is tried again. A wait that the server asks for gets
/// jitter on top, so that those who were turned away together do not come back together.
pub(super) fn wait(config: &OpenAiConfig, attempt: u32, error: &Error) -> Option<Duration> {
    if attempt >= config.max_attempts.max(1) || !error.is_retryable() {
        return None;
    }
    let doubled = 1_u32.checked_shl(attempt.saturating_sub(1)).unwrap_or(u32::MAX);
    let window = config.first_wait.saturating_mul(doubled).min(config.longest_wait);
    match error.retry_after() {
        Some(asked) if asked > config.longest_retry_after => None,
        Some(asked) => {
            Some(asked.saturating_add((asked / 4).min(config.first_wait).mul_f64(fastrand::f64())))
        }
        None => Some(window.mul_f64(fastrand::f64())),
    }
}

#[cfg(test)]
mod tests {
    use arshai_core::ErrorKind;

    use super::*;

    fn down() -> Error {
        Error::new(ErrorKind::Unavailable, "down")
    }

    #[test]
    fn waits_grow_and_are_bounded() {
        let config = OpenAiConfig::default();
        for attempt in 1..config.max_attempts {
            for _ in 0..100 {
                let longest = config.first_wait.saturating_mul(1 << (attempt - 1)).min(config.longest_wait);
                assert!(wait(&config, attempt, &down()).unwrap() <= longest);
            }
        }
        assert_eq!(wait(&config, config.max_attempts, &down()), None);
    }

    #[test]
    fn jitter_is_full() {
        let config = OpenAiConfig::default();
        let waits: Vec<_> = (0..200).filter_map(|_| wait(&config, 4, &down())).collect();
        let window = config.first_wait * 8;
        assert!(
            waits.iter().any(|wait| *wait < window / 4) && waits.iter().any(|wait| *wait > window * 3 / 4)
        );
    }

    #[test]
    fn what_the_server_asks_for_is_obeyed_up_to_a_cap() {
        let config = OpenAiConfig::default();
        let asked = |seconds| down().with_retry_after(Duration::from_secs(seconds));
        let waited = wait(&config, 1, &asked(7)).unwrap();
        assert!(waited >= Duration::from_secs(7) && waited < Duration::from_secs(8), "{waited:?}");
        assert_eq!(wait(&config, 1, &asked(3600)), None);
    }

    #[test]
    fn what_cannot_go_away_is_not_tried_again() {
        assert_eq!(wait(&OpenAiConfig::default(), 1, &Error::invalid("no")), None);
    }
}
