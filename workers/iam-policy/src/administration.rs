//! Whether a document hands out administration.

use crate::{
    Document,
    statement::{ANY, Statement},
};

/// One action by which one becomes an administrator, when it may be done to every `kind` there is.
struct Means {
    action: &'static str,
    kind: &'static str,
    /// Whether it is enough to do it to oneself.
    own: bool,
}

const fn on(kind: &'static str, action: &'static str) -> Means {
    Means {
        action,
        kind,
        own: false,
    }
}

const fn on_self_or(kind: &'static str, action: &'static str) -> Means {
    Means {
        action,
        kind,
        own: true,
    }
}

/// <https://rhinosecuritylabs.com/aws/aws-privilege-escalation-methods-mitigation/>
const MEANS: [Means; 19] = [
    on("group", "iam:AddUserToGroup"),
    on("group", "iam:AttachGroupPolicy"),
    on("role", "iam:AttachRolePolicy"),
    on_self_or("user", "iam:AttachUserPolicy"),
    on("user", "iam:CreateAccessKey"),
    on("user", "iam:CreateLoginProfile"),
    on("policy", "iam:CreatePolicyVersion"),
    on("role", "iam:DeleteRolePermissionsBoundary"),
    on_self_or("user", "iam:DeleteUserPermissionsBoundary"),
    on("role", "iam:PassRole"),
    on("group", "iam:PutGroupPolicy"),
    on("role", "iam:PutRolePermissionsBoundary"),
    on("role", "iam:PutRolePolicy"),
    on_self_or("user", "iam:PutUserPermissionsBoundary"),
    on_self_or("user", "iam:PutUserPolicy"),
    on("policy", "iam:SetDefaultPolicyVersion"),
    on("role", "iam:UpdateAssumeRolePolicy"),
    on("user", "iam:UpdateLoginProfile"),
    on("role", "sts:AssumeRole"),
];

/// How many means are named in words; more are counted.
const NAMED: usize = 3;

impl Document {
    /// How it grants administration, in words that hold nothing of the document's own; none when it
    /// grants none.
    #[must_use]
    pub fn administration(&self) -> Option<String> {
        let all = || self.grants(&format!("{ANY}:{ANY}"), None, false);
        let of_iam = || self.grants(&format!("iam:{ANY}"), None, false);
        let (what, conditional) = if let Some(grant) = all() {
            let what = if grant.leaves_actions_out() {
                "every action but some on every resource"
            } else {
                "every action on every resource"
            };
            (what.to_owned(), grant.is_conditional())
        } else if let Some(grant) = of_iam() {
            let what = "every action of IAM on every resource";
            (what.to_owned(), grant.is_conditional())
        } else {
            self.means()?
        };
        Some(if conditional {
            format!("{what}, under conditions")
        } else {
            what
        })
    }

    /// The means that it grants, in words, and whether it grants them only under conditions.
    fn means(&self) -> Option<(String, bool)> {
        let granted = MEANS.iter().filter_map(|means| {
            let action = means.action.to_ascii_lowercase();
            let kind = means.kind;
            let grant = |own| self.grants(&action, Some(kind), own);
            let of_every = grant(false).map(|grant| (grant, format!("every {kind}")));
            let (grant, whom) = of_every.or_else(|| {
                let grant = means.own.then(|| grant(true))??;
                Some((grant, format!("one's own {kind}")))
            })?;
            Some((format!("{} on {whom}", means.action), grant))
        });
        let granted: Vec<_> = granted.collect();
        if granted.is_empty() {
            return None;
        }
        let words: Vec<_> = granted.iter().map(|(words, _)| words.as_str()).collect();
        let named = words[..words.len().min(NAMED)].join(", ");
        let what = match words.len().saturating_sub(NAMED) {
            0 => named,
            more => format!("{named} and {more} more"),
        };
        let conditional = granted.iter().all(|(_, grant)| grant.is_conditional());
        Some((what, conditional))
    }

