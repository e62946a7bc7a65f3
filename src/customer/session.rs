//! The customer's session: what was done since the last long pause.

use serde::{Deserialize, Serialize};

use crate::event::{Engagement, EngagementKind, TimeMs};

#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Session {
    /// Sessions begun, the open one included.
    pub sessions: u32,
    pub start_ms: TimeMs,
    pub last_ms: TimeMs,
    pub events: u32,
    pub views: u32,
    pub carts: u32,
    pub searches: u32,
}

impl Session {
    pub(super) fn engagement(&mut self, engagement: &Engagement<'_>, gap_ms: TimeMs) {
        let time_ms = engagement.time_ms;
        if self.sessions == 0 || time_ms > self.last_ms.saturating_add(gap_ms) {
            *self = Session {
                sessions: self.sessions.saturating_add(1),
                start_ms: time_ms,
                ..Session::default()
            };
        }
        self.start_ms = self.start_ms.min(time_ms);
        self.last_ms = self.last_ms.max(time_ms);
        self.events = self.events.saturating_add(1);
        match engagement.kind {
            EngagementKind::View => self.views = self.views.saturating_add(1),
            EngagementKind::AddToCart => self.carts = self.carts.saturating_add(1),
            EngagementKind::Search => self.searches = self.searches.saturating_add(1),
            _ => {}
        }
    }
}
