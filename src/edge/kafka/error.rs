//! librdkafka's errors, by what the caller must do about them.

use rdkafka::error::{KafkaError, RDKafkaErrorCode};

use super::complaint;
use crate::edge::log::LogError;

/// A client could not be made: its configuration is wrong.
pub(crate) fn creation(error: KafkaError) -> LogError {
    LogError::Fatal(format!("Kafka client: {error}"))
}

/// A question was not answered, or with an error. Questions change nothing, so they may be asked again.
pub(crate) fn question(what: &str, error: KafkaError) -> LogError {
    let text = format!("{what}: {error}");
    match error.rdkafka_error_code() {
        Some(RDKafkaErrorCode::FencedInstanceId) => LogError::Replaced,
        Some(code) if refused(code) => LogError::Fatal(text),
        Some(code) if away(code) => {
            LogError::Retry(complaint::last().map_or(text.clone(), |why| format!("{text}: {why}")))
        }
        _ => LogError::Retry(text),
    }
}

/// Which call of the transaction failed decides what a timeout means.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Call {
    /// May be repeated: it goes on where it was.
    Init,
    Begin,
    SendOffsets,
    Commit,
    Abort,
}

pub(crate) fn transaction(call: Call, error: KafkaError) -> LogError {
    let KafkaError::Transaction(inner) = &error else {
        // The flush inside commit: the caller had messages in flight and cannot know of them.
        return LogError::Indefinite(format!("{call:?}: {error}"));
    };
    let text = format!("{call:?}: {}: {}", inner.name(), inner.string());
    if inner.is_fatal() {
        LogError::Fatal(text)
    } else if inner.txn_requires_abort() {
        LogError::Abort(text)
    } else if refused(inner.code()) {
        LogError::Fatal(text)
    } else if inner.is_retriable() && call == Call::Init {
        LogError::Retry(text)
    } else {
        LogError::Indefinite(text)
    }
}

/// A record was not taken into the producer's queue.
pub(crate) fn send(error: KafkaError) -> LogError {
    let text = format!("send: {error}");
    match error.rdkafka_error_code() {
        Some(RDKafkaErrorCode::QueueFull) => LogError::Retry(text),
        Some(code) if fatal(code) => LogError::Fatal(text),
        _ => LogError::Abort(text),
    }
}

/// A record was taken and not written.
pub(crate) fn delivery(code: RDKafkaErrorCode, place: &str) -> LogError {
    let text = format!("record for {place} was not written: {code}");
    if fatal(code) { LogError::Fatal(text) } else { LogError::Abort(text) }
}

fn fatal(code: RDKafkaErrorCode) -> bool {
    use RDKafkaErrorCode as Code;
    matches!(code, Code::Fatal | Code::Fenced | Code::InvalidProducerEpoch | Code::ProducerFenced)
        || refused(code)
}

/// Nobody answered; what librdkafka complained of says why.
fn away(code: RDKafkaErrorCode) -> bool {
    use RDKafkaErrorCode as Code;
    matches!(
        code,
        Code::BrokerTransportFailure | Code::AllBrokersDown | Code::OperationTimedOut | Code::Resolve
    )
}

/// No permission, or no way to prove who we are: trying again is of no use.
pub(crate) fn refused(code: RDKafkaErrorCode) -> bool {
    use RDKafkaErrorCode as Code;
    matches!(
        code,
        Code::Authentication
            | Code::SaslAuthenticationFailed
            | Code::TopicAuthorizationFailed
            | Code::GroupAuthorizationFailed
            | Code::ClusterAuthorizationFailed
            | Code::TransactionalIdAuthorizationFailed
            | Code::FencedInstanceId
            | Code::UnsupportedVersion
    )
}
