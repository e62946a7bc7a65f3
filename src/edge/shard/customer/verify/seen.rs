//! What the batch of an entry saw: `models` and `control`, read in step with the journal.

use std::iter::once;
use std::sync::Arc;
use std::time::Duration;

use super::Stop;
use crate::analysis::View;
use crate::edge::log::{Log, LogError, Place, Reader};
use crate::edge::shard::Environment;
use crate::edge::shard::contents::Contents;
use crate::edge::shard::cursor::Cursor;
use crate::edge::shard::shared::{Epoch, NotYet};
use crate::edge::shard::wire::Wire;
use crate::signal::Topic;
use crate::signal::journal::Positions;

pub(super) struct Seen<L: Log> {
    epoch: Epoch,
    /// As read to the ends: which versions are gone.
    all: Arc<Epoch>,
    /// Of control, then of models by partition, each with the offset it has reached.
    cursors: Vec<(Cursor<L>, u64)>,
    /// Why no entry's view can be had.
    never: Option<String>,
    contents: Arc<dyn Contents>,
}

impl<L: Log> Seen<L> {
    pub fn open(environment: &Environment<L>) -> Result<Seen<L>, LogError> {
        let all = environment.shared.epoch();
        let models = 0..u32::try_from(all.models.len()).unwrap_or(0);
        let places = models.map(|partition| Place::new(Topic::Models, partition));
        let (mut cursors, mut never) = (Vec::new(), None);
        let mut reader = environment.log.reader()?;
        for place in once(Place::new(Topic::Control, 0)).chain(places) {
            let low = reader.ends(place)?.low;
            if low > 0 {
                never = Some(format!("{} {} begins at {low}, not at 0", place.topic.name(), place.partition));
            }
            cursors.push((Cursor::open(&environment.log, place, low)?, 0));
        }
        let contents = Arc::clone(&environment.contents);
        Ok(Seen { epoch: all.anew(), all, cursors, never, contents })
    }

    pub fn view(&self) -> View<'_> {
        self.epoch.view()
    }

    /// Whether what a batch saw at these positions is still there.
    pub fn is_whole_at(&self, positions: &Positions) -> bool {
        self.never.is_none() && self.all.is_whole_at(&positions.models)
    }

    /// Why not every entry's view can be had.
    pub fn missing(&self) -> Option<String> {
        let is_gone = self.all.whole_from.iter().any(|whole_from| *whole_from > 0);
        let gone =
            || format!("versions in models before offsets {:?} were compacted away", self.all.whole_from);
        let lost = || format!("the newest versions of models {:?} cannot be read", self.all.lost);
        let lost = (!self.all.lost.is_empty()).then(lost);
        self.never.clone().or(lost).or_else(|| is_gone.then(gone))
    }

    /// Whether the tables are a function of their position.
    pub fn is_certain(&self) -> bool {
        self.epoch.refused_rows == 0
    }

    /// Reads on to these positions.
    pub fn advance(&mut self, positions: &Positions, wire: &Wire, wait: Duration) -> Result<(), Stop> {
        let wanted = once(&positions.control).chain(&positions.models);
        for ((cursor, reached), wanted) in self.cursors.iter_mut().zip(wanted) {
            let place = cursor.place();
            if wanted < reached {
                return Err(Stop::Differs(format!(
                    "it has {} {} read to {wanted}, the entry before to {reached}",
                    place.topic.name(),
                    place.partition
                )));
            }
            if wanted == reached {
                continue;
            }
            while let Some(record) = cursor.peek_or_end(wait)?.filter(|record| record.offset < *wanted) {
                let taken = self.epoch.record(wire, &*self.contents, record.as_record());
                taken.map_err(|NotYet(reason)| LogError::Retry(reason))?;
                cursor.pop();
            }
            *reached = *wanted;
        }
        Ok(())
    }
}
