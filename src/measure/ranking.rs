//! How well scores rank positives above negatives.

/// Area under the ROC curve and average precision of (score, positive) pairs; None without both classes.
/// Equal scores count as one step: half a win each in the area, one threshold in the precision
/// (Davis & Goadrich, 2006; average precision without interpolation).
pub fn quality(scores: &mut [(f64, bool)]) -> Option<(f64, f64)> {
    scores.sort_by(|a, b| b.0.total_cmp(&a.0));
    let positives = scores.iter().filter(|(_, positive)| *positive).count() as f64;
    let negatives = scores.len() as f64 - positives;
    if positives == 0.0 || negatives == 0.0 {
        return None;
    }
    let (mut above, mut seen_positives, mut area, mut precision) = (0.0, 0.0, 0.0, 0.0);
    for tied in scores.chunk_by(|a, b| a.0 == b.0) {
        let hits = tied.iter().filter(|(_, positive)| *positive).count() as f64;
        let misses = tied.len() as f64 - hits;
        area += misses * (seen_positives + hits / 2.0);
        seen_positives += hits;
        above += tied.len() as f64;
        precision += hits * seen_positives / above;
    }
    Some((area / (positives * negatives), precision / positives))
}

/// The share of fraud among the `per_day` cards of the highest score of each day, averaged over days with a
/// card; a card's score is its highest of the day. Rows are (day, card, score, positive).
pub fn card_precision(rows: &mut [(i64, u64, f64, bool)], per_day: usize) -> Option<f64> {
    rows.sort_by(|a, b| (a.0, a.1).cmp(&(b.0, b.1)).then(b.2.total_cmp(&a.2)));
    let (mut sum, mut days) = (0.0, 0_u32);
    for day in rows.chunk_by(|a, b| a.0 == b.0) {
        let cards = day.chunk_by(|a, b| a.1 == b.1);
        let mut cards: Vec<(f64, bool)> =
            cards.filter_map(|card| Some((card.first()?.2, card.iter().any(|row| row.3)))).collect();
        cards.sort_by(|a, b| b.0.total_cmp(&a.0));
        cards.truncate(per_day);
        let hits = cards.iter().filter(|(_, positive)| *positive).count();
        sum += hits as f64 / per_day as f64;
        days += 1;
    }
    (days > 0).then(|| sum / f64::from(days))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quality_equals_its_definition() {
        // scikit-learn 1.7: roc_auc_score 0.75, average_precision_score 0.8333.
        let (auc, ap) =
            quality(&mut [(0.1, false), (0.4, false), (0.35, true), (0.8, true)]).expect("both classes");
        assert!((auc - 0.75).abs() < 1e-12 && (ap - 5.0 / 6.0).abs() < 1e-12, "{auc} {ap}");
        let (auc, ap) = quality(&mut [(1.0, true), (1.0, false), (1.0, false), (1.0, true)]).expect("both");
        assert!((auc - 0.5).abs() < 1e-12 && (ap - 0.5).abs() < 1e-12, "{auc} {ap}");
        assert_eq!(quality(&mut [(1.0, true)]), None);
    }

    #[test]
    fn a_card_counts_once_a_day() {
        let mut rows = [
            (0, 1, 0.9, false),
            (0, 1, 0.1, true),
            (0, 2, 0.8, false),
            (0, 3, 0.7, true),
            (1, 3, 0.7, false),
        ];
        assert_eq!(card_precision(&mut rows, 2), Some(0.25));
    }
}
