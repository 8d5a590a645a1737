//! IAM and the ledger, as far as this worker's tests need them: one principal to read.

use std::{
    collections::{BTreeMap, HashMap},
    sync::{Arc, Mutex, MutexGuard},
};

use aws_sdk_dynamodb::{
    operation::get_item::{GetItemError, GetItemOutput},
    types::AttributeValue,
};
use aws_sdk_iam::{
    Client,
    config::retry::RetryConfig,
    error::ErrorMetadata,
    operation::{
        get_login_profile::{GetLoginProfileError, GetLoginProfileOutput},
        get_role::{GetRoleError, GetRoleOutput},
        get_role_policy::{GetRolePolicyError, GetRolePolicyOutput},
        get_user::{GetUserError, GetUserOutput},
        get_user_policy::{GetUserPolicyError, GetUserPolicyOutput},
        list_access_keys::{ListAccessKeysError, ListAccessKeysOutput},
        list_attached_role_policies::{
            ListAttachedRolePoliciesError, ListAttachedRolePoliciesOutput,
        },
        list_attached_user_policies::{
            ListAttachedUserPoliciesError, ListAttachedUserPoliciesOutput,
        },
        list_role_policies::{ListRolePoliciesError, ListRolePoliciesOutput},
        list_user_policies::{ListUserPoliciesError, ListUserPoliciesOutput},
    },
    primitives::DateTime,
    types::{
        AccessKeyMetadata, AttachedPermissionsBoundary, AttachedPolicy, LoginProfile, Role,
        StatusType, User,
    },
};
use aws_smithy_mocks::{MockResponse, Rule, RuleMode, mock, mock_client};
use jiff::Timestamp;
use ledger::Ledger;

/// What AWS answers, or its error code.
type Answer<T> = Result<T, &'static str>;

/// An access key: its id, its status, when it was created.
pub(crate) type Key = (&'static str, StatusType, &'static str);

#[derive(Debug, Default)]
pub(crate) struct State {
    pub(crate) gone: bool,
    pub(crate) boundary: Option<&'static str>,
    pub(crate) attached: Vec<&'static str>,
    pub(crate) inline: BTreeMap<&'static str, String>,
    pub(crate) keys: Vec<Key>,
    pub(crate) password: Option<&'static str>,
    /// The hold of the denial, as JSON.
    pub(crate) before: Option<String>,
    pub(crate) refuses: HashMap<&'static str, &'static str>,
    calls: usize,
}

impl State {
    fn call(&mut self, call: &str) -> Answer<()> {
        self.calls += 1;
        self.refuses.get(call).map_or(Ok(()), |code| Err(code))
    }

    /// The same, of IAM.
    fn answer(&mut self, call: &str) -> Answer<()> {
        self.call(call)?;
        if self.gone {
            return Err("NoSuchEntity");
        }
        Ok(())
    }

    /// One key a page, so that every test turns pages.
    fn keys(&mut self, marker: Option<&str>) -> Answer<ListAccessKeysOutput> {
        self.answer("ListAccessKeys")?;
        let index: usize = marker.unwrap_or("0").parse().unwrap();
        let key = self.keys.get(index).map(|(id, status, created)| {
            AccessKeyMetadata::builder()
                .access_key_id(*id)
                .status(status.clone())
                .create_date(date(created))
                .build()
        });
        let more = index + 1 < self.keys.len();
        Ok(ListAccessKeysOutput::builder()
            .set_access_key_metadata(Some(key.into_iter().collect()))
            .is_truncated(more)
            .set_marker(more.then(|| (index + 1).to_string()))
            .build()
            .unwrap())
    }

    fn login_profile(&mut self) -> Answer<GetLoginProfileOutput> {
        self.answer("GetLoginProfile")?;
        let profile = LoginProfile::builder()
            .user_name("eve")
            .create_date(date(self.password.ok_or("NoSuchEntity")?))
            .build();
        Ok(GetLoginProfileOutput::builder()
            .login_profile(profile.unwrap())
            .build())
    }

    /// URL-encoded, as IAM answers.
    fn document(&mut self, call: &str, name: Option<&str>) -> Answer<String> {
        self.answer(call)?;
        let document = self.inline.get(name.unwrap()).ok_or("NoSuchEntity")?;
        Ok(document.replace('%', "%25").replace('"', "%22"))
    }

    fn inline(&self) -> Vec<String> {
        self.inline.keys().map(ToString::to_string).collect()
    }

    fn attached(&self) -> Vec<AttachedPolicy> {
        let policies = self.attached.iter();
        policies
            .map(|arn| AttachedPolicy::builder().policy_arn(*arn).build())
            .collect()
    }

    fn boundary(&self) -> Option<AttachedPermissionsBoundary> {
        self.boundary.map(|arn| {
            AttachedPermissionsBoundary::builder()
                .permissions_boundary_arn(arn)
                .build()
        })
    }

    fn user(&self) -> User {
        User::builder()
            .path("/")
            .user_name("eve")
            .user_id("AIDAEXAMPLE")
            .arn("arn:aws:iam::123456789012:user/eve")
            .create_date(DateTime::from_secs(0))
            .set_permissions_boundary(self.boundary())
            .build()
            .unwrap()
    }

    fn role(&self) -> Role {
        Role::builder()
            .path("/")
            .role_name("admin")
            .role_id("AROAEXAMPLE")
            .arn("arn:aws:iam::123456789012:role/admin")
            .create_date(DateTime::from_secs(0))
            .set_permissions_boundary(self.boundary())
            .build()
            .unwrap()
    }
}

