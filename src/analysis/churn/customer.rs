//! The customer side: says nothing yet.

use crate::analysis::{CustomerSide, Frozen, Output, View};
use crate::customer::Customer;
use crate::event::Event;
use crate::signal::Source;

pub(super) struct Churn;

impl CustomerSide for Churn {
    fn assess(&mut self, _event: &Event<'_>, _customer: Option<&Customer>) {}

    fn judge(
        &mut self,
        _source: Source,
        _event: &Event<'_>,
        _customer: Option<&Customer>,
        _view: View<'_>,
        _output: &mut Output,
    ) {
    }

    fn learn(&mut self, _event: &Event<'_>) {}

    fn freeze(&self) -> Frozen {
        Box::new(Vec::new)
    }

    fn restore(&mut self, _bytes: &[u8]) -> Result<(), String> {
        Ok(())
    }

    fn bytes(&self) -> usize {
        0
    }
}
