//! Events as JSON, with the field names of the schemas and `type`: what `/api/v1/events` takes.

use serde_json::{Map, Value, json};

use crate::event::{Engagement, Event, Feedback, Line, Purchase};

/// One object. What is unknown is left out.
pub fn event_json(event: &Event<'_>) -> Value {
    let fields = match event {
        Event::Purchase(purchase) => purchase_json(purchase),
        Event::Engagement(engagement) => engagement_json(engagement),
        Event::Feedback(feedback) => feedback_json(feedback),
    };
    let Value::Object(fields) = fields else { return fields };
    Value::Object(fields.into_iter().filter(|(_, value)| !value.is_null()).collect::<Map<_, _>>())
}

fn purchase_json(purchase: &Purchase<'_>) -> Value {
    let line = |line: &Line<'_>| {
        let mut fields = json!({
            "item": line.item, "quantity": line.quantity, "unit_price_minor": line.unit_price_minor,
        });
        if let Some(category) = &line.category {
            fields["category"] = json!(category);
        }
        fields
    };
    json!({
        "type": "purchase",
        "event_id": purchase.event_id,
        "customer": purchase.customer,
        "order": purchase.order,
        "time_ms": purchase.time_ms,
        "lines": purchase.lines.iter().map(line).collect::<Vec<_>>(),
        "currency": purchase.currency.as_str(),
        "instrument": purchase.instrument,
        "channel": purchase.channel,
        "terminal": purchase.terminal,
        "device": purchase.device,
        "country": purchase.country,
        "refund": purchase.refund,
    })
}

fn engagement_json(engagement: &Engagement<'_>) -> Value {
    json!({
        "type": "engagement",
        "event_id": engagement.event_id,
        "customer": engagement.customer,
        "time_ms": engagement.time_ms,
        "kind": engagement.kind.symbol(),
        "session": engagement.session,
        "item": engagement.item,
        "category": engagement.category,
        "duration_seconds": engagement.duration_seconds,
        "query": engagement.query,
        "experiment": engagement.experiment,
        "variant": engagement.variant,
        "anonymous_id": engagement.anonymous_id,
    })
}

fn feedback_json(feedback: &Feedback<'_>) -> Value {
    json!({
        "type": "feedback",
        "customer": feedback.customer,
        "event_id": feedback.event_id,
        "verdict": feedback.verdict.symbol(),
        "time_ms": feedback.time_ms,
        "source": feedback.source,
    })
}
