//! A probability in words, and the settings that say which.

use serde::{Deserialize, Serialize};

use crate::analysis::parsed;

/// A band is left when the probability is this far beyond its edge: what sways about a threshold is told once.
const HYSTERESIS: f64 = 0.02;

/// How likely it is that the customer does not order again within the horizon.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Band {
    Low,
    Medium,
    High,
}

impl Band {
    pub fn name(self) -> &'static str {
        match self {
            Band::Low => "low",
            Band::Medium => "medium",
            Band::High => "high",
        }
    }

    /// As it is remembered.
    pub fn byte(self) -> u8 {
        self as u8
    }

    pub fn of_byte(byte: u8) -> Option<Band> {
        [Band::Low, Band::Medium, Band::High].into_iter().find(|band| band.byte() == byte)
    }
}

/// Settings that change what is published.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Published {
    /// Whether scores go out. Moments are told and learned from all the same.
    pub enabled: bool,
    /// The bands medium and high begin at these probabilities, in thousandths.
    pub medium_permille: u16,
    pub high_permille: u16,
}

impl Default for Published {
    fn default() -> Published {
        Published { enabled: true, medium_permille: 333, high_permille: 667 }
    }
}

impl Published {
    pub(in crate::analysis) fn set(&mut self, name: &str, value: &str) -> Result<(), String> {
        match name {
            "enabled" => self.enabled = parsed("churn", name, value)?,
            "medium_permille" => self.medium_permille = parsed("churn", name, value)?,
            "high_permille" => self.high_permille = parsed("churn", name, value)?,
            _ => return Err(format!("there is no setting churn.{name}")),
        }
        Ok(())
    }

    pub(in crate::analysis) fn entries(&self) -> Vec<(&'static str, String)> {
        vec![
            ("enabled", self.enabled.to_string()),
            ("medium_permille", self.medium_permille.to_string()),
            ("high_permille", self.high_permille.to_string()),
        ]
    }

    /// The band of a probability, 0 to 1, after the one published last.
    pub(super) fn band(&self, probability: f64, last: Option<Band>) -> Band {
        let band = self.plain(probability);
        match last {
            Some(last) if band > last => self.plain(probability - HYSTERESIS).max(last),
            Some(last) if band < last => self.plain(probability + HYSTERESIS).min(last),
            _ => band,
        }
    }

    fn plain(&self, probability: f64) -> Band {
        let is_from = |permille: u16| probability >= f64::from(permille) / 1000.0;
        if is_from(self.high_permille) {
            Band::High
        } else if is_from(self.medium_permille) {
            Band::Medium
        } else {
            Band::Low
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_band_is_left_only_well_beyond_its_edge() {
        let settings = Published::default();
        let told = |probabilities: &[f64]| {
            let mut last = None;
            let bands = probabilities.iter().map(|p| {
                last = Some(settings.band(*p, last));
                last.map_or("none", Band::name)
            });
            bands.collect::<Vec<_>>()
        };
        assert_eq!(
            told(&[0.34, 0.33, 0.32, 0.31, 0.34, 0.36]),
            ["medium", "medium", "medium", "low", "low", "medium"]
        );
        assert_eq!(told(&[0.0, 0.99, 0.66, 0.1, 0.34, 1.0]), ["low", "high", "high", "low", "low", "high"]);
        // From low far into high's edge it is medium.
        assert_eq!(told(&[0.0, 0.67, 0.69, 0.66, 0.64]), ["low", "medium", "high", "high", "medium"]);
    }

    #[test]
    fn a_band_comes_back_from_its_byte() {
        for band in [Band::Low, Band::Medium, Band::High] {
            assert_eq!(Band::of_byte(band.byte()), Some(band));
        }
        assert_eq!(Band::of_byte(7), None);
    }
}
