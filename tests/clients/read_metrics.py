"""Reads metrics from standard input with prometheus_client's own parsers, and prints them as JSON: name and labels, type, value."""

import json
import sys

from prometheus_client.openmetrics.parser import text_string_to_metric_families as open_metrics
from prometheus_client.parser import text_string_to_metric_families as prometheus

parse = {"prometheus": prometheus, "openmetrics": open_metrics}[sys.argv[1]]
found = []
for family in parse(sys.stdin.read()):
    for sample in family.samples:
        found.append([sample.name, sample.labels, sample.value, family.type])
print(json.dumps(found))
