"""Runs ministack, with what the drills need otherwise."""

import json
import os
import signal
import sys
import threading

from ministack.app import main
from ministack.core import iam_actions
from ministack.services import eventbridge


def leave_with_the_drill():
    """Ends ministack and all its workers as soon as standard input ends: however the drill ends, be
    it by Ctrl-C or by a crash, it leaves no process behind."""
    sys.stdin.buffer.read()
    os.killpg(0, signal.SIGKILL)


def with_rules_as_on_aws(guess):
    """For IAM, ministack knows the rule of a call only where the request says `Name`, and writes the
    default bus into its ARN. AWS knows it from `Rule` too, and leaves that bus out."""

    def resource(service, method, path, headers, body, *rest):
        arn = guess(service, method, path, headers, body, *rest)
        if service != "events":
            return arn
        if arn == "*" and "Rule" in (request := json.loads(body or b"{}")):
            request["Name"] = request["Rule"]
            arn = guess(service, method, path, headers, json.dumps(request).encode(), *rest)
        return arn.replace(":rule/default/", ":rule/")

    return resource


threading.Thread(target=leave_with_the_drill, daemon=True).start()
iam_actions.extract_resource_arn = with_rules_as_on_aws(iam_actions.extract_resource_arn)
# A drill says when a schedule is due, so that none is in the middle of another.
eventbridge.start_scheduler = lambda: None
main()
