"""Puts the decoy patients into the table, for CloudFormation: records of nobody, which nobody has a
reason to read.

They are secret: nothing of them is logged or answered. A decoy never takes a real patient's place.
With the stack the decoys are not deleted, since the table is not either.
"""

import json
import os
import urllib.request

import boto3

TABLE = boto3.resource("dynamodb").Table(os.environ["PATIENTS_TABLE"])


class Taken(Exception):
    """A decoy has the identifier of a record that is no decoy."""


def handler(event, _context):
    try:
        if event["RequestType"] != "Delete":
            old = given(event.get("OldResourceProperties", {}))
            exchange(old, given(event["ResourceProperties"]))
        outcome = {"Status": "SUCCESS"}
    except Taken:
        outcome = {"Status": "FAILED", "Reason": Taken.__doc__}
    except Exception as error:
        reason = f"The decoys were not placed: {type(error).__name__}."
        outcome = {"Status": "FAILED", "Reason": reason}
    respond(event, outcome)


def given(properties):
    """The decoys by identifier."""
    return {decoy["patientId"]: decoy for decoy in json.loads(properties.get("Patients", "[]"))}


def exchange(old, new):
    """Puts the new ones in the place of the old ones. What is in the table decides which are old:
    after a failure CloudFormation asks for the way back, and calls old what never got there."""
    there = {name: stored(name) for name in old.keys() | new.keys()}
    if any(there[name] not in (None, decoy, old.get(name)) for name, decoy in new.items()):
        raise Taken
    for decoy in new.values():
        TABLE.put_item(Item=decoy)
    for name in old.keys() - new.keys():
        if there[name] == old[name]:
            TABLE.delete_item(Key={"patientId": name})


def stored(name):
    return TABLE.get_item(Key={"patientId": name}, ConsistentRead=True).get("Item")


def respond(event, outcome):
    answer = {name: event[name] for name in ("StackId", "RequestId", "LogicalResourceId")}
    answer |= {"PhysicalResourceId": f"{TABLE.name}-decoys", **outcome}
    body = json.dumps(answer).encode()
    request = urllib.request.Request(event["ResponseURL"], body, method="PUT")
    # What CloudFormation signed has no content type.
    request.add_header("Content-Type", "")
    urllib.request.urlopen(request, timeout=10).close()
