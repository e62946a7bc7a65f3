//! Events and signals to Avro, by the built-in schemas.

use super::schema::built_in;
use crate::event::{Engagement, Event, Feedback, Purchase};
use crate::signal::{Alert, DeadLetter, Reason, Recommendation, Score, Signal, SignalId, Source};

/// Appends the signal to `out` as Avro, after a Confluent header where a schema id is given.
pub fn encode_signal(signal: &Signal, header: Option<u32>, out: &mut Vec<u8>) {
    let mut writer = Writer::new(header, out);
    match signal {
        Signal::Alert(alert) => write_alert(&mut writer, alert),
        Signal::Score(score) => write_score(&mut writer, score),
        Signal::DeadLetter(letter) => write_dead_letter(&mut writer, letter),
        Signal::Recommendation(list) => write_recommendation(&mut writer, list),
    }
}

/// The id of the built-in schema by which the signal is written.
pub fn signal_schema_id(signal: &Signal) -> u32 {
    match signal {
        Signal::Alert(_) => built_in::ALERT,
        Signal::Score(_) => built_in::SCORE,
        Signal::DeadLetter(_) => built_in::DEAD_LETTER,
        Signal::Recommendation(_) => built_in::RECOMMENDATION,
    }
}

/// Appends the event to `out` as Avro by the input's built-in schema, after a Confluent header where a
/// schema id is given. Nothing is checked: a workload may write what a decoder must reject.
pub fn encode_event(event: &Event<'_>, header: Option<u32>, out: &mut Vec<u8>) {
    let mut writer = Writer::new(header, out);
    match event {
        Event::Purchase(purchase) => write_purchase(&mut writer, purchase),
        Event::Engagement(engagement) => write_engagement(&mut writer, engagement),
        Event::Feedback(feedback) => write_feedback(&mut writer, feedback),
    }
}

/// Appends Avro's primitives.
pub(super) struct Writer<'o> {
    out: &'o mut Vec<u8>,
}

