//! IAM and the ledger, as far as this worker's tests need them: one principal that remembers.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    sync::{Arc, Mutex, MutexGuard},
};

use aws_sdk_dynamodb::{
    operation::{
        delete_item::{DeleteItemError, DeleteItemInput, DeleteItemOutput},
        get_item::{GetItemError, GetItemInput, GetItemOutput},
        update_item::{UpdateItemError, UpdateItemInput, UpdateItemOutput},
    },
    types::AttributeValue,
};
use aws_sdk_iam::{
    Client,
    config::retry::RetryConfig,
    error::ErrorMetadata,
    operation::{
        delete_role_policy::{DeleteRolePolicyError, DeleteRolePolicyOutput},
        delete_user_policy::{DeleteUserPolicyError, DeleteUserPolicyOutput},
        get_role::{GetRoleError, GetRoleOutput},
        get_role_policy::{GetRolePolicyError, GetRolePolicyOutput},
        get_user::{GetUserError, GetUserOutput},
        get_user_policy::{GetUserPolicyError, GetUserPolicyOutput},
        list_access_keys::{ListAccessKeysError, ListAccessKeysOutput},
        put_role_policy::{PutRolePolicyError, PutRolePolicyOutput},
        put_user_policy::{PutUserPolicyError, PutUserPolicyOutput},
        update_access_key::{UpdateAccessKeyError, UpdateAccessKeyOutput},
    },
    primitives::DateTime,
    types::{AccessKeyMetadata, Role, StatusType, User},
};
use aws_smithy_mocks::{MockResponse, Rule, RuleMode, mock, mock_client};
use ledger::Ledger;
use principal::REVOKE_POLICY;

/// What AWS answers, or its error code.
type Answer<T> = Result<T, &'static str>;

/// By mechanism, the original and the incidents that hold it.
type Holds = BTreeMap<String, (String, BTreeSet<String>)>;

#[derive(Default)]
pub(crate) struct State {
    pub(crate) gone: bool,
    pub(crate) keys: Vec<(&'static str, StatusType)>,
    pub(crate) policy: Option<String>,
    holds: Holds,
    refuses: HashMap<&'static str, &'static str>,
    writes: Vec<String>,
}

impl State {
    fn answer(&self, call: &str) -> Answer<()> {
        match self.refuses.get(call) {
            Some(code) => Err(code),
            None if self.gone => Err("NoSuchEntity"),
            None => Ok(()),
        }
    }

