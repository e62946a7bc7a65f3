//! The customer side: tells the moments of a customer, and what is thought of them.

use super::bands::{Band, Published};
use super::features::{moment, summary};
use super::model::Model;
use super::reasons::reasons;
use super::{DESCRIPTOR, MODEL};
use crate::analysis::{CustomerSide, Opinion, Output, View};
use crate::customer::Customer;
use crate::customer::orders::day_of;
use crate::event::{Event, TimeMs};
use crate::signal::fact::{ChurnMoment, Fact};
use crate::signal::journal::Decision;
use crate::signal::{Score, Signal, SignalId, Source};

/// Learns nothing in the partition: who comes back and who does not is learned from all customers.
pub(super) struct Churn;

/// What a score is about: an order, or the silence at a timer's due time.
struct Cause<'a> {
    source: Source,
    time_ms: TimeMs,
    event_id: Option<&'a str>,
}

impl Churn {
    /// `customer` as it is at the moment, the order that it is about included.
    fn look(cause: &Cause<'_>, customer: &Customer, view: View<'_>, output: &mut Output) {
        let Cause { source, time_ms, event_id } = *cause;
        let Some(mut moment) = moment(customer, source.partition, time_ms, event_id.is_some()) else {
            return;
        };
        if let Some((model, version)) = view.models.get::<Model>(MODEL) {
            moment.probability = model.probability(&summary(&moment), &moment.features) as f32;
            if view.published.churn.enabled {
                publish(cause, customer, &moment, (model, version), &view.published.churn, output);
            }
        }
        output.facts.push(Fact::Churn(moment));
    }
}

/// The score goes out when it is the customer's first, or its band another than that of the last.
fn publish(
    cause: &Cause<'_>,
    customer: &Customer,
    moment: &ChurnMoment,
    (model, version): (&Model, u64),
    settings: &Published,
    output: &mut Output,
) {
    let value = f64::from(moment.probability);
    let last = last_band(customer);
    let band = settings.band(value, last);
    if last == Some(band) {
        return;
    }
    let Cause { source, time_ms, event_id } = *cause;
    // The same record may stand behind many looks at a silent customer.
    let due_ms = if moment.is_order { 0 } else { time_ms };
    output.signals.push(Signal::Score(Score {
        id: SignalId::new(source, DESCRIPTOR.name, &customer.id, due_ms, 0),
        analysis: DESCRIPTOR.name.into(),
        customer: customer.id.to_string(),
        event_id: event_id.map(str::to_owned),
        time_ms,
        source,
        value,
        band: band.name().into(),
        version,
        reasons: reasons(model, customer, moment),
    }));
    output.decisions.push(Decision::Remember {
        analysis: DESCRIPTOR.id,
        customer: customer.key(),
        memory: vec![band.byte()],
    });
}

fn last_band(customer: &Customer) -> Option<Band> {
    customer.memory.get(DESCRIPTOR.id).and_then(|bytes| Band::of_byte(*bytes.first()?))
}

impl CustomerSide for Churn {
    fn judge(
        &mut self,
        source: Source,
        event: &Event<'_>,
        customer: Option<&Customer>,
        view: View<'_>,
        output: &mut Output,
    ) {
        let Event::Purchase(purchase) = event else { return };
        let (Some(id), false) = (event.customer(), purchase.refund) else { return };
        let mut orders = customer.map(|customer| customer.orders).unwrap_or_default();
        if !orders.add(day_of(purchase.time_ms)) {
            return;
        }
        let mut customer = customer.cloned().unwrap_or_else(|| Customer::new(id));
        customer.purchase(purchase, event.dedupe_hash());
        let cause = Cause { source, time_ms: purchase.time_ms, event_id: Some(&purchase.event_id) };
        Churn::look(&cause, &customer, view, output);
    }

    fn wake(
        &mut self,
        source: Source,
        due_ms: TimeMs,
        customer: &Customer,
        view: View<'_>,
        output: &mut Output,
    ) {
        Churn::look(&Cause { source, time_ms: due_ms, event_id: None }, customer, view, output);
    }

    /// As of the silence at `now_ms`.
    fn opinion(
        &self,
        customer: &Customer,
        partition: u32,
        now_ms: TimeMs,
        view: View<'_>,
    ) -> Option<Opinion> {
        let settings = &view.published.churn;
        let (model, version) = view.models.get::<Model>(MODEL).filter(|_| settings.enabled)?;
        let moment = moment(customer, partition, now_ms, false)?;
        let value = model.probability(&summary(&moment), &moment.features);
        let band = settings.band(value, last_band(customer)).name();
        Some(Opinion { value, band, version, reasons: reasons(model, customer, &moment) })
    }
}
