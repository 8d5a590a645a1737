"""Lets a request through with an access token of our user pool and client, unless whoever it was
given to is on the deny list.

A signature stays valid until the token expires, whatever happens to the account: only the deny
list, read for every single request, refuses a stolen token at once. When it cannot be read, nobody
is let through.
"""

import base64
import hashlib
import hmac
import json
import os
import time
import urllib.request

import boto3

POOL = os.environ["USER_POOL_ID"]
CLIENT = os.environ["USER_POOL_CLIENT_ID"]
DENY_LIST = boto3.resource("dynamodb").Table(os.environ["DENY_LIST_TABLE"])
COGNITO = boto3.client("cognito-idp").meta
ISSUER = f"https://cognito-idp.{COGNITO.region_name}.amazonaws.com/{POOL}"
KEYS_URL = f"{COGNITO.endpoint_url}/{POOL}/.well-known/jwks.json"

# What RFC 8017, 9.2, puts before a SHA-256 hash that is signed.
SHA256_INFO = bytes.fromhex("3031300d060960864801650304020105000420")

keys = {}
keys_asked_at = 0.0


def handler(event, _context):
    try:
        subject = signed_in(event["authorizationToken"].removeprefix("Bearer "))
    except ValueError:
        subject = None
    if subject is None or denied(subject):
        # API Gateway answers 401 to exactly this text. Nothing of the token is logged.
        raise Exception("Unauthorized")
    allow = {"Effect": "Allow", "Action": "execute-api:Invoke", "Resource": event["methodArn"]}
    policy = {"Version": "2012-10-17", "Statement": [allow]}
    return {"principalId": subject, "policyDocument": policy}


def denied(subject):
    """Whether it is on the list, and not there only because DynamoDB deletes days too late."""
    entry = DENY_LIST.get_item(Key={"subject": subject}, ConsistentRead=True).get("Item")
    return entry is not None and entry.get("expiresAt", float("inf")) > time.time()


def signed_in(token):
    """The subject of the token; ValueError when it is not a valid one of ours."""
    head, body, signature = token.split(".")
    key = public_key(json.loads(decoded(head)))
    if not is_signed(f"{head}.{body}".encode(), decoded(signature), key):
        raise ValueError("not signed by the user pool")
    claims = json.loads(decoded(body))
    expected = {"iss": ISSUER, "client_id": CLIENT, "token_use": "access"}
    if any(claims.get(name) != value for name, value in expected.items()):
        raise ValueError("not meant for us")
    if claims["exp"] <= time.time():
        raise ValueError("expired")
    return claims["sub"]


def is_signed(message, signature, key):
    """RSASSA-PKCS1-v1_5 with SHA-256 by RFC 8017, 8.2.2: the whole encoding is compared."""
    modulus, exponent = (int.from_bytes(decoded(key[part]), "big") for part in ("n", "e"))
    size = (modulus.bit_length() + 7) // 8
    number = int.from_bytes(signature, "big")
    if len(signature) != size or number >= modulus:
        return False
    info = SHA256_INFO + hashlib.sha256(message).digest()
    expected = b"\x00\x01" + b"\xff" * (size - len(info) - 3) + b"\x00" + info
    return hmac.compare_digest(pow(number, exponent, modulus).to_bytes(size, "big"), expected)


def public_key(header):
    """The key that the token names, asked for again at most once a minute when it is a new one."""
    global keys, keys_asked_at
    if not isinstance(header, dict) or header.get("alg") != "RS256":
        raise ValueError("not signed with RS256")
    name = str(header.get("kid"))
    if not keys or name not in keys and time.monotonic() - keys_asked_at >= 60:
        keys_asked_at = time.monotonic()
        with urllib.request.urlopen(KEYS_URL, timeout=3) as answer:
            keys = {key["kid"]: key for key in json.load(answer)["keys"]}
    if name not in keys:
        raise ValueError("not signed by a key of the user pool")
    return keys[name]


def decoded(text):
    return base64.b64decode(text + "=" * (-len(text) % 4), altchars=b"-_", validate=True)