    /// One key a page, so that every test turns pages.
    fn page(&self, marker: Option<&str>) -> Answer<ListAccessKeysOutput> {
        self.answer("ListAccessKeys")?;
        let index: usize = marker.unwrap_or("0").parse().unwrap();
        let key = self.keys.get(index).map(|(id, status)| {
            AccessKeyMetadata::builder()
                .access_key_id(*id)
                .status(status.clone())
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

    fn set(&mut self, id: &str, status: &StatusType) -> Answer<()> {
        self.writes.push(format!("UpdateAccessKey {id} {status}"));
        self.answer(id)?;
        let key = self.keys.iter_mut().find(|(key, _)| *key == id);
        key.ok_or("NoSuchEntity")?.1 = status.clone();
        Ok(())
    }

    /// URL-encoded, as IAM answers.
    fn document(&self, call: &str) -> Answer<String> {
        self.answer(call)?;
        let document = self.policy.as_ref().ok_or("NoSuchEntity")?;
        Ok(document.replace('%', "%25").replace('"', "%22"))
    }

    fn replace(&mut self, call: &str, name: Option<&str>, with: Option<&str>) -> Answer<()> {
        assert_eq!(name, Some(REVOKE_POLICY));
        self.writes.push(call.to_owned());
        self.answer(call)?;
        let before = std::mem::replace(&mut self.policy, with.map(str::to_owned));
        before
            .or(self.policy.clone())
            .map(drop)
            .ok_or("NoSuchEntity")
    }

    fn table(&mut self) -> Answer<&mut Holds> {
        match self.refuses.get("ledger") {
            Some(code) => Err(code),
            None => Ok(&mut self.holds),
        }
    }

    /// The ledger's two updates: the first original stands, the incidents are a set.
    fn update_item(&mut self, request: &UpdateItemInput) -> Answer<UpdateItemOutput> {
        let holds = self.table()?;
        let mechanism = mechanism(request.key());
        let values = request.expression_attribute_values().unwrap();
        let incident = values[":incident"].as_ss().unwrap()[0].clone();
        if request.update_expression().unwrap().starts_with("DELETE") {
            let (_, incidents) = holds.get_mut(&mechanism).unwrap();
            assert!(incidents.len() > 1 && incidents.remove(&incident));
            return Ok(UpdateItemOutput::builder().build());
        }
        let original = || values[":original"].as_s().unwrap().clone();
        let hold = holds
            .entry(mechanism)
            .or_insert_with(|| (original(), BTreeSet::new()));
        hold.1.insert(incident);
        Ok(UpdateItemOutput::builder()
            .attributes("original", AttributeValue::S(hold.0.clone()))
            .build())
    }

    fn get_item(&mut self, request: &GetItemInput) -> Answer<GetItemOutput> {
        let hold = self.table()?.get(&mechanism(request.key()));
        let item = hold.map(|(original, incidents)| {
            let incidents = incidents.iter().cloned().collect();
            HashMap::from([
                ("original".to_owned(), AttributeValue::S(original.clone())),
                ("incidents".to_owned(), AttributeValue::Ss(incidents)),
            ])
        });
        Ok(GetItemOutput::builder().set_item(item).build())
    }

    fn delete_item(&mut self, request: &DeleteItemInput) -> Answer<DeleteItemOutput> {
        self.table()?.remove(&mechanism(request.key()));
        Ok(DeleteItemOutput::builder().build())
    }
}

fn mechanism(key: Option<&HashMap<String, AttributeValue>>) -> String {
    key.unwrap()["sk"].as_s().unwrap().clone()
}

/// AWS as the worker's clients see it.
#[derive(Clone, Default)]
pub(crate) struct Aws(Arc<Mutex<State>>);

/// A rule that answers a call from the state.
macro_rules! rule {
    ($aws:ident, $call:path, $error:ident, |$state:ident, $request:ident| $answer:expr) => {{
        let aws = $aws.clone();
        mock!($call).then_compute_response(move |$request| {
            #[allow(unused_mut, reason = "only writes change it")]
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
    /// A user with these keys.
    pub(crate) fn user(keys: &[(&'static str, StatusType)]) -> Self {
        let aws = Self::default();
        aws.state().keys = keys.to_vec();
        aws
    }

    /// A role whose older sessions are denied by this policy, or not at all.
    pub(crate) fn role(policy: Option<String>) -> Self {
        let aws = Self::default();
        aws.state().policy = policy;
        aws
    }

    /// Refuses a call, one key's update, or every call of the ledger.
    pub(crate) fn refusing(self, call: &'static str, code: &'static str) -> Self {
        self.state().refuses.insert(call, code);
        self
    }

    /// Refuses nothing any more.
    pub(crate) fn granting(&self) {
        self.state().refuses.clear();
    }

    pub(crate) fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap()
    }

    /// Every change in IAM that was made or tried since the last look.
    pub(crate) fn writes(&self) -> Vec<String> {
        std::mem::take(&mut self.state().writes)
    }

    pub(crate) fn statuses(&self) -> Vec<StatusType> {
        let state = self.state();
        state
            .keys
            .iter()
            .map(|(_, status)| status.clone())
            .collect()
    }

    pub(crate) fn policy(&self) -> Option<String> {
        self.state().policy.clone()
    }

    /// Each hold on a line: `mechanism: original (incidents)`.
    pub(crate) fn holds(&self) -> String {
        let state = self.state();
        let holds = state
            .holds
            .iter()
            .map(|(mechanism, (original, incidents))| {
                let incidents: Vec<_> = incidents.iter().map(String::as_str).collect();
                format!("{mechanism}: {original} ({})", incidents.join(", "))
            });
        holds.collect::<Vec<_>>().join("\n")
    }

    pub(crate) fn iam(&self) -> Client {
        let rules = [self.of_users(), self.of_roles()].concat();
        mock_client!(aws_sdk_iam, RuleMode::MatchAny, &rules, |config| config
            .retry_config(RetryConfig::disabled()))
    }

    fn of_users(&self) -> Vec<Rule> {
        vec![
            rule!(
                self,
                Client::list_access_keys,
                ListAccessKeysError,
                |state, request| { state.page(request.marker()) }
            ),
            rule!(
                self,
                Client::update_access_key,
                UpdateAccessKeyError,
                |state, request| {
                    let (id, status) = (request.access_key_id(), request.status());
                    state
                        .set(id.unwrap(), status.unwrap())
                        .map(|()| UpdateAccessKeyOutput::builder().build())
                }
            ),
            rule!(self, Client::get_user, GetUserError, |state, _request| {
                state
                    .answer("GetUser")
                    .map(|()| GetUserOutput::builder().user(user()).build())
            }),
            rule!(
                self,
                Client::get_user_policy,
                GetUserPolicyError,
                |state, request| {
                    state.document("GetUserPolicy").map(|document| {
                        GetUserPolicyOutput::builder()
                            .user_name("eve")
                            .policy_name(request.policy_name().unwrap())
                            .policy_document(document)
                            .build()
                            .unwrap()
                    })
                }
            ),
            rule!(
                self,
                Client::put_user_policy,
                PutUserPolicyError,
                |state, request| {
                    let (name, document) = (request.policy_name(), request.policy_document());
                    state
                        .replace("PutUserPolicy", name, document)
                        .map(|()| PutUserPolicyOutput::builder().build())
                }
            ),
            rule!(
                self,
                Client::delete_user_policy,
                DeleteUserPolicyError,
                |state, request| {
                    state
                        .replace("DeleteUserPolicy", request.policy_name(), None)
                        .map(|()| DeleteUserPolicyOutput::builder().build())
                }
            ),
        ]
    }

    fn of_roles(&self) -> Vec<Rule> {
        vec![
            rule!(self, Client::get_role, GetRoleError, |state, _request| {
                state
                    .answer("GetRole")
                    .map(|()| GetRoleOutput::builder().role(role()).build())
            }),
            rule!(
                self,
                Client::get_role_policy,
                GetRolePolicyError,
                |state, request| {
                    state.document("GetRolePolicy").map(|document| {
                        GetRolePolicyOutput::builder()
                            .role_name("admin")
                            .policy_name(request.policy_name().unwrap())
                            .policy_document(document)
                            .build()
                            .unwrap()
                    })
                }
            ),
            rule!(
                self,
                Client::put_role_policy,
                PutRolePolicyError,
                |state, request| {
                    let (name, document) = (request.policy_name(), request.policy_document());
                    state
                        .replace("PutRolePolicy", name, document)
                        .map(|()| PutRolePolicyOutput::builder().build())
                }
            ),
            rule!(
                self,
                Client::delete_role_policy,
                DeleteRolePolicyError,
                |state, request| {
                    state
                        .replace("DeleteRolePolicy", request.policy_name(), None)
                        .map(|()| DeleteRolePolicyOutput::builder().build())
                }
            ),
        ]
    }

    pub(crate) fn ledger(&self) -> Ledger {
        use aws_sdk_dynamodb::Client;
        let rules = [
            rule!(
                self,
                Client::update_item,
                UpdateItemError,
                |state, request| { state.update_item(request) }
            ),
            rule!(self, Client::get_item, GetItemError, |state, request| {
                state.get_item(request)
            }),
            rule!(
                self,
                Client::delete_item,
                DeleteItemError,
                |state, request| { state.delete_item(request) }
            ),
        ];
        let client = mock_client!(aws_sdk_dynamodb, RuleMode::MatchAny, &rules, |config| {
            config.retry_config(RetryConfig::disabled())
        });
        Ledger::new(client, "ledger")
    }
}

fn user() -> User {
    User::builder()
        .path("/")
        .user_name("eve")
        .user_id("AIDAEXAMPLE")
        .arn("arn:aws:iam::123456789012:user/eve")
        .create_date(DateTime::from_secs(0))
        .build()
        .unwrap()
}

fn role() -> Role {
    Role::builder()
        .path("/")
        .role_name("admin")
        .role_id("AROAEXAMPLE")
        .arn("arn:aws:iam::123456789012:role/admin")
        .create_date(DateTime::from_secs(0))
        .build()
        .unwrap()
}
