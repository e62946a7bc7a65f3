//! Durations, sizes and moments as people write them.

use std::fmt;
use std::net::SocketAddr;
use std::time::Duration;

use serde::de::{Deserializer, Error, Visitor};

use crate::event::TimeMs;

const DURATIONS: [(&str, u64); 5] =
    [("d", 86_400_000), ("h", 3_600_000), ("m", 60_000), ("s", 1_000), ("ms", 1)];
const SIZES: [(&str, u64); 4] = [("GiB", 1 << 30), ("MiB", 1 << 20), ("KiB", 1 << 10), ("B", 1)];

/// Shortest exact form with one unit: "50ms", "90m", "10d". Fractions of a millisecond are cut.
pub fn show_duration(duration: Duration) -> String {
    show(u64::try_from(duration.as_millis()).unwrap_or(u64::MAX), &DURATIONS, "", "s")
}

/// Shortest exact form with one unit: "4 MiB", "1000 B".
pub fn show_bytes(bytes: u64) -> String {
    show(bytes, &SIZES, " ", "B")
}

fn show(value: u64, units: &[(&str, u64)], gap: &str, unit_of_zero: &str) -> String {
    if value == 0 {
        return format!("0{gap}{unit_of_zero}");
    }
    let (unit, scale) =
        units.iter().find(|(_, scale)| value.is_multiple_of(*scale)).copied().unwrap_or(("", 1));
    format!("{}{gap}{unit}", value / scale)
}

/// A whole number and its unit, a blank between them or none.
fn parse(text: &str, units: &[(&str, u64)]) -> Option<u64> {
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    let (number, unit) = text.split_at(digits);
    let (_, scale) = units.iter().find(|(name, _)| *name == unit.trim_start())?;
    number.parse::<u64>().ok()?.checked_mul(*scale)
}

/// Milliseconds since the epoch of "2000-01-01", "2000-01-01T12:30:00Z" or, with a blank for the T,
/// TOML's own dates. Only UTC. Years 1 to 9999.
pub fn parse_moment(text: &str) -> Option<TimeMs> {
    let (date, clock) = match text.split_once(['T', 't', ' ']) {
        Some((date, clock)) => (date, clock.trim_end_matches(['Z', 'z'])),
        None => (text, "00:00:00"),
    };
    let [year, month, day] = numbers(date, '-')?;
    let [hour, minute, second] = numbers(clock, ':')?;
    let leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
    let days_in_month = match month {
        2 => 28 + i64::from(leap),
        4 | 6 | 9 | 11 => 30,
        _ => 31,
    };
    let valid = (1..=9999).contains(&year)
        && (1..=12).contains(&month)
        && (1..=days_in_month).contains(&day)
        && hour < 24
        && minute < 60
        && second < 60;
    // Days since 1970-01-01 with the year beginning in March, so that the leap day is its last
    // (Howard Hinnant, "chrono-Compatible Low-Level Date Algorithms", 2013).
    let year = year - i64::from(month <= 2);
    let day_of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    let days = year * 365 + year / 4 - year / 100 + year / 400 + day_of_year - 719_468;
    valid.then_some((((days * 24 + hour) * 60 + minute) * 60 + second) * 1_000)
}

/// Milliseconds since the epoch of a time as files have it: as [`parse_moment`], or without seconds, with a fraction of a
/// second, and with what the clock is ahead of UTC: "2024-01-31 10:00", "2024-01-31T10:00:00.25+02:00", "2024-01-31 10:00:00
/// UTC". Without a zone it is UTC.
pub fn parse_time(text: &str) -> Option<TimeMs> {
    let Some((date, rest)) = text.split_once(['T', 't', ' ']) else { return parse_moment(text) };
    let rest = rest.strip_suffix("UTC").unwrap_or(rest).trim();
    let (clock, ahead_minutes) = match (rest.strip_suffix(['Z', 'z']), rest.rfind(['+', '-'])) {
        (Some(clock), _) => (clock, 0),
        (None, Some(at)) => (rest[..at].trim_end(), ahead_minutes(&rest[at..])?),
        (None, None) => (rest, 0),
    };
    let (clock, fraction) = clock.split_once(['.', ',']).unwrap_or((clock, "0"));
    if fraction.is_empty() || !fraction.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let digits = fraction.bytes().chain(*b"00").take(3);
    let fraction_ms = digits.fold(0, |ms, digit| 10 * ms + TimeMs::from(digit - b'0'));
    let seconds = if clock.matches(':').count() == 1 { ":00" } else { "" };
    let moment = parse_moment(&format!("{date}T{clock}{seconds}"))?;
    Some(moment + fraction_ms - ahead_minutes * 60_000)
}

/// Of "+02:00", "-0730" or "+01".
fn ahead_minutes(text: &str) -> Option<i64> {
    let (sign, digits) = text.split_at(1);
    let digits = digits.replace(':', "");
    let is_zone = matches!(digits.len(), 2 | 4) && digits.bytes().all(|byte| byte.is_ascii_digit());
    let hours: i64 = digits.get(..2).filter(|_| is_zone)?.parse().ok()?;
    let minutes: i64 = digits.get(2..4).map_or(Ok(0), str::parse).ok()?;
    let ahead = (hours < 24 && minutes < 60).then_some(60 * hours + minutes)?;
    Some(if sign == "-" { -ahead } else { ahead })
}

