"""Just enough of PromQL to know which labels an expression has: a parser, and a fold over its tree.

promtool judges the syntax. This judges the names: every metric and every label must be one that somebody exports,
and a label that an aggregation has taken away must not be asked for. A matcher of a label that a series does not
have matches nothing, silently; so does grouping by it. That is what is found here."""

import re

TOKEN = re.compile(r"""\s*(?:
    (?P<comment>\#[^\n]*) |
    (?P<string>"(?:[^"\\]|\\.)*"|'(?:[^'\\]|\\.)*'|`[^`]*`) |
    (?P<duration>\[[^\]]*\]) |
    (?P<number>0x[0-9a-fA-F]+|\d+(?:\.\d+)?(?:[eE][+-]?\d+)?(?:ms|[smhdwy])?(?:\d+(?:ms|[smhdwy]))*) |
    (?P<name>[a-zA-Z_:][a-zA-Z0-9_:]*) |
    (?P<operator>=~|!~|!=|==|<=|>=|[-+*/%^<>=(){},@])
)""", re.VERBOSE)

AGGREGATIONS = set("sum min max avg count stddev stdvar group topk bottomk quantile count_values".split())
WITH_PARAMETER = {"topk", "bottomk", "quantile", "count_values"}
# Functions that answer a number or lose all labels; the others keep those of their vector.
SCALARS = {"time", "scalar", "vector", "pi"}
OF_COUNTERS = {"rate", "increase", "irate", "resets"}
# Words that are no metric although they look like one.
FUNCTIONS = {"group_left", "group_right", "histogram_quantile", "avg_over_time", "max_over_time", "min_over_time", "sum_over_time",
             "label_replace", "label_join", "count_values", "predict_linear"}
BINARY = [{"or"}, {"and", "unless"}, {"==", "!=", "<=", "<", ">=", ">"}, {"+", "-"}, {"*", "/", "%", "atan2"}, {"^"}]


class Fault(Exception):
    """What is wrong with an expression, in one line."""


def tokens(text):
    found, at = [], 0
    text = text.rstrip()
    while at < len(text):
        match = TOKEN.match(text, at)
        if not match:
            raise Fault(f"cannot be read at: {text[at:at + 30]}")
        at = match.end()
        if match.lastgroup != "comment":
            found.append((match.lastgroup, match.group(match.lastgroup)))
    return found


def labels_of(text, metrics):
    """The labels of an expression's result, a set; `metrics` answers for a name its Metric, or None.

    Raises Fault for an unknown metric or label."""
    parser = Parser(tokens(text), metrics)
    labels = parser.binary(0)
    if parser.at < len(parser.tokens):
        raise Fault(f"nothing should stand behind: {parser.tokens[parser.at][1]}")
    return labels


