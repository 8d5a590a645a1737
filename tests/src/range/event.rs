//! Events as CloudTrail records them and EventBridge delivers them.

use std::hash::{BuildHasher, RandomState};

use jiff::Timestamp;
use serde_json::{Value, json};

use super::{ACCOUNT, REGION};

/// Where the attackers sit: a network reserved for documentation.
const SOURCE_ADDRESS: &str = "203.0.113.7";

/// One API call, in the envelope of EventBridge.
#[derive(Debug, Clone)]
pub(crate) struct Event {
    /// What EventBridge delivers.
    pub(crate) json: Value,
}

impl Event {
    /// The event of a call that succeeded just now.
    pub(crate) fn of_call(
        identity: &Value,
        service: &str,
        name: &str,
        request: &Value,
        request_id: &str,
    ) -> Self {
        let now = Timestamp::now().strftime("%Y-%m-%dT%H:%M:%SZ").to_string();
        let endpoint = format!("{service}.{REGION}.amazonaws.com");
        Self {
            json: json!({
                "version": "0",
                "id": new_id(),
                "detail-type": "AWS API Call via CloudTrail",
                "source": format!("aws.{service}"),
                "account": ACCOUNT,
                "time": now,
                "region": REGION,
                "resources": [],
                "detail": {
                    "eventVersion": "1.11",
                    "userIdentity": identity,
                    "eventTime": now,
                    "eventSource": format!("{service}.amazonaws.com"),
                    "eventName": name,
                    "awsRegion": REGION,
                    "sourceIPAddress": SOURCE_ADDRESS,
                    "userAgent": "aws-cli/2.31.0",
                    "requestParameters": request,
                    "responseElements": null,
                    "requestID": request_id,
                    "eventID": new_id(),
                    "readOnly": false,
                    "eventType": "AwsApiCall",
                    "managementEvent": true,
                    "recipientAccountId": ACCOUNT,
                    "eventCategory": "Management",
                    "tlsDetails": {
                        "tlsVersion": "TLSv1.3",
                        "cipherSuite": "TLS_AES_128_GCM_SHA256",
                        "clientProvidedHostHeader": endpoint,
                    },
                },
            }),
        }
    }

    /// What a rule that is due by its schedule hands to its targets.
    pub(crate) fn scheduled(rule: &str) -> Self {
        Self {
            json: json!({
                "version": "0",
                "id": new_id(),
                "detail-type": "Scheduled Event",
                "source": "aws.events",
                "account": ACCOUNT,
                "time": Timestamp::now().strftime("%Y-%m-%dT%H:%M:%SZ").to_string(),
                "region": REGION,
                "resources": [rule],
                "detail": {},
            }),
        }
    }

    /// The same call as one on data, of which CloudTrail names the resources.
    pub(crate) fn of_data(mut self, resources: Value) -> Self {
        let detail = &mut self.json["detail"];
        detail["eventCategory"] = "Data".into();
        detail["managementEvent"] = false.into();
        detail["resources"] = resources;
        self
    }

    /// The same call, as a Lambda function in a VPC makes it.
    pub(crate) fn by_function(mut self) -> Self {
        let detail = &mut self.json["detail"];
        detail["sourceIPAddress"] = "10.0.1.7".into();
        detail["userAgent"] = "Boto3/1.40 exec-env/AWS_Lambda_python3.13 Botocore/1.40".into();
        self
    }

    /// The same call, made by a service on the caller's behalf.
    pub(crate) fn through(mut self, service: &str) -> Self {
        let detail = &mut self.json["detail"];
        detail["userIdentity"]["invokedBy"] = service.into();
        detail["sourceIPAddress"] = service.into();
        detail["userAgent"] = service.into();
        self
    }

    /// What CloudWatch tells when the alarm `name` goes off.
    pub(crate) fn alarm(name: &str) -> Self {
        let now = Timestamp::now().strftime("%Y-%m-%dT%H:%M:%SZ").to_string();
        Self {
            json: json!({
                "version": "0",
                "id": new_id(),
                "detail-type": "CloudWatch Alarm State Change",
                "source": "aws.cloudwatch",
                "account": ACCOUNT,
                "time": now,
                "region": REGION,
                "resources": [format!("arn:aws:cloudwatch:{REGION}:{ACCOUNT}:alarm:{name}")],
                "detail": {
                    "alarmName": name,
                    "state": {"value": "ALARM", "reason": "a threshold was crossed", "timestamp": now},
                    "previousState": {"value": "OK", "reason": "no threshold was crossed"},
                },
            }),
        }
    }

    /// CloudTrail's id of it, and so the name of the execution that answers it.
    pub(crate) fn id(&self) -> &str {
        let id = self.json["detail"]["eventID"].as_str();
        id.or(self.json["id"].as_str()).unwrap_or_default()
    }

    /// The call's name.
    pub(crate) fn name(&self) -> &str {
        self.json["detail"]["eventName"]
            .as_str()
            .unwrap_or_default()
    }
}

/// A random UUID; the standard library's hasher is seeded with fresh randomness.
pub(crate) fn new_id() -> String {
    let random = || RandomState::new().hash_one(0);
    let (high, low) = (random(), random());
    format!(
        "{:08x}-{:04x}-4{:03x}-a{:03x}-{:012x}",
        high >> 32,
        high >> 16 & 0xffff,
        high & 0xfff,
        low >> 48 & 0xfff,
        low & 0xffff_ffff_ffff
    )
}

#[cfg(test)]
mod tests {
    use incident::{Actor, ApiCall};

    use super::*;

    #[test]
    fn an_event_is_read_as_what_it_says() {
        let identity = json!({
            "type": "IAMUser",
            "accountId": ACCOUNT,
            "arn": "arn:aws:iam::000000000000:user/eve",
            "userName": "eve",
        });
        let request = json!({"name": "clinic"});
        let event = Event::of_call(&identity, "cloudtrail", "StopLogging", &request, "id");
        let call = ApiCall::read(&event.json).unwrap();
        assert_eq!(call.id, event.id());
        assert_eq!(call.name, event.name());
        assert_eq!(call.service, "cloudtrail.amazonaws.com");
        assert_eq!(call.account, ACCOUNT);
        assert_eq!(call.request, request);
        assert!(matches!(call.actor, Actor::IamUser { .. }));
        assert!(call.error.is_none());
    }

    #[test]
    fn what_a_service_does_for_somebody_is_said_so() {
        let request = json!({"name": "clinic"});
        let event = Event::of_call(&json!({}), "events", "DisableRule", &request, "id");
        let event = event.through("cloudformation.amazonaws.com");
        let call = ApiCall::read(&event.json).unwrap();
        assert_eq!(
            call.invoked_by.as_deref(),
            Some("cloudformation.amazonaws.com")
        );
    }

    #[test]
    fn ids_look_like_uuids_and_differ() {
        let (one, other) = (new_id(), new_id());
        assert_ne!(one, other);
        let parts: Vec<_> = one.split('-').map(str::len).collect();
        assert_eq!(parts, [8, 4, 4, 4, 12]);
    }
}
