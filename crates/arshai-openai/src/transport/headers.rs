//! What servers say in headers.

use std::time::Duration;

use jiff::{Timestamp, fmt::rfc2822};
use reqwest::header::HeaderMap;

/// A header as text.
pub(super) fn text<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    headers.get(name)?.to_str().ok().map(str::trim).filter(|value| !value.is_empty())
}

/// How long the server asks to wait: `retry-after-ms`, or `retry-after` in seconds or as a date.
pub(super) fn retry_after(headers: &HeaderMap, now: Timestamp) -> Option<Duration> {
    if let Some(milliseconds) = text(headers, "retry-after-ms").and_then(|value| value.parse::<f64>().ok()) {
        return seconds(milliseconds / 1000.0);
    }
    let value = text(headers, "retry-after")?;
    if let Ok(number) = value.parse::<f64>() {
        return seconds(number);
    }
    let at = rfc2822::DateTimeParser::new().parse_timestamp(value).ok()?;
    seconds(at.duration_since(now).as_secs_f64().max(0.0))
}

/// How the server names this exchange in its own log.
pub(super) fn request_id(headers: &HeaderMap) -> Option<&str> {
    ["x-request-id", "apim-request-id", "x-ms-request-id", "request-id"]
        .iter()
        .find_map(|name| text(headers, name))
}

/// A time such as `6m0s`, `1.5s`, `20ms`, `1h2m`, or plain seconds.
pub(super) fn span(text: &str) -> Option<Duration> {
    if let Ok(number) = text.parse::<f64>() {
        return seconds(number);
    }
    let mut total = 0.0;
    let mut rest = text;
    while !rest.is_empty() {
        let digits = rest.find(|c: char| !c.is_ascii_digit() && c != '.')?;
        let (number, after) = rest.split_at_checked(digits)?;
        let letters = after.find(|c: char| !c.is_ascii_alphabetic()).unwrap_or(after.len());
        let (unit, after) = after.split_at_checked(letters)?;
        let factor = match unit {
            "ms" => 0.001,
            "s" => 1.0,
            "m" => 60.0,
            "h" => 3600.0,
            "d" => 86_400.0,
            _ => return None,
        };
        total += number.parse::<f64>().ok()? * factor;
        rest = after;
    }
    seconds(total)
}

fn seconds(value: f64) -> Option<Duration> {
    Duration::try_from_secs_f64(value).ok()
}

#[cfg(test)]
mod tests {
    use reqwest::header::{HeaderName, HeaderValue};

    use super::*;

    fn asked(pairs: &[(&'static str, &'static str)]) -> Option<Duration> {
        let mut headers = HeaderMap::new();
        for (name, value) in pairs {
            headers.insert(HeaderName::from_static(name), HeaderValue::from_static(value));
        }
        // Sun, 06 Nov 1994 08:49:00 GMT
        retry_after(&headers, Timestamp::from_second(784_111_740).unwrap())
    }

    #[test]
    fn every_form_of_waiting_is_understood() {
        assert_eq!(asked(&[("retry-after", "3")]), Some(Duration::from_secs(3)));
        assert_eq!(asked(&[("retry-after", "0.5")]), Some(Duration::from_millis(500)));
        assert_eq!(asked(&[("retry-after-ms", "20"), ("retry-after", "9")]), Some(Duration::from_millis(20)));
        assert_eq!(asked(&[("retry-after", "Sun, 06 Nov 1994 08:49:37 GMT")]), Some(Duration::from_secs(37)));
        assert_eq!(asked(&[("retry-after", "Sun, 06 Nov 1994 08:48:00 GMT")]), Some(Duration::ZERO));
    }

    #[test]
    fn nonsense_is_no_wait_and_no_panic() {
        for value in ["", "soon", "-3", "NaN", "inf", "1e400", "Sun, 99 Nov"] {
            assert_eq!(asked(&[("retry-after", value)]), None, "{value}");
        }
    }

    #[test]
    fn spans_of_time_are_understood() {
        for (text, milliseconds) in
            [("6m0s", 360_000), ("1.5s", 1500), ("20ms", 20), ("1h2m", 3_720_000), ("7", 7000)]
        {
            assert_eq!(span(text), Some(Duration::from_millis(milliseconds)), "{text}");
        }
        for text in ["s", "6x", "1m2", "-1s", "…"] {
            assert_eq!(span(text), None, "{text}");
        }
    }
}
