//! Wire formats: Avro (with and without the Confluent header) and JSON to and from events and signals.
