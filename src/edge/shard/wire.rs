//! Wire forms of one service: which decoder for which input, which form for the outputs, and keys to
//! partitions.

use crate::codec::{self, Decoder, SchemaError, SchemaSet, WireForm, built_in};
use crate::event::{Control, Event, Input};
use crate::signal::fact::FactRecord;
use crate::signal::journal::Entry;
use crate::signal::model::ModelRecord;
use crate::signal::{Signal, Topic};

/// Schemas and forms, checked when made.
#[derive(Debug)]
pub struct Wire {
    schemas: SchemaSet,
    inputs: [WireForm; Input::ALL.len()],
    outputs: WireForm,
}

impl Wire {
    /// `inputs` by [`Input::index`].
    ///
    /// # Errors
    /// When a schema of the set cannot be read as the input it is for.
    pub fn new(
        schemas: SchemaSet,
        inputs: [WireForm; Input::ALL.len()],
        outputs: WireForm,
    ) -> Result<Wire, SchemaError> {
        for input in Input::ALL {
            Decoder::new(input, inputs[input.index()], &schemas)?;
        }
        Ok(Wire { schemas, inputs, outputs })
    }

    pub fn decoder(&self, input: Input) -> Decoder {
        Decoder::new(input, self.inputs[input.index()], &self.schemas).expect("checked by Wire::new")
    }

    /// A decoder of an input's JSON, whatever the form of its topic.
    pub fn json_decoder(&self, input: Input) -> Decoder {
        Decoder::new(input, WireForm::Json, &self.schemas).expect("JSON needs no schema of the set")
    }

    /// An event as it is written to its topic; `json` is the text it was read from.
    pub fn event(&self, event: &Event<'_>, json: &[u8]) -> Vec<u8> {
        let (input, schema) = match event {
            Event::Purchase(_) => (Input::Purchases, built_in::PURCHASE),
            Event::Engagement(_) => (Input::Engagements, built_in::ENGAGEMENT),
            Event::Feedback(_) => (Input::Feedback, built_in::FEEDBACK),
        };
        let mut out = Vec::with_capacity(256);
        match self.inputs[input.index()] {
            WireForm::ConfluentAvro => codec::encode_event(event, Some(schema), &mut out),
            WireForm::BareAvro => codec::encode_event(event, None, &mut out),
            WireForm::Json => out.extend(json),
        }
        out
    }

    pub fn signal(&self, signal: &Signal) -> Vec<u8> {
        // A list has some 600 bytes, everything else fewer than 256.
        let is_list = matches!(signal, Signal::Recommendation(_));
        let mut out = Vec::with_capacity(if is_list { 1_024 } else { 256 });
        codec::encode_signal_as(signal, self.outputs, &mut out);
        // A batch holds thousands: the next one is written into the room that is given back.
        out.shrink_to_fit();
        out
    }

    /// Any record's value as JSON.
    ///
    /// # Errors
    /// Words for people.
    pub fn show(&self, topic: Topic, value: &[u8]) -> Result<serde_json::Value, String> {
        let input = Input::ALL.into_iter().find(|input| Topic::from(*input) == topic);
        let configured = input.map_or(self.outputs, |input| self.inputs[input.index()]);
        codec::show(topic, codec::internal_form(topic).unwrap_or(configured), value, &self.schemas)
    }

    pub fn fact(&self, fact: &FactRecord) -> Vec<u8> {
        let mut out = Vec::with_capacity(64);
        codec::encode_fact(fact, &mut out);
        out
    }

    /// # Errors
    /// What is wrong with the bytes.
    pub fn read_fact(&self, value: &[u8]) -> Result<FactRecord, String> {
        codec::decode_fact(value).map_err(|error| error.to_string())
    }

    pub fn entry(&self, entry: &Entry) -> Vec<u8> {
        let mut out = Vec::with_capacity(128 + entry.steps.len() * 8);
        codec::encode_journal(entry, &mut out);
        out
    }

    /// # Errors
    /// What is wrong with the bytes.
    pub fn read_entry(&self, value: &[u8]) -> Result<Entry, String> {
        codec::decode_journal(value).map_err(|error| error.to_string())
    }

    pub fn model(&self, record: &ModelRecord) -> Vec<u8> {
        let mut out = Vec::with_capacity(64);
        codec::encode_model(record, &mut out);
        out
    }

    /// # Errors
    /// What is wrong with the bytes.
    pub fn read_model(&self, value: &[u8]) -> Result<ModelRecord, String> {
        codec::decode_model(value).map_err(|error| error.to_string())
    }

    pub fn control(&self, control: &Control) -> Vec<u8> {
        let mut out = Vec::new();
        codec::encode_control(control, &mut out);
        out
    }

    /// # Errors
    /// What is wrong with the bytes.
    pub fn read_control(&self, value: &[u8]) -> Result<Control, String> {
        codec::decode_control(value).map_err(|error| error.to_string())
    }
}

/// The partition of a key as Java clients spread it: murmur2, the sign bit dropped, modulo.
pub fn partition_of(key: &str, partitions: u32) -> u32 {
    partition_of_bytes(key.as_bytes(), partitions)
}

/// As [`partition_of`], of bytes.
pub fn partition_of_bytes(key: &[u8], partitions: u32) -> u32 {
    (murmur2(key) & 0x7fff_ffff) % partitions.max(1)
}

/// Kafka's murmur2 (`org.apache.kafka.common.utils.Utils.murmur2`).
fn murmur2(bytes: &[u8]) -> u32 {
    const M: u32 = 0x5bd1_e995;
    let length = u32::try_from(bytes.len()).unwrap_or(u32::MAX);
    let mut hash = 0x9747_b28c ^ length;
    let (words, tail) = bytes.as_chunks::<4>();
    for word in words {
        let mut k = u32::from_le_bytes(*word).wrapping_mul(M);
        k = (k ^ (k >> 24)).wrapping_mul(M);
        hash = hash.wrapping_mul(M) ^ k;
    }
    if !tail.is_empty() {
        for (at, byte) in tail.iter().enumerate() {
            hash ^= u32::from(*byte) << (8 * at);
        }
        hash = hash.wrapping_mul(M);
    }
    hash = (hash ^ (hash >> 13)).wrapping_mul(M);
    hash ^ (hash >> 15)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The values of Kafka's own test, `UtilsTest.testMurmur2`.
    #[test]
    fn murmur2_is_kafkas() {
        let cases: [(&str, i32); 6] = [
            ("21", -973_932_308),
            ("foobar", -790_332_482),
            ("a-little-bit-long-string", -985_981_536),
            ("a-little-bit-longer-string", -1_486_304_829),
            ("lkjh234lh9fiuh90y23oiuhsafujhadof229phr9h19h89h8", -58_897_971),
            ("abc", 479_470_107),
        ];
        for (key, hash) in cases {
            assert_eq!(murmur2(key.as_bytes()).cast_signed(), hash, "{key}");
        }
    }
}
