//! Quantiles from the text of `/metrics`, of what was observed between two looks.

use std::collections::BTreeMap;

/// Counts of a histogram's buckets by their upper bounds in seconds, as bits.
pub(super) type Buckets = BTreeMap<u64, u64>;

/// The buckets of `name` whose labels hold `label`.
pub(super) fn buckets(text: &str, name: &str, label: &str) -> Buckets {
    let mut found = Buckets::new();
    for line in text.lines() {
        let Some(rest) = line.strip_prefix(name).and_then(|rest| rest.strip_prefix("_bucket{")) else {
            continue;
        };
        let Some((labels, count)) = rest.split_once("} ") else { continue };
        let bound = labels.split("le=\"").nth(1).and_then(|rest| rest.split('"').next());
        let bound =
            bound.and_then(|bound| if bound == "+Inf" { Some(f64::INFINITY) } else { bound.parse().ok() });
        if let (true, Some(bound), Ok(count)) = (labels.contains(label), bound, count.parse::<f64>()) {
            // Of positive numbers the bits sort as the numbers do.
            *found.entry(bound.to_bits()).or_default() += count as u64;
        }
    }
    found
}

/// The bound below which a share of what came since lies, in milliseconds; None where nothing came.
pub(super) fn quantile_ms(before: &Buckets, after: &Buckets, share: f64) -> Option<f64> {
    let since = |bound: &u64, count: u64| count.saturating_sub(before.get(bound).copied().unwrap_or(0));
    let all = after.iter().next_back().map(|(bound, count)| since(bound, *count))?;
    if all == 0 {
        return None;
    }
    let wanted = (share * all as f64).ceil() as u64;
    let bound = after.iter().find(|(bound, count)| since(bound, **count) >= wanted)?.0;
    Some(f64::from_bits(*bound) * 1_000.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantiles_are_of_what_came_since() {
        let text = |a: u64, b: u64, c: u64| {
            format!(
                "x_bucket{{stage=\"customer\",le=\"0.01\"}} {a}\nx_bucket{{stage=\"customer\",le=\"0.1\"}} {b}\n\
                 x_bucket{{stage=\"customer\",le=\"+Inf\"}} {c}\nx_bucket{{stage=\"market\",le=\"0.01\"}} 7\n"
            )
        };
        let before = buckets(&text(5, 5, 5), "x", "stage=\"customer\"");
        let after = buckets(&text(14, 15, 15), "x", "stage=\"customer\"");
        assert_eq!(quantile_ms(&before, &after, 0.5), Some(10.0));
        assert_eq!(quantile_ms(&before, &after, 0.99), Some(100.0));
        assert_eq!(quantile_ms(&after, &after, 0.5), None);
    }
}
