//! Timestamps as the envelope writes them.

use std::time::{Duration, SystemTime};

use jiff::{Timestamp, civil::DateTime, tz::TimeZone};

/// Now, to the microsecond: what is written is what was meant.
pub(super) fn now() -> SystemTime {
    let now = SystemTime::now();
    let nanos = now.duration_since(SystemTime::UNIX_EPOCH).map_or(0, |since| since.subsec_nanos() % 1_000);
    now.checked_sub(Duration::from_nanos(nanos.into())).unwrap_or(now)
}

/// RFC 3339 in UTC with microseconds, such as `2026-11-22T19:17:23.000001Z`.
///
/// A time outside the years -9999 to 9999 is written as the nearest representable one.
pub fn format_timestamp(time: SystemTime) -> String {
    let timestamp = Timestamp::try_from(time).unwrap_or(if time < SystemTime::UNIX_EPOCH {
        Timestamp::MIN
    } else {
        Timestamp::MAX
    });
    format!("{timestamp:.6}")
}

/// Reads RFC 3339; a time without an offset, as Python's `datetime.now().isoformat()` writes it, is taken as UTC.
/// `None` when it is neither.
pub fn parse_timestamp(text: &str) -> Option<SystemTime> {
    if let Ok(timestamp) = text.parse::<Timestamp>() {
        return Some(timestamp.into());
    }
    let naive: DateTime = text.parse().ok()?;
    Some(naive.to_zoned(TimeZone::UTC).ok()?.timestamp().into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_what_it_writes_and_what_python_writes() {
        let time = parse_timestamp("2026-11-22T19:17:23.000001Z").unwrap();
        assert_eq!(format_timestamp(time), "2026-11-22T19:17:23.000001Z");
        assert_eq!(parse_timestamp("2026-11-22T19:17:23.000001"), Some(time));
        assert_eq!(parse_timestamp("2026-11-22T21:17:23.000001+02:00"), Some(time));
        assert_eq!(parse_timestamp("yesterday"), None);
    }
}