class Parser:
    """Recursive descent; each method answers the labels of what it has read. A number has none."""

    def __init__(self, found, metrics):
        self.tokens, self.metrics, self.at = found, metrics, 0

    def peek(self, ahead=0):
        return self.tokens[self.at + ahead] if self.at + ahead < len(self.tokens) else ("end", "")

    def next(self):
        token = self.peek()
        self.at += 1
        return token

    def takes(self, *texts):
        if self.peek()[1] in texts and self.peek()[0] in ("operator", "name"):
            return self.next()[1]
        return None

    def wants(self, text):
        if self.next()[1] != text:
            raise Fault(f"{text} is missing before: {self.peek(-1)[1]}")

    def binary(self, level):
        if level == len(BINARY):
            return self.unary()
        left = self.binary(level + 1)
        while self.peek()[1] in BINARY[level]:
            operator = self.next()[1]
            self.takes("bool")
            left = self.joined(operator, left, level)
        return left

    def joined(self, operator, left, level):
        """`left operator right`; a matching names labels that both sides must have."""
        matching, named, group, included = None, set(), None, set()
        if self.peek()[1] in ("on", "ignoring"):
            matching, named = self.next()[1], self.names()
        if self.peek()[1] in ("group_left", "group_right"):
            group = self.next()[1]
            included = self.names() if self.peek()[1] == "(" else set()
        right = self.binary(level + 1)
        if left is None or right is None:
            return right if left is None else left
        self.known(named, left, f"left of {operator}")
        self.known(named, right, f"right of {operator}")
        if operator in ("and", "unless", "or"):
            if operator == "or":
                return left & right
            if matching is None and left != right:
                raise Fault(f"{operator} without on() matches nothing: {sorted(left)} against {sorted(right)}")
            return left
        if group:
            many, one = (left, right) if group == "group_left" else (right, left)
            self.known(included, one, f"the one side of {operator}")
            return many | included
        if matching is None and left != right:
            raise Fault(f"{operator} without on() matches nothing: {sorted(left)} against {sorted(right)}")
        if matching == "on":
            # Comparisons keep the left side's labels when they filter; arithmetic keeps those of on().
            return left if operator in BINARY[2] else named
        return left - named if matching else left

    def unary(self):
        if self.takes("-", "+"):
            return self.unary()
        labels = self.primary()
        while True:
            if self.peek()[0] == "duration":
                self.next()
            elif self.takes("offset"):
                self.takes("-")
                self.next()
            elif self.takes("@"):
                self.next()
            else:
                return labels

    def primary(self):
        kind, text = self.next()
        if kind == "number" or kind == "string":
            return None
        if text == "(":
            labels = self.binary(0)
            self.wants(")")
            return labels
        if text == "{":
            raise Fault("a selector without a metric's name")
        if kind != "name":
            raise Fault(f"unexpected: {text}")
        if text in AGGREGATIONS and self.peek()[1] in ("(", "by", "without"):
            return self.aggregation(text)
        if self.peek()[1] == "(":
            return self.call(text)
        return self.selector(text)

    def aggregation(self, function):
        clause = self.clause()
        self.wants("(")
        if function in WITH_PARAMETER:
            self.binary(0)
            self.wants(",")
        inner = self.binary(0)
        self.wants(")")
        clause = clause or self.clause()
        if inner is None:
            raise Fault(f"{function} of a number")
        if clause is None:
            return inner if function in ("topk", "bottomk") else set()
        word, named = clause
        self.known(named, inner, f"{function} {word}")
        return (named if word == "by" else inner - named) if function not in ("topk", "bottomk") else inner

    def clause(self):
        word = self.takes("by", "without")
        return (word, self.names()) if word else None

    def call(self, function):
        self.wants("(")
        begun, arguments = self.at, []
        while not self.takes(")"):
            arguments.append(self.binary(0))
            self.takes(",")
        vectors = [labels for labels in arguments if labels is not None]
        if function in OF_COUNTERS:
            self.of_counter(function, begun)
        if function == "histogram_quantile":
            if "le" not in vectors[-1]:
                raise Fault("histogram_quantile of something without le")
            return vectors[-1] - {"le"}
        if function in ("label_replace", "label_join"):
            target = next(text for kind, text in self.tokens[begun:self.at] if kind == "string")
            return vectors[0] | {target[1:-1]}
        if function in SCALARS:
            return set() if function == "vector" else None
        if function == "absent":
            return set()
        return vectors[0] if vectors else None

    def of_counter(self, function, begun):
        name = self.tokens[begun][1]
        metric = self.metrics(name)
        if metric and metric.kind == "gauge":
            raise Fault(f"{function} of {name}, which is a gauge")

    def selector(self, name):
        metric = self.metrics(name)
        if metric is None:
            raise Fault(f"unknown metric: {name}")
        if self.takes("{"):
            while not self.takes("}"):
                label, operator, value = self.next()[1], self.next()[1], self.next()[1]
                self.known({label}, metric.labels, name)
                metric.holds(label, operator, value[1:-1])
                self.takes(",")
        return set(metric.labels)

    def names(self):
        self.wants("(")
        named = set()
        while not self.takes(")"):
            named.add(self.next()[1])
            self.takes(",")
        return named

    @staticmethod
    def known(named, labels, where):
        unknown = sorted(named - labels)
        if unknown:
            raise Fault(f"no label {', '.join(unknown)} in {where}; there are {', '.join(sorted(labels)) or 'none'}")


class Metric:
    """A series that is exported or recorded: its kind, labels, and the values of those that have a fixed set."""

    def __init__(self, kind, labels, values=None):
        self.kind, self.labels, self.values = kind, set(labels), values or {}

    def holds(self, label, operator, value):
        """Raises Fault where a matcher is certain to match nothing, or to match by chance."""
        if label == "le":
            raise Fault("le is matched by its text, which differs between versions of Prometheus")
        values = self.values.get(label)
        if values is None:
            return
        if operator in ("=", "!="):
            wrong = [] if value in values else [value]
        else:
            wrong = [part for part in value.split("|") if not any(re.fullmatch(part, known) for known in values)]
        if wrong:
            raise Fault(f"{label} is never {', '.join(wrong)}; it is one of {', '.join(sorted(values))}")
