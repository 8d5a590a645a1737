"""Runs ministack, with what the drills need otherwise."""

import functools
import json
import os
import signal
import sys
import threading

from ministack.app import main
from ministack.core import iam_actions, responses
from ministack.services import cloudtrail, eventbridge, waf
from ministack.services.cloudformation import provisioners


def leave_with_the_drill():
    """Ends ministack and all its workers as soon as standard input ends: however the drill ends, be
    it by Ctrl-C or by a crash, it leaves no process behind."""
    sys.stdin.buffer.read()
    os.killpg(0, signal.SIGKILL)


def with_arns_as_on_aws(guess):
    """What a call is about, for IAM. ministack knows an EventBridge rule only where the request says
    `Name`, and writes the default bus into its ARN: AWS knows it from `Rule` too, and leaves that bus
    out. It takes everything that has a name in WAF for a web ACL, and leaves its id out."""

    def resource(service, method, path, headers, body, *rest):
        arn = guess(service, method, path, headers, body, *rest)
        if service == "wafv2":
            _, region, account = rest
            return of_firewall(json.loads(body or b"{}"), headers, region, account) or arn
        if service != "events":
            return arn
        if arn == "*" and "Rule" in (request := json.loads(body or b"{}")):
            request["Name"] = request["Rule"]
            arn = guess(service, method, path, headers, json.dumps(request).encode(), *rest)
        return arn.replace(":rule/default/", ":rule/")

    return resource


def of_firewall(request, headers, region, account):
    """The ARN of the web ACL or the IP set that a request names, if it names one."""
    uid = request.get("WebACLId", request.get("Id"))
    if uid is None:
        return request.get("WebAclArn")
    name = request.get("WebACLName", request.get("Name"))
    kind = "ipset" if headers["x-amz-target"].endswith("IPSet") else "webacl"
    scope = "global" if request["Scope"] == "CLOUDFRONT" else "regional"
    return f"arn:aws:wafv2:{region}:{account}:{scope}/{kind}/{name}/{uid}"


def made(operation, **request):
    """What one of ministack's own APIs answers."""
    status, _, body = operation(request)
    if status != 200:
        raise ValueError(body)
    return json.loads(body)


def trail(_id, given, _stack):
    spelled = {"TrailName": "Name", "KMSKeyId": "KmsKeyId"}
    given = {spelled.get(name, name): value for name, value in given.items()}
    arn = made(cloudtrail._create_trail, **given)["TrailARN"]
    # CreateTrail forgets the log group there.
    made(cloudtrail._update_trail, **given)
    made(cloudtrail._put_event_selectors, **given, TrailName=arn)
    if given["IsLogging"] in (True, "true"):
        made(cloudtrail._start_logging, Name=arn)
    return given["Name"], {"Arn": arn}


def ip_set(_id, given, _stack):
    it = made(waf._create_ip_set, **given)["Summary"]
    return f"{it['Name']}|{it['Id']}|{given['Scope']}", {"Arn": it["ARN"], "Id": it["Id"]}


def with_rules_as_the_api_has_them(create):
    """CloudFormation spells ARN otherwise, and there a number that is a parameter comes as a text: no
    SDK would read them back."""

    def statement(given):
        given = {"ARN" if name == "Arn" else name: value for name, value in given.items()}
        return given | {"Limit": int(given["Limit"])} if "Limit" in given else given

    def web_acl(name, given, stack):
        return create(name, json.loads(json.dumps(given), object_hook=statement), stack)

    return web_acl


def association(_id, given, _stack):
    made(waf._associate_web_acl, **given)
    return f"{given['WebACLArn']}|{given['ResourceArn']}", {}


def with_one_metric(record):
    """CloudFormation there knows no alarm on an expression: it gets one on the first metric instead,
    as no alarm goes off by itself here."""

    def alarm(name, given):
        metrics = [it["MetricStat"] for it in given.get("Metrics", []) if "MetricStat" in it]
        if metrics:
            given = given | metrics[0]["Metric"] | {"Period": metrics[0]["Period"], "Metrics": []}
        return record(name, given)

    return alarm


def nothing(_id, given, _stack):
    return given["ResourceArn"], {}


def sampled_requests(asked):
    """WAF samples nothing there: a drill says what it saw."""
    file = os.path.join(os.environ["STATE_DIR"], "sampled-requests.json")
    samples = json.load(open(file)) if os.path.exists(file) else {}
    requests = samples.get(asked["RuleMetricName"], [])
    window = asked["TimeWindow"]
    return {"SampledRequests": requests, "PopulationSize": len(requests), "TimeWindow": window}


def managed_keys(_asked):
    """Nor does it count who is over a rate."""
    none = {family: {"IPAddressVersion": family, "Addresses": []} for family in ("IPV4", "IPV6")}
    return {"ManagedKeysIPV4": none["IPV4"], "ManagedKeysIPV6": none["IPV6"]}


def with_samples(handle):
    answers = {
        "AWSWAF_20190729.GetSampledRequests": sampled_requests,
        "AWSWAF_20190729.GetRateBasedStatementManagedKeys": managed_keys,
    }

    async def request(method, path, headers, body, query):
        answer = answers.get(headers.get("x-amz-target"))
        if answer is None:
            return await handle(method, path, headers, body, query)
        return responses.json_response(answer(json.loads(body)))

    return request


threading.Thread(target=leave_with_the_drill, daemon=True).start()
iam_actions.extract_resource_arn = with_arns_as_on_aws(iam_actions.extract_resource_arn)
# A drill says when a schedule is due, so that none is in the middle of another.
eventbridge.start_scheduler = lambda: None
# A drill knows the names of the buckets beforehand.
provisioners._physical_name = functools.partial(provisioners._physical_name, seeded=False)
# ministack has these, but its CloudFormation does not; WAF's logs it does not have at all.
for kind, create in {
    "AWS::CloudTrail::Trail": trail,
    "AWS::WAFv2::IPSet": ip_set,
    "AWS::WAFv2::WebACLAssociation": association,
    "AWS::WAFv2::LoggingConfiguration": nothing,
}.items():
    provisioners._RESOURCE_HANDLERS[kind] = {"create": create, "delete": lambda *_: None}
provisioners._cw_metric_alarm_record = with_one_metric(provisioners._cw_metric_alarm_record)
web_acl = provisioners._RESOURCE_HANDLERS["AWS::WAFv2::WebACL"]
web_acl["create"] = with_rules_as_the_api_has_them(web_acl["create"])
waf.handle_request = with_samples(waf.handle_request)
main()
