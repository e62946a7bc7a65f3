//! When people shop: by the hour, the day of the week and the day of the year.

use super::draw::exponential;
use crate::event::TimeMs;
use crate::math::rng::Rng;

pub(super) const HOUR_MS: TimeMs = 3_600_000;
pub(super) const DAY_MS: TimeMs = 24 * HOUR_MS;

/// Where people shop.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Place {
    Online,
    Store,
}

/// Of a thousand visits of a day, by its hour. Branches are open from 9 to 20.
const ONLINE_HOURS: [u16; 24] =
    [16, 9, 5, 3, 3, 6, 14, 25, 35, 43, 48, 51, 53, 50, 46, 46, 49, 54, 64, 78, 93, 95, 74, 40];
const STORE_HOURS: [u16; 24] =
    [0, 0, 0, 0, 0, 0, 0, 0, 0, 60, 85, 100, 105, 85, 80, 85, 100, 120, 110, 70, 0, 0, 0, 0];
/// Of seven hundred visits of a week, Monday first. Branches are closed on Sundays.
const ONLINE_DAYS: [u16; 7] = [107, 97, 95, 96, 90, 88, 127];
const STORE_DAYS: [u16; 7] = [98, 92, 94, 102, 130, 184, 0];

/// Days of a year, and where the weeks before Christmas are highest.
const YEAR_DAYS: f64 = 365.2425;
const CHRISTMAS_DAY: f64 = 342.0;

/// No weight is above it.
const WEIGHT_MAX: f64 = 11.0;

/// How much is going on, 1 on average but for what the year adds; 0 where it is closed.
pub(super) fn weight(place: Place, time_ms: TimeMs) -> f64 {
    let (hours, days) = match place {
        Place::Online => (&ONLINE_HOURS, &ONLINE_DAYS),
        Place::Store => (&STORE_HOURS, &STORE_DAYS),
    };
    let hour = time_ms.div_euclid(HOUR_MS).rem_euclid(24) as usize;
    let hourly = f64::from(hours[hour]) * 24.0 / 1000.0;
    hourly * f64::from(days[weekday(time_ms)]) / 100.0 * year(time_ms)
}

/// 0 is a Monday, UTC.
pub(super) fn weekday(time_ms: TimeMs) -> usize {
    // The epoch began on a Thursday.
    (time_ms.div_euclid(DAY_MS) + 3).rem_euclid(7) as usize
}

/// Day of the year, 0 to 365.
pub(super) fn day_of_year(time_ms: TimeMs) -> f64 {
    (time_ms as f64 / DAY_MS as f64).rem_euclid(YEAR_DAYS)
}

/// How far a day of the year lies from another, on the circle, in days.
pub(super) fn days_apart(a: f64, b: f64) -> f64 {
    let apart = (a - b).rem_euclid(YEAR_DAYS);
    apart.min(YEAR_DAYS - apart)
}

/// More in winter than in summer, and most of all in December.
fn year(time_ms: TimeMs) -> f64 {
    let day = day_of_year(time_ms);
    let christmas = days_apart(day, CHRISTMAS_DAY) / 14.0;
    let winter = libm::cos(std::f64::consts::TAU * (day - 330.0) / YEAR_DAYS);
    1.0 + 0.12 * winter + 0.8 * libm::exp(-0.5 * christmas * christmas)
}

/// The next point after `after_ms` of a process of one event in `mean_days` on average, as dense as the weight: a
/// Poisson process, thinned (Lewis & Shedler, 1979).
pub(super) fn next_time(rng: &mut Rng, place: Place, mean_days: f64, after_ms: TimeMs) -> TimeMs {
    let mut days = 0.0;
    loop {
        days += exponential(rng, mean_days / WEIGHT_MAX);
        // Beyond any shop's end, and far from overflow.
        let time_ms = after_ms + (days.min(36_525.0) * DAY_MS as f64) as TimeMs;
        if days >= 36_525.0 || rng.uniform() * WEIGHT_MAX < weight(place, time_ms) {
            return time_ms;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_day_and_a_week_weigh_one_on_average_and_nothing_is_above_the_limit() {
        for (hours, days) in [(&ONLINE_HOURS, &ONLINE_DAYS), (&STORE_HOURS, &STORE_DAYS)] {
            assert_eq!(hours.iter().sum::<u16>(), 1000);
            assert_eq!(days.iter().sum::<u16>(), 700);
        }
        for place in [Place::Online, Place::Store] {
            let most = (0..24 * 366).map(|hour| weight(place, hour * HOUR_MS)).fold(0.0, f64::max);
            assert!((WEIGHT_MAX / 3.0..WEIGHT_MAX).contains(&most), "{most}");
        }
    }

    #[test]
    fn weekdays_and_distances_go_around() {
        // 2026-06-01 was a Monday.
        assert_eq!(weekday(1_780_272_000_000), 0);
        assert_eq!(weekday(1_780_272_000_000 - 1), 6);
        assert!((days_apart(1.0, 364.0) - 2.2425).abs() < 1e-9);
        assert!((day_of_year(1_780_272_000_000) - 151.0).abs() < 1.0);
    }

    #[test]
    fn the_process_has_its_rate() {
        let mut rng = Rng::seeded(&[5]);
        let mut time_ms = 1_780_272_000_000;
        let end_ms = time_ms + 366 * DAY_MS;
        let mut count = 0;
        while time_ms < end_ms {
            time_ms = next_time(&mut rng, Place::Online, 0.05, time_ms);
            count += 1;
        }
        // The year adds 0.8 * 14 * sqrt(2 pi) / 366 = 7.7 %.
        let rate = f64::from(count) / 366.0;
        assert!((rate / (20.0 * 1.077) - 1.0).abs() < 0.03, "{rate}");
    }
}
