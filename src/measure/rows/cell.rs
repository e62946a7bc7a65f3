//! Numbers in cells, exactly: money and time do not pass through floating point where they need not.

/// A decimal number times 10^places, rounded half away from zero. None where it is no number or too large.
pub fn minor_units(text: &str, places: u32) -> Option<i64> {
    scaled(text.trim(), places)
}

/// A whole number; "12.0" is one, "12.5" is none.
pub fn whole(text: &str) -> Option<i64> {
    let tenths_of_thousandths = scaled(text.trim(), 4)?;
    (tenths_of_thousandths % 10_000 == 0).then_some(tenths_of_thousandths / 10_000)
}

/// A number of units of `unit_us` microseconds, in milliseconds.
pub fn thousandths(text: &str, unit_us: i64) -> Option<i64> {
    const PLACES: u32 = 6;
    let millionths = i128::from(scaled(text, PLACES)?);
    i64::try_from((millionths * i128::from(unit_us)).div_euclid(1_000_000_000)).ok()
}

fn scaled(text: &str, places: u32) -> Option<i64> {
    let (negative, digits) = match text.as_bytes().first()? {
        b'-' => (true, &text[1..]),
        b'+' => (false, &text[1..]),
        _ => (false, text),
    };
    let (whole, fraction) = digits.split_once('.').unwrap_or((digits, ""));
    let is_plain = whole.bytes().chain(fraction.bytes()).all(|byte| byte.is_ascii_digit());
    if !is_plain || (whole.is_empty() && fraction.is_empty()) {
        return floating(text, places);
    }
    let mut value = 0_i64;
    let kept = fraction.bytes().chain(std::iter::repeat(b'0')).take(places as usize);
    for digit in whole.bytes().chain(kept) {
        value = value.checked_mul(10)?.checked_add(i64::from(digit - b'0'))?;
    }
    if fraction.as_bytes().get(places as usize).is_some_and(|digit| *digit >= b'5') {
        value = value.checked_add(1)?;
    }
    Some(if negative { -value } else { value })
}

/// "1e-05" and the like.
fn floating(text: &str, places: u32) -> Option<i64> {
    let looks_like_it = text.bytes().all(|byte| byte.is_ascii_digit() || b"+-.eE".contains(&byte));
    let value: f64 = text.parse().ok().filter(|_| looks_like_it)?;
    let scaled = libm::round(value * libm::pow(10.0, f64::from(places)));
    (scaled.abs() < 9e15).then_some(scaled as i64)
}
