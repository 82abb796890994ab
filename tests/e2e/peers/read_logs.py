"""Prints what a CloudWatch Logs endpoint holds: one JSON object per event with group, stream, timestamp, message.

Usage: read_logs.py ENDPOINT
"""

import json
import sys

import boto3

logs = boto3.client("logs", endpoint_url=sys.argv[1], region_name="us-west-2")
for group in logs.describe_log_groups()["logGroups"]:
    name = group["logGroupName"]
    for stream in logs.describe_log_streams(logGroupName=name)["logStreams"]:
        request = {"logGroupName": name, "logStreamName": stream["logStreamName"], "startFromHead": True}
        token = None
        while True:
            answer = logs.get_log_events(**request, **({"nextToken": token} if token else {}))
            for event in answer["events"]:
                line = {
                    "group": name,
                    "stream": stream["logStreamName"],
                    "retention": group.get("retentionInDays"),
                    "timestamp": event["timestamp"],
                    "message": event["message"],
                }
                print(json.dumps(line))
            if answer["nextForwardToken"] == token:
                break
            token = answer["nextForwardToken"]
