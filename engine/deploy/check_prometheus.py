"""Checks the alerts for Prometheus and the dashboard for Grafana against the metrics of a node.

Usage: check_prometheus.py ALERTS DASHBOARD PAGE PROTOCOL

PAGE is what a node returns at /metrics, PROTOCOL the document with the table of statuses, which are
the outcomes of requests.
"""

import json
import re
import sys

import yaml

# Labels that Prometheus adds, and the metric that it makes of each target.
TARGET_LABELS = {"instance", "job"}
TARGET_METRICS = {"up": TARGET_LABELS}

SERIES = re.compile(r"\b(catena_[a-z_]+|up)\b(\{[^}]*\})?")
QUERY = re.compile(r"label_values\((.*), ([a-z_]+)\)")
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


def faults_of_expr(expr, metrics, outcomes, known):
    """What is wrong with an expression. Adds the labels of its metrics to `known`."""
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


def faults_of(rule, metrics, outcomes):
    known = set(TARGET_LABELS)
    yield from faults_of_expr(str(rule.get("expr", "")), metrics, outcomes, known)
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


def faults_of_dashboard(dashboard, metrics, outcomes):
    """What is wrong with a dashboard, and which of the metrics it leaves out."""
    shown = set()
    ids, panels = set(), [it for it in dashboard["panels"] if it["type"] != "row"]
    for panel in panels:
        title = panel.get("title") or "a panel"
        if panel["id"] in ids:
            yield f"{title}: its id occurs twice"
        ids.add(panel["id"])
        if not panel.get("description") or not panel["fieldConfig"]["defaults"].get("unit"):
            yield f"{title}: it has no description or no unit"
        for target in panel["targets"]:
            known = set(TARGET_LABELS)
            for fault in faults_of_expr(target["expr"], metrics, outcomes, known):
                yield f"{title}: {fault}"
            shown |= {name for name, _ in SERIES.findall(target["expr"])}
            for label in re.findall(r"{{([a-z_]+)}}", target["legendFormat"]):
                if label not in known:
                    yield f"{title}: the legend names the label {label}, which nothing has"
    for variable in dashboard["templating"]["list"]:
        query = QUERY.fullmatch(variable["query"]) if variable["type"] == "query" else None
        if query:
            known = set(TARGET_LABELS)
            for fault in faults_of_expr(query[1], metrics, outcomes, known):
                yield f"${variable['name']}: {fault}"
            if query[2] not in known:
                yield f"${variable['name']}: nothing has the label {query[2]}"
    # The parts of a histogram are one metric; what a node is called is in the variables.
    left_out = {re.sub("_(bucket|count|sum)$", "", name) for name in metrics}
    left_out -= {re.sub("_bucket$", "", name) for name in shown}
    for name in sorted(left_out - {"catena_build_info", "catena_node_info"}):
        yield f"no panel shows {name}"


def main(alerts_path, dashboard_path, page_path, protocol_path):
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
    with open(dashboard_path) as file:
        dashboard = json.load(file)
    faults += [f"dashboard: {it}" for it in faults_of_dashboard(dashboard, metrics, outcomes)]
    for fault in faults:
        print(fault, file=sys.stderr)
    print(f"{len(rules)} alerts about {len(metrics)} metrics and {len(outcomes)} outcomes")
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
