"""Answers the workers' queries of CloudWatch Logs Insights as AWS does: ministack knows neither the
fields of JSON lines nor `parse` nor `stats`, and passes over what it does not know."""

import json
import re

from ministack.services import cloudwatch_logs


def with_stats(start):
    def start_query(data):
        answer = start(data)
        stages = data["queryString"].split("\n| ")
        if answer[0] == 200 and any(stage.startswith("stats ") for stage in stages):
            groups = cloudwatch_logs._resolve_query_log_groups(data)
            span = (data["startTime"], data["endTime"])
            lines = [fields(it) for it in cloudwatch_logs._collect_query_records(groups, *span)]
            for stage in stages:
                lines = after(stage, lines)
            query = cloudwatch_logs._queries[json.loads(answer[2])["queryId"]]
            query["results"] = [
                [{"field": name, "value": str(value)} for name, value in line.items()]
                for line in lines
            ]
        return answer

    return start_query


def fields(record):
    line = {"@message": record["@message"], "@timestamp": record["_timestamp_ms"]}
    try:
        return json.loads(record["@message"]) | line
    except (TypeError, ValueError):
        return line


def after(stage, lines):
    """What a stage of a query makes of lines."""
    command, rest = stage.split(" ", 1)
    if command == "filter":
        wanted = [re.fullmatch(r'(\w+) = "([^"]*)"', it).groups() for it in rest.split(" and ")]
        return [it for it in lines if all(it.get(name) == value for name, value in wanted)]
    if command == "parse":
        pattern = re.fullmatch("@message /(.*)/", rest)[1].replace("(?<", "(?P<")
        found = (re.search(pattern, line["@message"]) for line in lines)
        return [line | (it.groupdict() if it else {}) for line, it in zip(lines, found)]
    if command == "stats":
        return stats(*rest.split(" by "), lines)
    if command == "sort":
        name, order = rest.split(" ")
        return sorted(lines, key=lambda line: line[name], reverse=order == "desc")
    if command == "limit":
        return lines[: int(rest)]
    raise ValueError(f"a query holds {stage!r}, which nobody taught the range")


def stats(made, by, lines):
    groups = {}
    for line in lines:
        key = {name: line[name] for name in by.split(", ") if line.get(name) is not None}
        groups.setdefault(tuple(key.items()), []).append(line)
    rows = []
    for key, members in groups.items():
        row = dict(key)
        for it in made.split(", "):
            function, name, called = re.fullmatch(r"(\w+)\((.+)\) as (\w+)", it).groups()
            values = [1 if name == "*" else member[name] for member in members]
            row[called] = {"count": len, "min": min, "max": max}[function](values)
        rows.append(row)
    return rows


cloudwatch_logs._start_query = with_stats(cloudwatch_logs._start_query)