/// "2000-01-01" for a day since 1970-01-01. The inverse of [`parse_moment`] (Hinnant, 2013).
pub fn show_day(day: i32) -> String {
    let days = i64::from(day) + 719_468;
    let (era, day_of_era) = (days.div_euclid(146_097), days.rem_euclid(146_097));
    let year = (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year + year / 4 - year / 100);
    let month = (5 * day_of_year + 2) / 153;
    let (day, month) = (day_of_year - (153 * month + 2) / 5 + 1, (month + 2) % 12 + 1);
    format!("{:04}-{month:02}-{day:02}", year + era * 400 + i64::from(month <= 2))
}

/// Three unsigned numbers between two separators.
fn numbers(text: &str, separator: char) -> Option<[i64; 3]> {
    let mut parts = text.split(separator).map(|part| {
        part.bytes().all(|byte| byte.is_ascii_digit()).then(|| part.parse::<i64>().ok()).flatten()
    });
    let found = [parts.next()??, parts.next()??, parts.next()??];
    parts.next().is_none().then_some(found)
}

struct Text<T> {
    expected: &'static str,
    parse: fn(&str) -> Option<T>,
}

impl<T> Visitor<'_> for Text<T> {
    type Value = T;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.expected)
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<T, E> {
        (self.parse)(text).ok_or_else(|| E::invalid_value(serde::de::Unexpected::Str(text), &self))
    }
}

pub fn duration<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Duration, D::Error> {
    deserializer.deserialize_str(Text {
        expected: "a duration such as \"50ms\", \"30s\", \"5m\", \"2h\" or \"10d\"",
        parse: |text| parse(text, &DURATIONS).map(Duration::from_millis),
    })
}

pub fn bytes<'de, D: Deserializer<'de>>(deserializer: D) -> Result<u64, D::Error> {
    deserializer.deserialize_str(Text {
        expected: "a size such as \"512 B\", \"64 KiB\" or \"4 MiB\"",
        parse: |text| parse(text, &SIZES),
    })
}

pub fn moment<'de, D: Deserializer<'de>>(deserializer: D) -> Result<TimeMs, D::Error> {
    deserializer.deserialize_str(Text {
        expected: "a date or moment in UTC such as 2000-01-01 or 2000-01-01T12:00:00Z",
        parse: parse_moment,
    })
}

pub fn address<'de, D: Deserializer<'de>>(deserializer: D) -> Result<SocketAddr, D::Error> {
    deserializer.deserialize_str(Text {
        expected: "an IP address and a port such as \"127.0.0.1:9464\" or \"[::1]:9464\"",
        parse: |text| text.parse().ok(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_and_sizes_are_read_and_shown() {
        for (text, ms) in [("50ms", 50), ("30s", 30_000), ("5m", 300_000), ("10d", 864_000_000)] {
            assert_eq!(parse(text, &DURATIONS), Some(ms));
            assert_eq!(show_duration(Duration::from_millis(ms)), text);
        }
        for (text, bytes) in [("64 MiB", 64 << 20), ("256 KiB", 256 << 10), ("1000 B", 1000), ("0 B", 0)] {
            assert_eq!(parse(text, &SIZES), Some(bytes));
            assert_eq!(show_bytes(bytes), text);
        }
        assert_eq!(parse("64MiB", &SIZES), Some(64 << 20));
        for wrong in ["", "5", "m", "-5m", "5 minutes", "1.5h", "99999999999999999999s", "300000000000000d"] {
            assert_eq!(parse(wrong, &DURATIONS), None, "{wrong}");
        }
        assert_eq!(show_duration(Duration::ZERO), "0s");
    }

    #[test]
    fn times_of_files_have_zones_and_fractions() {
        for (text, ms) in [
            ("2024-01-31", 1_706_659_200_000),
            ("2024-01-31 10:00", 1_706_695_200_000),
            ("2024-01-31 10:00:07", 1_706_695_207_000),
            ("2024-01-31T10:00:07Z", 1_706_695_207_000),
            ("2024-01-31T10:00:07.25Z", 1_706_695_207_250),
            ("2024-01-31 10:00:07.123456+02:00", 1_706_688_007_123),
            ("2024-01-31T00:30-0730", 1_706_688_000_000),
            ("2024-01-31 10:00:07 UTC", 1_706_695_207_000),
            ("2024-01-31 10:00:07 +01", 1_706_691_607_000),
        ] {
            assert_eq!(parse_time(text), Some(ms), "{text}");
        }
        for wrong in [
            "",
            "soon",
            "2024-01-31 10",
            "2024-01-31 25:00",
            "2024-01-31T10:00:00.Z",
            "2024-01-31T10:00+2",
            "2024-01-31T10:00+99:00",
        ] {
            assert_eq!(parse_time(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn moments_are_those_of_the_calendar() {
        for (text, seconds) in [
            ("1970-01-01", 0),
            ("1970-01-01T00:00:01Z", 1),
            ("2000-02-29", 951_782_400),
            ("2026-11-23 21:23:05Z", 1_795_468_985),
            ("1969-12-31", -86_400),
        ] {
            assert_eq!(parse_moment(text), Some(seconds * 1_000), "{text}");
        }
        for text in ["1970-01-01", "1969-12-31", "2000-02-29", "2000-03-01", "0001-01-01", "9999-12-31"] {
            let day = parse_moment(text).map(|time_ms| time_ms.div_euclid(86_400_000));
            assert_eq!(day.map(|day| show_day(day as i32)).as_deref(), Some(text));
        }
        for wrong in
            ["1900-02-29", "2000-13-01", "2000-01-01T24:00:00Z", "2000-1", "2000-01-01T00:00:00+02:00"]
        {
            assert_eq!(parse_moment(wrong), None, "{wrong}");
        }
    }
}
