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
    usual::format(time).unwrap_or_else(|| format_any(time))
}

fn format_any(time: SystemTime) -> String {
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
    usual::parse(text).or_else(|| parse_any(text))
}

fn parse_any(text: &str) -> Option<SystemTime> {
    if let Ok(timestamp) = text.parse::<Timestamp>() {
        return Some(timestamp.into());
    }
    let naive: DateTime = text.parse().ok()?;
    Some(naive.to_zoned(TimeZone::UTC).ok()?.timestamp().into())
}

/// The one form that is written, for the years 1970 to 9998: every read takes two apart.
///
/// Days are counted from 1 March of the year 0, so that a leap day is the last of its year, in eras of 400 years.
mod usual {
    use std::time::{Duration, SystemTime};

    const FORM: &[u8; 27] = b"0000-00-00T00:00:00.000000Z";
    /// The library's last moment is in the year after.
    const LAST_SECOND: u64 = 253_370_764_799;
    const DAY: u64 = 86_400;
    const ERA: u64 = 146_097;
    /// Days from 1 March of the year 0 to 1 January 1970.
    const EPOCH: u64 = 719_468;

    pub(super) fn format(time: SystemTime) -> Option<String> {
        let since = time.duration_since(SystemTime::UNIX_EPOCH).ok()?;
        let seconds = Some(since.as_secs()).filter(|seconds| *seconds <= LAST_SECOND)?;
        let (year, month, day) = date(seconds / DAY);
        let of_day = seconds % DAY;
        let mut text = *FORM;
        write(text.get_mut(..4)?, year);
        write(text.get_mut(5..7)?, month);
        write(text.get_mut(8..10)?, day);
        write(text.get_mut(11..13)?, of_day / 3600);
        write(text.get_mut(14..16)?, of_day / 60 % 60);
        write(text.get_mut(17..19)?, of_day % 60);
        write(text.get_mut(20..26)?, since.subsec_micros().into());
        std::str::from_utf8(&text).ok().map(str::to_owned)
    }

    pub(super) fn parse(text: &str) -> Option<SystemTime> {
        let text: &[u8; 27] = text.as_bytes().try_into().ok()?;
        let alike =
            |(byte, form): (&u8, &u8)| if *form == b'0' { byte.is_ascii_digit() } else { byte == form };
        if !text.iter().zip(FORM).all(alike) {
            return None;
        }
        let (year, month, day) = (read(text.get(..4)?), read(text.get(5..7)?), read(text.get(8..10)?));
        let (hour, minute, second) =
            (read(text.get(11..13)?), read(text.get(14..16)?), read(text.get(17..19)?));
        if !(1970..=9998).contains(&year)
            || !(1..=12).contains(&month)
            || hour > 23
            || minute > 59
            || second > 59
        {
            return None;
        }
        let days = days(year, month, day);
        if date(days) != (year, month, day) {
            return None;
        }
        let micros = u32::try_from(read(text.get(20..26)?)).ok()?;
        let since = Duration::new(days * DAY + hour * 3600 + minute * 60 + second, micros * 1000);
        SystemTime::UNIX_EPOCH.checked_add(since)
    }

    fn write(digits: &mut [u8], mut number: u64) {
        for digit in digits.iter_mut().rev() {
            *digit = b'0' + u8::try_from(number % 10).unwrap_or(0);
            number /= 10;
        }
    }

    fn read(digits: &[u8]) -> u64 {
        digits.iter().fold(0, |number, digit| number * 10 + u64::from(digit.saturating_sub(b'0')))
    }

    /// Year, month and day of a day since 1970.
    fn date(day: u64) -> (u64, u64, u64) {
        let day = day + EPOCH;
        let of_era = day % ERA;
        let year_of_era = (of_era - of_era / 1460 + of_era / 36_524 - of_era / 146_096) / 365;
        let of_year = of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
        let from_march = (5 * of_year + 2) / 153;
        let month = if from_march < 10 { from_march + 3 } else { from_march - 9 };
        let year = day / ERA * 400 + year_of_era + u64::from(month <= 2);
        (year, month, of_year - (153 * from_march + 2) / 5 + 1)
    }

    /// The day since 1970, from year 1970 on; of a day that is not in the month, some other one.
    fn days(year: u64, month: u64, day: u64) -> u64 {
        let year = year - u64::from(month <= 2);
        let of_year = (153 * ((month + 9) % 12) + 2) / 5 + day.saturating_sub(1);
        let year_of_era = year % 400;
        let of_era = year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + of_year;
        (year / 400 * ERA + of_era).saturating_sub(EPOCH)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_usual_form_is_what_the_library_writes_and_reads() {
        let mut seconds: Vec<u64> = (0..20_000).map(|_| fastrand::u64(..=253_370_764_799)).collect();
        seconds.extend([
            0,
            951_782_399,
            951_782_400,
            951_868_800,
            4_107_542_399,
            4_107_542_400,
            253_370_764_799,
        ]);
        for seconds in seconds {
            let time = SystemTime::UNIX_EPOCH + Duration::new(seconds, fastrand::u32(..1_000_000) * 1_000);
            let text = usual::format(time).unwrap();
            assert_eq!(text, format_any(time));
            assert_eq!((usual::parse(&text), parse_any(&text)), (Some(time), Some(time)), "{text}");
        }
        let nanos = SystemTime::UNIX_EPOCH + Duration::new(1, 999_999_999);
        assert_eq!(usual::format(nanos).unwrap(), format_any(nanos));
    }

    #[test]
    fn what_is_not_usual_is_left_to_the_library() {
        let before = SystemTime::UNIX_EPOCH - Duration::from_secs(1);
        assert_eq!(format_timestamp(before), "1969-12-31T23:59:59.000000Z");
        assert_eq!(parse_timestamp("1969-12-31T23:59:59.000000Z"), Some(before));
        for odd in [
            "2026-02-29T00:00:00.000000Z",
            "9999-12-31T23:59:59.000000Z",
            "2026-04-31T00:00:00.000000Z",
            "2026-13-01T00:00:00.000000Z",
            "2026-00-01T00:00:00.000000Z",
            "2026-01-00T00:00:00.000000Z",
            "2026-01-01T24:00:00.000000Z",
            "2026-01-01T00:60:00.000000Z",
            "2026-01-01T00:00:61.000000Z",
            "2026-01-01T00:00:00,000000Z",
            "2026-01-01T00:00:00.00000xZ",
        ] {
            assert_eq!(usual::parse(odd), None, "{odd}");
            assert_eq!(parse_timestamp(odd), parse_any(odd), "{odd}");
        }
    }

    #[test]
    fn reads_what_it_writes_and_what_python_writes() {
        let time = parse_timestamp("2026-11-22T19:17:23.000001Z").unwrap();
        assert_eq!(format_timestamp(time), "2026-11-22T19:17:23.000001Z");
        assert_eq!(parse_timestamp("2026-11-22T19:17:23.000001"), Some(time));
        assert_eq!(parse_timestamp("2026-11-22T21:17:23.000001+02:00"), Some(time));
        assert_eq!(parse_timestamp("yesterday"), None);
    }
}
