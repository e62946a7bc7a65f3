//! Which build this is.

use serde::Serialize;

/// The build, as `habitue version`, `/version` and `habitue_build_info` say it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Version {
    /// Of the crate.
    pub version: &'static str,
    /// Of the Kafka client inside.
    pub librdkafka: String,
    /// What `git describe` said of the checkout, where the build set `HABITUE_COMMIT`.
    pub commit: Option<&'static str>,
}

impl Version {
    pub fn of_this_build() -> Version {
        Version {
            version: env!("CARGO_PKG_VERSION"),
            librdkafka: rdkafka::util::get_rdkafka_version().1,
            commit: option_env!("HABITUE_COMMIT").filter(|commit| !commit.is_empty()),
        }
    }
}
