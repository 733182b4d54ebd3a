"""Checks the alerts for Prometheus against the metrics of a node.

Usage: check_alerts.py ALERTS PAGE PROTOCOL

PAGE is what a node returns at /metrics, PROTOCOL the document with the table of statuses, which are
the outcomes of requests.
"""

import re
import sys

import yaml

# Labels that Prometheus adds, and the metric that it makes of each target.
TARGET_LABELS = {"instance", "job"}
TARGET_METRICS = {"up": TARGET_LABELS}

SERIES = re.compile(r"\b(catena_[a-z_]+|up)\b(\{[^}]*\})?")
MATCHER = re.compile(r'([a-z_]+)\s*(?:=~|!~|!=|=)\s*"([^"]*)"')
GROUPING = re.compile(r"\b(?:by|on|ignoring|without|group_left|group_right)\s*\(([^)]*)\)")
SEVERITIES = {"warning", "critical"}


def labels_on(page):
    """The labels of every metric on a page."""
    labels = {}
    for line in page.splitlines():
        sample = re.match(r"([a-z_]+)(?:\{([^}]*)\})? ", line)
        if sample and not line.startswith("#"):
            names = re.findall(r'([a-z_]+)="', sample[2] or "")
            labels.setdefault(sample[1], set()).update(names)
    return labels


def outcomes_in(protocol):
    """The names of all statuses in the table, as outcomes have them."""
    rows = re.findall(r"^\| \d+ \| ([A-Z][A-Za-z]+) \| (?:later|anew|never|unknown)", protocol, re.M)
    return {re.sub(r"(?<=[a-z])(?=[A-Z])", "_", name).lower() for name in rows} | {"done"}


def faults_of(rule, metrics, outcomes):
    expr = str(rule.get("expr", ""))
    known = set(TARGET_LABELS)
    if expr.count("(") != expr.count(")"):
        yield "the parentheses do not match"
    series = SERIES.findall(expr)
    if not series:
        yield "the expression names no metric"
    for name, matchers in series:
        if name not in metrics:
            yield f"there is no metric {name}"
            continue
        known |= metrics[name]
        for label, value in MATCHER.findall(matchers):
            if label not in metrics[name] | TARGET_LABELS:
                yield f"{name} has no label {label}"
            if label == "outcome" and value not in outcomes:
                yield f"there is no outcome {value}"
    for names in GROUPING.findall(expr):
        for label in filter(None, (name.strip() for name in names.split(","))):
            if label not in known:
                yield f"no metric of the expression has the label {label}"
    if rule.get("labels", {}).get("severity") not in SEVERITIES:
        yield f"the severity is one of {sorted(SEVERITIES)}"
    for annotation in ("summary", "description"):
        text = rule.get("annotations", {}).get(annotation, "")
        if not text:
            yield f"there is no {annotation}"
        for label in re.findall(r"\$labels\.([a-z_]+)", text):
            if label not in known:
                yield f"the {annotation} names the label {label}, which nothing has"
    if "for" in rule and not re.fullmatch(r"\d+[smh]", str(rule["for"])):
        yield "the time is a number with s, m or h"


def main(alerts_path, page_path, protocol_path):
    with open(alerts_path) as file:
        groups = yaml.safe_load(file)["groups"]
    with open(page_path) as file:
        metrics = labels_on(file.read()) | TARGET_METRICS
    with open(protocol_path) as file:
        outcomes = outcomes_in(file.read())
    rules = [rule for group in groups for rule in group["rules"]]
    names = [rule.get("alert", "?") for rule in rules]
    faults = [f"{name} occurs twice" for name in {name for name in names if names.count(name) > 1}]
    for name, rule in zip(names, rules):
        faults += [f"{name}: {fault}" for fault in faults_of(rule, metrics, outcomes)]
    for fault in faults:
        print(fault, file=sys.stderr)
    print(f"{len(rules)} alerts about {len(metrics)} metrics and {len(outcomes)} outcomes")
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
