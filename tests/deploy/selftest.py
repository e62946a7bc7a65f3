"""The judge of names against itself: it finds each way to be wrong, and says nothing of what is right."""

import promql

METRICS = {
    "events_total": promql.Metric("counter", {"job", "instance", "input"}, {"input": {"purchases", "feedback"}}),
    "other_total": promql.Metric("counter", {"job", "instance", "lane"}),
    "size": promql.Metric("gauge", {"job", "instance"}),
    "took_bucket": promql.Metric("histogram", {"job", "instance", "stage", "le"}),
}
# Expression and the labels of its result; None is a number.
RIGHT = [
    ("1 + 2 * 3", None),
    ("size", {"job", "instance"}),
    ("sum(size)", set()),
    ("sum by (job) (rate(events_total[5m]))", {"job"}),
    ("sum(rate(events_total[5m])) by (job, input) # a comment", {"job", "input"}),
    ("sum without (instance) (events_total)", {"job", "input"}),
    ('events_total{input="purchases"} > 3', {"job", "instance", "input"}),
    ('events_total{input=~"purchases|feed.*"}', {"job", "instance", "input"}),
    ("topk(3, events_total)", {"job", "instance", "input"}),
    ("histogram_quantile(0.99, sum by (job, le) (rate(took_bucket[5m])))", {"job"}),
    ("events_total / on (job, instance) group_left () size", {"job", "instance", "input"}),
    ("events_total * on (job) group_left (lane) other_total", {"job", "instance", "input", "lane"}),
    ("size * on (job) size", {"job"}),
    ("size > on (job) size", {"job", "instance"}),
    ("events_total and on (job) other_total", {"job", "instance", "input"}),
    ("events_total unless on (job) (size > bool 1)", {"job", "instance", "input"}),
    ("sum(size) or vector(0)", set()),
    ("time() - size < 900", {"job", "instance"}),
    ("max_over_time(size[1d:5m] offset 1h)", {"job", "instance"}),
    ('label_replace(size, "host", "$1", "instance", "(.*):.*")', {"job", "instance", "host"}),
    ("-size ^ 2", {"job", "instance"}),
]
# Expression and a part of the fault.
WRONG = [
    ("event_total", "unknown metric"),
    ('{job="a"}', "without a metric"),
    ('size{input="a"}', "no label input"),
    ("sum by (stage) (size)", "no label stage"),
    ("sum by (input) (sum by (job) (events_total))", "no label input"),
    ("sum without (stage) (size)", "no label stage"),
    ('events_total{input="purchase"}', "never purchase"),
    ('events_total{input!="refunds"}', "never refunds"),
    ('events_total{input=~"purchases|views"}', "never views"),
    ('took_bucket{le="1"}', "matched by its text"),
    ("histogram_quantile(0.9, sum by (job) (rate(took_bucket[5m])))", "without le"),
    ("rate(size[5m])", "is a gauge"),
    ("events_total / other_total", "without on()"),
    ("events_total and size", "without on()"),
    ("size * on (stage) size", "no label stage"),
    ("events_total * on (job) group_left (stage) other_total", "no label stage"),
    ("sum(size", ") is missing"),
    ("size size", "nothing should stand behind"),
]


def check(checks):
    for text, wanted in RIGHT:
        try:
            labels = promql.labels_of(text, METRICS.get)
        except promql.Fault as fault:
            labels = fault
        checks.that(f"the judge knows the labels of {text}", labels == wanted, f"{labels}, not {wanted}")
    for text, wanted in WRONG:
        try:
            found = f"the labels {promql.labels_of(text, METRICS.get)}"
        except promql.Fault as fault:
            found = str(fault)
        checks.that(f"the judge finds the fault of {text}", wanted in found, found)