    /// The statement that grants an action on every resource of a kind, unless another takes it.
    fn grants(&self, action: &str, kind: Option<&str>, own: bool) -> Option<&Statement> {
        let about = self.statements.iter();
        let about = about.filter(|it| it.is_about(action) && it.is_on_every(kind, own));
        let (denials, mut grants): (Vec<_>, Vec<_>) = about.partition(|it| it.denies());
        if denials.iter().any(|it| !it.is_conditional()) {
            return None;
        }
        grants.sort_by_key(|it| it.is_conditional());
        grants.into_iter().next()
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use crate::Document;

    fn of(statements: Value) -> String {
        let document = Document::parse(&json!({"Statement": statements})).unwrap();
        document.administration().unwrap_or_else(|| "-".to_owned())
    }

    fn allow(actions: Value, resources: Value) -> String {
        of(json!({"Effect": "Allow", "Action": actions, "Resource": resources}))
    }

    #[test]
    fn everything_is_administration_however_it_is_written() {
        for actions in [
            json!("*"),
            json!(["*"]),
            json!("*:*"),
            json!(["s3:GetObject", "**"]),
        ] {
            for resources in [
                json!("*"),
                json!(["*"]),
                json!("arn:*"),
                json!("arn:aws:*:*:*:*"),
            ] {
                assert_eq!(
                    allow(actions.clone(), resources.clone()),
                    "every action on every resource",
                    "{actions} {resources}"
                );
            }
        }
        assert_eq!(
            of(json!({"Effect": "Allow", "Action": "*", "NotResource": "arn:aws:s3:::x"})),
            "every action on every resource"
        );
        let all_but =
            |actions: Value| of(json!({"Effect": "Allow", "NotAction": actions, "Resource": "*"}));
        for actions in [
            json!(["organizations:LeaveOrganization"]),
            json!(["iam:*", "organizations:*", "account:*"]),
        ] {
            assert_eq!(all_but(actions), "every action but some on every resource");
        }
        assert_eq!(all_but(json!("*")), "-");
    }

    #[test]
    fn the_means_to_become_an_administrator_are_administration() {
        let granted = [
            json!("iam:*"),
            json!("IAM:*"),
            json!("i?m:*"),
            json!("iam:PassRole"),
            json!("IAM:passrole"),
            json!("iam:Pass*"),
            json!([
                "iam:PassRole",
                "lambda:CreateFunction",
                "lambda:InvokeFunction"
            ]),
            json!("iam:Put*Policy"),
            json!("iam:Attach*"),
            json!("iam:*Policy*"),
            json!(["iam:CreateAccessKey"]),
            json!(["iam:CreateLoginProfile", "iam:UpdateLoginProfile"]),
            json!("iam:AddUserToGroup"),
            json!("iam:SetDefaultPolicyVersion"),
            json!("iam:Delete*Boundary"),
            json!("sts:AssumeRole"),
            json!("sts:*"),
        ]
        .map(|actions| format!("{actions}: {}", allow(actions.clone(), json!("*"))));
        insta::assert_snapshot!(granted.join("\n"), @r#"
        "iam:*": every action of IAM on every resource
        "IAM:*": every action of IAM on every resource
        "i?m:*": every action of IAM on every resource
        "iam:PassRole": iam:PassRole on every role
        "IAM:passrole": iam:PassRole on every role
        "iam:Pass*": iam:PassRole on every role
        ["iam:PassRole","lambda:CreateFunction","lambda:InvokeFunction"]: iam:PassRole on every role
        "iam:Put*Policy": iam:PutGroupPolicy on every group, iam:PutRolePolicy on every role, iam:PutUserPolicy on every user
        "iam:Attach*": iam:AttachGroupPolicy on every group, iam:AttachRolePolicy on every role, iam:AttachUserPolicy on every user
        "iam:*Policy*": iam:AttachGroupPolicy on every group, iam:AttachRolePolicy on every role, iam:AttachUserPolicy on every user and 6 more
        ["iam:CreateAccessKey"]: iam:CreateAccessKey on every user
        ["iam:CreateLoginProfile","iam:UpdateLoginProfile"]: iam:CreateLoginProfile on every user, iam:UpdateLoginProfile on every user
        "iam:AddUserToGroup": iam:AddUserToGroup on every group
        "iam:SetDefaultPolicyVersion": iam:SetDefaultPolicyVersion on every policy
        "iam:Delete*Boundary": iam:DeleteRolePermissionsBoundary on every role, iam:DeleteUserPermissionsBoundary on every user
        "sts:AssumeRole": sts:AssumeRole on every role
        "sts:*": sts:AssumeRole on every role
        "#);
    }

    #[test]
    fn what_is_no_means_is_no_administration() {
        for actions in [
            json!("ec2:Describe*"),
            json!("s3:*"),
            json!("iam:Get*"),
            json!("iam:List*"),
            json!("iam:CreateServiceLinkedRole"),
            json!("sts:GetCallerIdentity"),
            json!(["dynamodb:*", "lambda:*"]),
            json!("iam"),
            json!(""),
            json!([]),
            json!(null),
            json!(7),
        ] {
            assert_eq!(allow(actions.clone(), json!("*")), "-", "{actions}");
        }
    }

    #[test]
    fn it_takes_every_resource_of_its_kind() {
        for (action, resource, expected) in [
            ("iam:PassRole", "arn:aws:iam::123456789012:role/*", true),
            ("iam:PassRole", "arn:aws-us-gov:iam::*:role/*", true),
            ("iam:PassRole", "arn:aws:iam::12345678901?:*", true),
            ("iam:PassRole", "arn:aws:iam::*", true),
            ("iam:PassRole", "arn:*:iam::*:r*", true),
            ("iam:PassRole", "arn:aws:iam::123456789012:role/app", false),
            (
                "iam:PassRole",
                "arn:aws:iam::123456789012:role/app-*",
                false,
            ),
            (
                "iam:PassRole",
                "arn:aws:iam::123456789012:role/service-role/*",
                false,
            ),
            ("iam:PassRole", "arn:aws:iam::123456789012:user/*", false),
            ("iam:PassRole", "arn:aws:s3:::*", false),
            (
                "iam:CreatePolicyVersion",
                "arn:aws:iam::123456789012:policy/*",
                true,
            ),
            (
                "iam:CreatePolicyVersion",
                "arn:aws:iam::123456789012:role/*",
                false,
            ),
            ("sts:AssumeRole", "arn:aws:iam::*:role/*", true),
            ("sts:AssumeRole", "arn:aws:iam::*:role/audit", false),
            (
                "iam:CreateAccessKey",
                "arn:aws:iam::*:user/${aws:username}",
                false,
            ),
            (
                "iam:PutUserPolicy",
                "arn:aws:iam::*:user/${aws:username}",
                true,
            ),
            ("*", "arn:aws:iam::123456789012:*", true),
            (
                "*",
                "arn:aws:dynamodb:eu-west-1:123456789012:table/Patients",
                false,
            ),
        ] {
            let granted = allow(json!(action), json!(resource)) != "-";
            assert_eq!(granted, expected, "{action} {resource}");
        }
        assert_eq!(
            allow(
                json!("iam:Put*Policy"),
                json!("arn:aws:iam::*:user/${aws:username}")
            ),
            "iam:PutUserPolicy on one's own user"
        );
        assert_eq!(
            of(json!({"Effect": "Allow", "Action": "iam:PassRole",
                "NotResource": "arn:aws:iam::123456789012:role/admin"})),
            "iam:PassRole on every role"
        );
    }

    #[test]
    fn a_condition_makes_no_difference_but_in_words() {
        let condition = json!({"StringEquals": {"iam:PassedToService": "lambda.amazonaws.com"}});
        let under = |action: &str| json!({"Effect": "Allow", "Action": action, "Resource": "*", "Condition": condition});
        assert_eq!(
            of(under("iam:PassRole")),
            "iam:PassRole on every role, under conditions"
        );
        assert_eq!(
            of(under("*")),
            "every action on every resource, under conditions"
        );
        let plain = json!({"Effect": "Allow", "Action": "*", "Resource": "*", "Condition": {}});
        assert_eq!(
            of(json!([under("*"), plain])),
            "every action on every resource"
        );
    }

    #[test]
    fn only_a_deny_of_it_all_under_no_condition_takes_it() {
        let with = |deny: Value| {
            let allow = json!({"Effect": "Allow", "Action": "*", "Resource": "*"});
            of(json!([allow, deny]))
        };
        for (deny, left) in [
            (
                json!({"Effect": "Deny", "Action": "*", "Resource": "*"}),
                false,
            ),
            (
                json!({"Effect": "Deny", "NotAction": "s3:*", "Resource": "*"}),
                false,
            ),
            (
                json!({"Effect": "Deny", "NotAction": "iam:PassRole", "Resource": "*"}),
                true,
            ),
            (
                json!({"Effect": "Deny", "Action": "iam:*", "Resource": "*"}),
                true,
            ),
            (
                json!({"Effect": "Deny", "Action": "*", "Resource": "arn:aws:s3:::*"}),
                true,
            ),
            (
                json!({"Effect": "Deny", "Action": "*", "Resource": "*",
                    "Condition": {"Bool": {"aws:MultiFactorAuthPresent": "false"}}}),
                true,
            ),
        ] {
            assert_eq!(with(deny.clone()) != "-", left, "{deny}");
        }
        let passing = json!({"Effect": "Allow", "Action": "iam:PassRole", "Resource": "*"});
        let refused = json!({"Effect": "Deny", "Action": "iam:PassRole",
            "Resource": "arn:aws:iam::123456789012:role/*"});
        assert_eq!(of(json!([passing, refused])), "-");
    }

    #[test]
    fn the_words_hold_nothing_that_an_attacker_wrote() {
        let words = of(
            json!({"Sid": "marker", "Effect": "Allow", "NotAction": "marker:*",
            "Resource": "*", "Condition": {"StringLike": {"marker": "marker"}}}),
        );
        assert!(!words.contains("marker"), "{words}");
    }
}
