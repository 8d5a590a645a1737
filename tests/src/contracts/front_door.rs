//! What the reference CRM promises: its firewall stands before both of its doors, and Tourniquet is
//! told where everything is.

use serde_json::Value;

use super::Project;
use crate::template::{Resource, Template, each, entries};

/// A web ACL blocks what both IP sets hold, one for each kind of address, before any other rule
/// can let it pass, and it stands before the API's stage and before the user pool.
pub(super) fn is_guarded(project: &Project) -> Vec<String> {
    let crm = &project.crm;
    let acls: Vec<_> = crm.of_type("AWS::WAFv2::WebACL").collect();
    let [acl] = acls.as_slice() else {
        return vec![format!("crm.yaml has {} web ACLs, and not one", acls.len())];
    };
    let mut violations = Vec::new();
    for (family, output) in [("IPV4", "IpSetV4Arn"), ("IPV6", "IpSetV6Arn")] {
        let named = crm.referred(&crm.0["Outputs"][output]["Value"]);
        match named {
            Some(set) if set.properties["IPAddressVersion"] != *family => {
                violations.push(format!("{output} is no set of {family} addresses"));
            }
            Some(set) if !blocks(crm, *acl, set) => {
                violations.push(format!(
                    "{} does not block {} before anything else",
                    acl.id, set.id
                ));
            }
            Some(_) => {}
            None => violations.push(format!("{output} is no IP set of the template")),
        }
    }
    for (door, is_door) in DOORS {
        let guarded = crm.of_type("AWS::WAFv2::WebACLAssociation").any(|it| {
            let same = crm.referred(&it.properties["WebACLArn"]);
            same.is_some_and(|it| it.id == acl.id) && is_door(crm, &it.properties["ResourceArn"])
        });
        if !guarded {
            violations.push(format!("{} does not stand before {door}", acl.id));
        }
    }
    violations
}

type IsDoor = fn(&Template, &Value) -> bool;

const DOORS: [(&str, IsDoor); 2] = [
    ("the API's stage", |crm, arn| {
        let apis = crm.of_type("AWS::Serverless::Api");
        let stages = apis.map(|api| format!("/restapis/${{{0}}}/stages/${{{0}.Stage}}", api.id));
        let arn = arn["Fn::Sub"].as_str().unwrap_or_default();
        stages.into_iter().any(|stage| arn.ends_with(&stage))
    }),
    ("the user pool", |crm, arn| {
        crm.referred(arn)
            .is_some_and(|it| it.kind == "AWS::Cognito::UserPool")
    }),
];

/// Whether the rule for a set blocks, and only rules for sets come before it.
fn blocks(crm: &Template, acl: Resource<'_>, set: Resource<'_>) -> bool {
    let mut rules: Vec<_> = each(&acl.properties["Rules"]).iter().collect();
    rules.sort_by_key(|rule| rule["Priority"].as_u64());
    let set_of = |rule: &Value| {
        crm.referred(&rule["Statement"]["IPSetReferenceStatement"]["Arn"])
            .map(|set| set.id)
    };
    rules
        .into_iter()
        .take_while(|rule| set_of(rule).is_some())
        .any(|rule| set_of(rule) == Some(set.id) && rule["Action"]["Block"].is_object())
}

/// Each output is one of Tourniquet's parameters, or an address for people.
pub(super) fn is_known(project: &Project) -> Vec<String> {
    let parameters = &project.template.0["Parameters"];
    entries(&project.crm.0["Outputs"])
        .filter(|(name, _)| !name.ends_with("Url") && parameters[*name].is_null())
        .map(|(name, _)| format!("crm.yaml's output {name} is no parameter of template.yaml"))
        .collect()
}