fn date(text: &str) -> DateTime {
    DateTime::from_secs(text.parse::<Timestamp>().unwrap().as_second())
}

/// AWS as the worker's clients see it.
#[derive(Debug, Clone, Default)]
pub(crate) struct Aws(Arc<Mutex<State>>);

/// A rule that answers a call from the state.
macro_rules! rule {
    ($aws:ident, $call:path, $error:ident, |$state:ident, $request:ident| $answer:expr) => {{
        let aws = $aws.clone();
        mock!($call).then_compute_response(move |$request| {
            let mut $state = aws.state();
            match $answer {
                Ok(output) => MockResponse::Output(output),
                Err(code) => {
                    let error = ErrorMetadata::builder().code(code).message("as AWS says");
                    MockResponse::Error($error::generic(error.build()))
                }
            }
        })
    }};
}

impl Aws {
    pub(crate) fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap()
    }

    /// The same, but for this.
    pub(crate) fn but(self, change: impl FnOnce(&mut State)) -> Self {
        change(&mut self.state());
        self
    }

    /// How often AWS was called.
    pub(crate) fn calls(&self) -> usize {
        self.state().calls
    }

    pub(crate) fn iam(&self) -> Client {
        let rules = [self.of_users(), self.of_roles()].concat();
        mock_client!(aws_sdk_iam, RuleMode::MatchAny, &rules, |config| config
            .retry_config(RetryConfig::disabled()))
    }

    fn of_users(&self) -> Vec<Rule> {
        vec![
            rule!(self, Client::get_user, GetUserError, |state, _request| {
                state
                    .answer("GetUser")
                    .map(|()| GetUserOutput::builder().user(state.user()).build())
            }),
            rule!(
                self,
                Client::list_access_keys,
                ListAccessKeysError,
                |state, request| { state.keys(request.marker()) }
            ),
            rule!(
                self,
                Client::get_login_profile,
                GetLoginProfileError,
                |state, _request| { state.login_profile() }
            ),
            rule!(
                self,
                Client::get_user_policy,
                GetUserPolicyError,
                |state, request| {
                    let name = request.policy_name();
                    state.document("GetUserPolicy", name).map(|document| {
                        GetUserPolicyOutput::builder()
                            .user_name("eve")
                            .policy_name(name.unwrap())
                            .policy_document(document)
                            .build()
                            .unwrap()
                    })
                }
            ),
            rule!(
                self,
                Client::list_user_policies,
                ListUserPoliciesError,
                |state, _request| {
                    state.answer("ListUserPolicies").map(|()| {
                        ListUserPoliciesOutput::builder()
                            .set_policy_names(Some(state.inline()))
                            .build()
                            .unwrap()
                    })
                }
            ),
            rule!(
                self,
                Client::list_attached_user_policies,
                ListAttachedUserPoliciesError,
                |state, _request| {
                    state.answer("ListAttachedUserPolicies").map(|()| {
                        ListAttachedUserPoliciesOutput::builder()
                            .set_attached_policies(Some(state.attached()))
                            .build()
                    })
                }
            ),
        ]
    }

    fn of_roles(&self) -> Vec<Rule> {
        vec![
            rule!(self, Client::get_role, GetRoleError, |state, _request| {
                state
                    .answer("GetRole")
                    .map(|()| GetRoleOutput::builder().role(state.role()).build())
            }),
            rule!(
                self,
                Client::get_role_policy,
                GetRolePolicyError,
                |state, request| {
                    let name = request.policy_name();
                    state.document("GetRolePolicy", name).map(|document| {
                        GetRolePolicyOutput::builder()
                            .role_name("admin")
                            .policy_name(name.unwrap())
                            .policy_document(document)
                            .build()
                            .unwrap()
                    })
                }
            ),
            rule!(
                self,
                Client::list_role_policies,
                ListRolePoliciesError,
                |state, _request| {
                    state.answer("ListRolePolicies").map(|()| {
                        ListRolePoliciesOutput::builder()
                            .set_policy_names(Some(state.inline()))
                            .build()
                            .unwrap()
                    })
                }
            ),
            rule!(
                self,
                Client::list_attached_role_policies,
                ListAttachedRolePoliciesError,
                |state, _request| {
                    state.answer("ListAttachedRolePolicies").map(|()| {
                        ListAttachedRolePoliciesOutput::builder()
                            .set_attached_policies(Some(state.attached()))
                            .build()
                    })
                }
            ),
        ]
    }

    pub(crate) fn ledger(&self) -> Ledger {
        use aws_sdk_dynamodb::Client;
        let rule = rule!(self, Client::get_item, GetItemError, |state, request| {
            state.call("GetItem").map(|()| {
                assert_eq!(
                    request.key().unwrap()["sk"].as_s().unwrap(),
                    "deny-all-policy"
                );
                let json = state.before.clone();
                let item = json
                    .map(|json| HashMap::from([("original".to_owned(), AttributeValue::S(json))]));
                GetItemOutput::builder().set_item(item).build()
            })
        });
        let client = mock_client!(aws_sdk_dynamodb, RuleMode::MatchAny, &[rule], |config| {
            config.retry_config(RetryConfig::disabled())
        });
        Ledger::new(client, "ledger")
    }
}
