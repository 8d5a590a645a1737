"""The records of the CRM: search by last name, create, read, replace, delete.

Nothing of a patient is ever logged: what goes wrong is named by its kind only.
"""

import json
import os
import uuid

import boto3
from boto3.dynamodb.conditions import Attr, Key

TABLE = boto3.resource("dynamodb").Table(os.environ["PATIENTS_TABLE"])
MISSING = TABLE.meta.client.exceptions.ConditionalCheckFailedException
HEADERS = {
    "Access-Control-Allow-Origin": os.environ["ORIGIN"],
    "Cache-Control": "no-store",
    "Content-Type": "application/json",
}
FIELDS = {"lastName", "firstName", "birthDate", "phone", "notes"}
LONGEST = 4096
PAGE = 50


def handler(event, _context):
    try:
        status, body = ROUTES[event["httpMethod"], event["resource"]](event)
    except ValueError as error:
        status, body = 400, {"message": str(error)}
    except MISSING:
        status, body = 404, {"message": "no such patient"}
    except Exception as error:
        print(json.dumps({"level": "ERROR", "error": type(error).__name__}))
        status, body = 500, {"message": "something went wrong"}
    return {"statusCode": status, "headers": HEADERS, "body": json.dumps(body)}


def search(event):
    asked = event["queryStringParameters"] or {}
    name, after = asked.get("lastName"), asked.get("after")
    if not name:
        raise ValueError("lastName is missing")
    page = {"IndexName": "lastName-index", "Limit": PAGE}
    if after:
        page["ExclusiveStartKey"] = {"lastName": name, "patientId": after}
    found = TABLE.query(KeyConditionExpression=Key("lastName").eq(name), **page)
    after = found.get("LastEvaluatedKey", {}).get("patientId")
    return 200, {"patients": found["Items"], "after": after}


def create(event):
    # Random, so that an identifier in a log says nothing about anybody.
    patient = {**record(event), "patientId": str(uuid.uuid4())}
    TABLE.put_item(Item=patient, ConditionExpression=Attr("patientId").not_exists())
    return 201, patient


def read(event):
    found = TABLE.get_item(Key=key(event)).get("Item")
    return (200, found) if found else (404, {"message": "no such patient"})


def replace(event):
    patient = {**record(event), **key(event)}
    TABLE.put_item(Item=patient, ConditionExpression=Attr("patientId").exists())
    return 200, patient


def delete(event):
    TABLE.delete_item(Key=key(event), ConditionExpression=Attr("patientId").exists())
    return 200, {}


def key(event):
    return {"patientId": event["pathParameters"]["patientId"]}


def record(event):
    try:
        given = json.loads(event["body"] or "")
    except ValueError:
        raise ValueError("the body is not JSON") from None
    if not isinstance(given, dict) or not given.get("lastName") or not FIELDS.issuperset(given):
        fields = ", ".join(sorted(FIELDS))
        raise ValueError(f"the body must be an object with lastName, of the fields {fields}")
    if not all(isinstance(value, str) and len(value) <= LONGEST for value in given.values()):
        raise ValueError(f"every field must be a text of at most {LONGEST} characters")
    return given


ROUTES = {
    ("GET", "/patients"): search,
    ("POST", "/patients"): create,
    ("GET", "/patients/{patientId}"): read,
    ("PUT", "/patients/{patientId}"): replace,
    ("DELETE", "/patients/{patientId}"): delete,
}