impl<'o> Writer<'o> {
    /// Begins with the Confluent header where there is a schema id.
    pub fn new(header: Option<u32>, out: &'o mut Vec<u8>) -> Writer<'o> {
        if let Some(id) = header {
            out.push(0);
            out.extend_from_slice(&id.to_be_bytes());
        }
        Writer { out }
    }

    /// Zigzag, then seven bits a byte. Also an int, a union's branch and an enum's symbol.
    pub fn long(&mut self, value: impl Into<i64>) {
        let value = value.into();
        let mut rest = ((value << 1) ^ (value >> 63)).cast_unsigned();
        while rest >= 0x80 {
            self.out.push((rest & 0x7f) as u8 | 0x80);
            rest >>= 7;
        }
        self.out.push(rest as u8);
    }

    /// 64 bits without a sign, as the long of the same bits.
    pub fn unsigned(&mut self, value: u64) {
        self.long(value.cast_signed());
    }

    /// A length or a place. No slice is longer than an `i64` counts.
    pub fn length(&mut self, length: usize) {
        self.unsigned(length as u64);
    }

    pub fn bytes(&mut self, bytes: &[u8]) {
        self.length(bytes.len());
        self.fixed(bytes);
    }

    pub fn fixed(&mut self, bytes: &[u8]) {
        self.out.extend_from_slice(bytes);
    }

    pub fn text(&mut self, text: &str) {
        self.bytes(text.as_bytes());
    }

    /// A union of null and text, null first.
    pub fn optional_text(&mut self, text: Option<&str>) {
        self.long(i64::from(text.is_some()));
        if let Some(text) = text {
            self.text(text);
        }
    }

    pub fn float(&mut self, value: f32) {
        self.fixed(&value.to_le_bytes());
    }

    pub fn double(&mut self, value: f64) {
        self.fixed(&value.to_le_bytes());
    }

    pub fn boolean(&mut self, value: bool) {
        self.out.push(u8::from(value));
    }

    /// An array in one block.
    pub fn array<T>(
        &mut self,
        items: impl IntoIterator<IntoIter: ExactSizeIterator<Item = T>>,
        mut write: impl FnMut(&mut Self, T),
    ) {
        let items = items.into_iter();
        if items.len() > 0 {
            self.length(items.len());
            items.for_each(|item| write(self, item));
        }
        self.long(0);
    }
}

fn write_purchase(writer: &mut Writer<'_>, purchase: &Purchase<'_>) {
    writer.text(&purchase.event_id);
    writer.optional_text(purchase.customer.as_deref());
    writer.text(&purchase.order);
    writer.long(purchase.time_ms);
    writer.array(&purchase.lines, |writer, line| {
        writer.text(&line.item);
        writer.optional_text(line.category.as_deref());
        writer.long(line.quantity);
        writer.long(line.unit_price_minor);
    });
    writer.text(purchase.currency.as_str());
    writer.optional_text(purchase.instrument.as_deref());
    writer.optional_text(purchase.channel.as_deref());
    writer.optional_text(purchase.terminal.as_deref());
    writer.optional_text(purchase.device.as_deref());
    writer.optional_text(purchase.country.as_deref());
    writer.boolean(purchase.refund);
}

fn write_engagement(writer: &mut Writer<'_>, engagement: &Engagement<'_>) {
    writer.text(&engagement.event_id);
    writer.text(&engagement.customer);
    writer.long(engagement.time_ms);
    writer.length(engagement.kind as usize);
    writer.optional_text(engagement.session.as_deref());
    writer.optional_text(engagement.item.as_deref());
    writer.optional_text(engagement.category.as_deref());
    writer.long(i64::from(engagement.duration_seconds.is_some()));
    if let Some(duration) = engagement.duration_seconds {
        writer.double(duration);
    }
    writer.optional_text(engagement.query.as_deref());
    writer.optional_text(engagement.experiment.as_deref());
    writer.optional_text(engagement.variant.as_deref());
    writer.optional_text(engagement.anonymous_id.as_deref());
}

fn write_feedback(writer: &mut Writer<'_>, feedback: &Feedback<'_>) {
    writer.text(&feedback.customer);
    writer.text(&feedback.event_id);
    writer.length(feedback.verdict as usize);
    writer.long(feedback.time_ms);
    writer.text(&feedback.source);
}

fn write_alert(writer: &mut Writer<'_>, alert: &Alert) {
    write_id(writer, alert.id);
    writer.text(&alert.customer);
    writer.text(&alert.event_id);
    writer.text(&alert.order);
    writer.long(alert.time_ms);
    write_source(writer, alert.source);
    writer.long(alert.risk);
    writer.long(alert.amount_minor);
    writer.text(alert.currency.as_str());
    writer.optional_text(alert.terminal.as_deref());
    writer.optional_text(alert.instrument.as_deref());
    writer.array(&alert.reasons, write_reason);
}

fn write_score(writer: &mut Writer<'_>, score: &Score) {
    write_id(writer, score.id);
    writer.text(&score.analysis);
    writer.text(&score.customer);
    writer.optional_text(score.event_id.as_deref());
    writer.long(score.time_ms);
    write_source(writer, score.source);
    writer.double(score.value);
    writer.text(&score.band);
    writer.unsigned(score.version);
    writer.array(&score.reasons, write_reason);
}

fn write_recommendation(writer: &mut Writer<'_>, list: &Recommendation) {
    write_id(writer, list.id);
    writer.text(&list.customer);
    writer.long(list.time_ms);
    write_source(writer, list.source);
    writer.unsigned(list.version);
    writer.array(list.items.iter().enumerate(), |writer, (at, item)| {
        writer.text(item.item);
        writer.length(at + 1);
        writer.double(item.score);
        writer.text(item.source);
        writer.text(item.reason);
    });
}

fn write_dead_letter(writer: &mut Writer<'_>, letter: &DeadLetter) {
    write_source(writer, letter.source);
    writer.length(letter.reason as usize);
    writer.text(&letter.detail);
    writer.long(letter.timestamp_ms);
    writer.bytes(&letter.key);
    writer.bytes(&letter.raw);
    writer.unsigned(letter.length);
    writer.fixed(&letter.sha256);
}

fn write_source(writer: &mut Writer<'_>, source: Source) {
    writer.length(source.input.index());
    writer.long(source.partition);
    writer.unsigned(source.offset);
}

fn write_reason(writer: &mut Writer<'_>, reason: &Reason) {
    writer.text(&reason.code);
    writer.text(&reason.text);
    writer.double(reason.value);
    writer.double(reason.usual);
    writer.long(reason.weight);
}

/// A signal's id as it is written everywhere: 32 digits, lower case.
fn write_id(writer: &mut Writer<'_>, SignalId(id): SignalId) {
    let digit = |at: usize| b"0123456789abcdef"[(id >> (124 - 4 * at)) as usize & 15];
    writer.bytes(&std::array::from_fn::<u8, 32, _>(digit));
}
