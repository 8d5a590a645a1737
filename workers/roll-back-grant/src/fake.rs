//! IAM and the ledger, as far as this worker's tests need them: one of each that remembers.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    sync::{Arc, Mutex, MutexGuard},
};

use aws_sdk_dynamodb::{
    Client as Table,
    operation::{
        delete_item::DeleteItemInput,
        get_item::{GetItemInput, GetItemOutput},
        update_item::{UpdateItemInput, UpdateItemOutput},
    },
    types::AttributeValue,
};
use aws_sdk_iam::{
    Client,
    config::{http::HttpResponse, retry::RetryConfig},
    operation::{
        get_group_policy::GetGroupPolicyOutput, get_login_profile::GetLoginProfileOutput,
        get_policy::GetPolicyOutput, get_policy_version::GetPolicyVersionOutput,
        get_role::GetRoleOutput, get_role_policy::GetRolePolicyOutput, get_user::GetUserOutput,
        get_user_policy::GetUserPolicyOutput, list_access_keys::ListAccessKeysOutput,
        list_attached_group_policies::ListAttachedGroupPoliciesOutput,
        list_attached_role_policies::ListAttachedRolePoliciesOutput,
        list_attached_user_policies::ListAttachedUserPoliciesOutput,
        list_groups_for_user::ListGroupsForUserOutput,
        list_policy_versions::ListPolicyVersionsOutput,
    },
    primitives::DateTime,
    types::{
        AccessKeyMetadata, AttachedPermissionsBoundary, AttachedPolicy, Group, LoginProfile,
        Policy, PolicyVersion, Role, StatusType, User,
    },
};
use aws_smithy_mocks::{MockResponse, Rule, RuleMode, mock, mock_client};
use jiff::Timestamp;
use ledger::Ledger;
use serde_json::json;

use crate::iam::Iam;

/// What AWS answers a call: an output, or an error code.
type Answer<T> = Result<T, &'static str>;

/// A version of the managed policy.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Version {
    pub(crate) id: &'static str,
    pub(crate) made: &'static str,
    pub(crate) document: String,
}

/// One user, role or group in IAM, whatever its name and kind, one managed policy, and the ledger.
#[derive(Default)]
pub(crate) struct State {
    /// Whether whoever or whatever is asked for does not exist.
    pub(crate) gone: bool,
    /// The reads that do not show yet what there is.
    pub(crate) stale: usize,
    pub(crate) attached: BTreeSet<String>,
    pub(crate) inline: BTreeMap<String, String>,
    pub(crate) versions: Vec<Version>,
    pub(crate) default: String,
    pub(crate) groups: BTreeSet<String>,
    pub(crate) keys: Vec<(&'static str, &'static str, StatusType)>,
    pub(crate) password: bool,
    pub(crate) trust: String,
    pub(crate) boundary: Option<String>,
    /// By mechanism, the original and the incidents.
    pub(crate) holds: BTreeMap<String, (String, BTreeSet<String>)>,
    /// The error code of each call that AWS refuses.
    pub(crate) refuses: HashMap<&'static str, &'static str>,
    /// Every call, in order.
    pub(crate) calls: Vec<String>,
}

impl State {
    fn call(&mut self, call: &str, with: &str) -> Answer<()> {
        self.calls.push(format!("{call} {with}").trim().to_owned());
        match self.refuses.get(call) {
            Some(code) => Err(code),
            None if self.gone && !with.starts_with("ledger") => Err("NoSuchEntity"),
            None => Ok(()),
        }
    }

    fn read(&mut self, call: &str, of: Option<&str>) -> Answer<()> {
        self.call(call, of.unwrap())?;
        if self.stale > 0 {
            self.stale -= 1;
            return Err("NoSuchEntity");
        }
        Ok(())
    }

    fn attached(&mut self, name: Option<&str>) -> Answer<Vec<AttachedPolicy>> {
        self.call("ListAttached", name.unwrap())?;
        if self.stale > 0 {
            self.stale -= 1;
            return Ok(Vec::new());
        }
        let policies = self.attached.iter();
        Ok(policies
            .map(|arn| AttachedPolicy::builder().policy_arn(arn).build())
            .collect())
    }

    fn inline(&mut self, name: Option<&str>) -> Answer<String> {
        self.read("GetInline", name)?;
        let document = self.inline.get(name.unwrap()).ok_or("NoSuchEntity")?;
        Ok(encoded(document))
    }

    fn put_inline(&mut self, name: Option<&str>, document: Option<&str>) -> Answer<()> {
        self.call("PutInline", name.unwrap())?;
        let (name, document) = (name.unwrap().to_owned(), document.unwrap().to_owned());
        self.inline.insert(name, document);
        Ok(())
    }

    fn delete_inline(&mut self, name: Option<&str>) -> Answer<()> {
        self.call("DeleteInline", name.unwrap())?;
        let deleted = self.inline.remove(name.unwrap());
        deleted.map(drop).ok_or("NoSuchEntity")
    }

    fn attach(&mut self, policy: Option<&str>) -> Answer<()> {
        self.call("Attach", policy.unwrap())?;
        self.attached.insert(policy.unwrap().to_owned());
        Ok(())
    }

    fn detach(&mut self, policy: Option<&str>) -> Answer<()> {
        self.call("Detach", policy.unwrap())?;
        let detached = self.attached.remove(policy.unwrap());
        detached.then_some(()).ok_or("NoSuchEntity")
    }

    fn versions(&mut self, policy: Option<&str>) -> Answer<Vec<PolicyVersion>> {
        self.read("ListPolicyVersions", policy)?;
        let versions = self.versions.iter();
        Ok(versions
            .map(|version| {
                PolicyVersion::builder()
                    .version_id(version.id)
                    .is_default_version(version.id == self.default)
                    .create_date(seconds(version.made))
                    .build()
            })
            .collect())
    }

    fn version(&mut self, id: Option<&str>) -> Answer<PolicyVersion> {
        self.call("GetPolicyVersion", id.unwrap())?;
        let mut versions = self.versions.iter();
        let version = versions.find(|version| Some(version.id) == id);
        let document = &version.ok_or("NoSuchEntity")?.document;
        Ok(PolicyVersion::builder().document(encoded(document)).build())
    }

    fn set_default(&mut self, id: Option<&str>) -> Answer<()> {
        self.call("SetDefaultPolicyVersion", id.unwrap())?;
        self.default = id.unwrap().to_owned();
        Ok(())
    }

    fn groups(&mut self, user: Option<&str>) -> Answer<Vec<Group>> {
        self.read("ListGroupsForUser", user)?;
        let groups = self.groups.iter();
        Ok(groups
            .map(|name| {
                let group = Group::builder().path("/").group_name(name);
                let group = group.group_id("AGPAEXAMPLE").arn("arn:aws:iam::1:group/x");
                group.create_date(DateTime::from_secs(0)).build().unwrap()
            })
            .collect())
    }

    fn join(&mut self, group: Option<&str>) -> Answer<()> {
        self.call("AddUserToGroup", group.unwrap())?;
        self.groups.insert(group.unwrap().to_owned());
        Ok(())
    }

    fn leave(&mut self, group: Option<&str>) -> Answer<()> {
        self.call("RemoveUserFromGroup", group.unwrap())?;
        let left = self.groups.remove(group.unwrap());
        left.then_some(()).ok_or("NoSuchEntity")
    }

    /// One key a page, so that every test turns pages.
    fn keys(&mut self, user: Option<&str>, marker: Option<&str>) -> Answer<ListAccessKeysOutput> {
        self.read("ListAccessKeys", user)?;
        let index: usize = marker.unwrap_or("0").parse().unwrap();
        let key = self.keys.get(index).map(|(id, made, status)| {
            AccessKeyMetadata::builder()
                .access_key_id(*id)
                .create_date(seconds(made))
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

    fn set_key(&mut self, id: Option<&str>, to: Option<&StatusType>) -> Answer<()> {
        let (id, to) = (id.unwrap(), to.unwrap());
        self.call("UpdateAccessKey", &format!("{id} {to}"))?;
        if let Some(code) = self.refuses.get(id) {
            return Err(code);
        }
        let key = self.keys.iter_mut().find(|(key, _, _)| *key == id);
        key.ok_or("NoSuchEntity")?.2 = to.clone();
        Ok(())
    }

    fn profile(&mut self, user: Option<&str>) -> Answer<LoginProfile> {
        self.read("GetLoginProfile", user)?;
        let profile = LoginProfile::builder().user_name("eve");
        let profile = profile.create_date(DateTime::from_secs(0)).build().unwrap();
        self.password.then_some(profile).ok_or("NoSuchEntity")
    }

    fn delete_profile(&mut self, user: Option<&str>) -> Answer<()> {
        self.call("DeleteLoginProfile", user.unwrap())?;
        let deleted = std::mem::take(&mut self.password);
        deleted.then_some(()).ok_or("NoSuchEntity")
    }

    fn boundary(&self) -> Option<AttachedPermissionsBoundary> {
        let boundary = AttachedPermissionsBoundary::builder();
        Some(
            boundary
                .permissions_boundary_arn(self.boundary.as_ref()?)
                .build(),
        )
    }

    fn role(&mut self, name: Option<&str>) -> Answer<Role> {
        self.read("GetRole", name)?;
        let role = Role::builder().path("/").role_name("admin").role_id("AROA");
        let role = role.arn("arn:aws:iam::123456789012:role/admin");
        let role = role.assume_role_policy_document(encoded(&self.trust));
        let role = role.set_permissions_boundary(self.boundary());
        Ok(role.create_date(DateTime::from_secs(0)).build().unwrap())
    }

    fn user(&mut self, name: Option<&str>) -> Answer<User> {
        self.read("GetUser", name)?;
        let user = User::builder().path("/").user_name("eve").user_id("AIDA");
        let user = user.arn("arn:aws:iam::123456789012:user/eve");
        let user = user.set_permissions_boundary(self.boundary());
        Ok(user.create_date(DateTime::from_secs(0)).build().unwrap())
    }

    fn set_trust(&mut self, document: Option<&str>) -> Answer<()> {
        self.call("UpdateAssumeRolePolicy", "")?;
        document.unwrap().clone_into(&mut self.trust);
        Ok(())
    }

    /// The ledger's two updates: a hold, and a release by one of several incidents.
    fn update_item(&mut self, request: &UpdateItemInput) -> Answer<UpdateItemOutput> {
        let sk = mechanism(request.key());
        let values = request.expression_attribute_values().unwrap();
        let incident = values[":incident"].as_ss().unwrap()[0].clone();
        let output = UpdateItemOutput::builder();
        if request.update_expression().unwrap().starts_with("DELETE") {
            self.call("Leave", &format!("ledger {sk}"))?;
            let (_, incidents) = self.holds.get_mut(&sk).unwrap();
            assert!(incidents.len() > 1 && incidents.remove(&incident));
            return Ok(output.build());
        }
        self.call("Hold", &format!("ledger {sk}"))?;
        let original = values[":original"].as_s().unwrap().clone();
        let hold = self.holds.entry(sk);
        let (original, incidents) = hold.or_insert_with(|| (original, BTreeSet::new()));
        incidents.insert(incident);
        let original = AttributeValue::S(original.clone());
        Ok(output.attributes("original", original).build())
    }

    fn get_item(&mut self, request: &GetItemInput) -> Answer<GetItemOutput> {
        let sk = mechanism(request.key());
        self.call("GetHold", &format!("ledger {sk}"))?;
        let item = self.holds.get(&sk).map(|(original, incidents)| {
            let incidents = AttributeValue::Ss(incidents.iter().cloned().collect());
            HashMap::from([
                ("original".to_owned(), AttributeValue::S(original.clone())),
                ("incidents".to_owned(), incidents),
            ])
        });
        Ok(GetItemOutput::builder().set_item(item).build())
    }

    fn delete_item(&mut self, request: &DeleteItemInput) -> Answer<()> {
        let sk = mechanism(request.key());
        self.call("Forget", &format!("ledger {sk}"))?;
        self.holds.remove(&sk);
        Ok(())
    }
}

/// What is held and how, the resource without what all of them share.
fn mechanism(key: Option<&HashMap<String, AttributeValue>>) -> String {
    let part = |name| key.unwrap()[name].as_s().unwrap().clone();
    let resource = part("pk").replace("hold#arn:aws:iam::123456789012:", "");
    format!("{resource} {}", part("sk"))
}

fn seconds(time: &str) -> DateTime {
    DateTime::from_secs(time.parse::<Timestamp>().unwrap().as_second())
}

/// URL-encoded, as IAM answers.
fn encoded(document: &str) -> String {
    let encoded = document.replace('%', "%25").replace('"', "%22");
    encoded.replace('{', "%7B").replace('}', "%7D")
}

fn http(status: u16, body: String) -> HttpResponse {
    HttpResponse::new(status.try_into().unwrap(), body.into())
}

/// A refusal as the service writes it, whose codes tell the two apart.
fn refusal(code: &str) -> HttpResponse {
    let body = if code.ends_with("Exception") {
        json!({"__type": code}).to_string()
    } else {
        format!(
            "<ErrorResponse><Error><Code>{code}</Code><Message>as AWS says</Message></Error>\
             </ErrorResponse>"
        )
    };
    http(400, body)
}

/// Answers a read with its output, and a write with nothing.
macro_rules! rule {
    ($aws:ident, $call:path, |$state:ident, $request:ident| read $answer:expr) => {
        rule!($aws, $call, $state, $request, $answer, MockResponse::Output)
    };
    ($aws:ident, $call:path, |$state:ident, $request:ident| write $answer:expr) => {
        rule!($aws, $call, $state, $request, $answer, |()| {
            MockResponse::Http(http(200, "{}".to_owned()))
        })
    };
    ($aws:ident, $call:path, $state:ident, $request:ident, $answer:expr, $ok:expr) => {{
        let aws = $aws.clone();
        mock!($call).then_compute_response(move |$request| {
            let mut $state = aws.state();
            $answer.map_or_else(|code| MockResponse::Http(refusal(code)), $ok)
        })
    }};
}

/// The six calls that IAM has once for users, once for roles and once for groups.
macro_rules! holder {
    ($aws:ident, $name:ident, $attached:ident $attached_output:ident, $attach:ident, $detach:ident,
     $get:ident $get_output:ident, $put:ident, $delete:ident) => {
        [
            rule!($aws, Client::$attached, |state, request| read
                state.attached(request.$name()).map(|policies| {
                    let output = $attached_output::builder();
                    output.set_attached_policies(Some(policies)).build()
                })),
            rule!($aws, Client::$attach, |state, request| write
                state.attach(request.policy_arn())),
            rule!($aws, Client::$detach, |state, request| write
                state.detach(request.policy_arn())),
            rule!($aws, Client::$get, |state, request| read
                state.inline(request.policy_name()).map(|document| {
                    let output = $get_output::builder().$name("any").policy_name("any");
                    output.policy_document(document).build().unwrap()
                })),
            rule!($aws, Client::$put, |state, request| write
                state.put_inline(request.policy_name(), request.policy_document())),
            rule!($aws, Client::$delete, |state, request| write
                state.delete_inline(request.policy_name())),
        ]
    };
}

/// AWS as the worker's clients see it.
#[derive(Clone, Default)]
pub(crate) struct Aws(Arc<Mutex<State>>);

impl Aws {
    pub(crate) fn with(state: State) -> Self {
        Self(Arc::new(Mutex::new(state)))
    }

    pub(crate) fn refusing(self, call: &'static str, code: &'static str) -> Self {
        self.state().refuses.insert(call, code);
        self
    }

    pub(crate) fn without_ledger(self) -> Self {
        ["Hold", "GetHold", "Leave", "Forget"]
            .into_iter()
            .fold(self, |aws, call| {
                aws.refusing(call, "ResourceNotFoundException")
            })
    }

    /// Refuses nothing any more.
    pub(crate) fn granting(&self) {
        self.state().refuses.clear();
    }

    pub(crate) fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap()
    }

    /// The calls since this was last asked that change something.
    pub(crate) fn writes(&self) -> Vec<String> {
        let mut calls = std::mem::take(&mut self.state().calls);
        calls.retain(|call| !call.starts_with("Get") && !call.starts_with("List"));
        calls
    }

    /// Each hold as `resource mechanism: original (incidents)`.
    pub(crate) fn holds(&self) -> String {
        let state = self.state();
        let holds = state.holds.iter();
        holds
            .map(|(held, (original, incidents))| {
                let incidents: Vec<_> = incidents.iter().map(String::as_str).collect();
                format!("{held}: {original} ({})", incidents.join(", "))
            })
            .collect::<Vec<_>>()
            .join("\n")
    }

    pub(crate) fn iam(&self) -> Iam {
        let rules = [
            self.of_holders(),
            self.of_users(),
            self.of_policies_and_roles(),
        ]
        .concat();
        Iam::new(mock_client!(
            aws_sdk_iam,
            RuleMode::MatchAny,
            &rules,
            |config| config.retry_config(RetryConfig::disabled())
        ))
    }

    fn of_holders(&self) -> Vec<Rule> {
        [
            holder!(self, user_name, list_attached_user_policies ListAttachedUserPoliciesOutput,
                attach_user_policy, detach_user_policy, get_user_policy GetUserPolicyOutput,
                put_user_policy, delete_user_policy),
            holder!(self, role_name, list_attached_role_policies ListAttachedRolePoliciesOutput,
                attach_role_policy, detach_role_policy, get_role_policy GetRolePolicyOutput,
                put_role_policy, delete_role_policy),
            holder!(self, group_name, list_attached_group_policies ListAttachedGroupPoliciesOutput,
                attach_group_policy, detach_group_policy, get_group_policy GetGroupPolicyOutput,
                put_group_policy, delete_group_policy),
        ]
        .concat()
    }

    fn of_users(&self) -> Vec<Rule> {
        vec![
            rule!(self, Client::get_user, |state, request| read state
                .user(request.user_name())
                .map(|user| GetUserOutput::builder().user(user).build())),
            rule!(self, Client::list_groups_for_user, |state, request| read state
            .groups(request.user_name())
            .map(|groups| {
                let output = ListGroupsForUserOutput::builder();
                output.set_groups(Some(groups)).build().unwrap()
            })),
            rule!(self, Client::add_user_to_group, |state, request| write state
                .join(request.group_name())),
            rule!(self, Client::remove_user_from_group, |state, request| write state
                .leave(request.group_name())),
            rule!(self, Client::list_access_keys, |state, request| read state
                .keys(request.user_name(), request.marker())),
            rule!(self, Client::update_access_key, |state, request| write state
                .set_key(request.access_key_id(), request.status())),
            rule!(self, Client::get_login_profile, |state, request| read state
            .profile(request.user_name())
            .map(|profile| {
                let output = GetLoginProfileOutput::builder();
                output.login_profile(profile).build()
            })),
            rule!(self, Client::delete_login_profile, |state, request| write state
                .delete_profile(request.user_name())),
        ]
    }

    fn of_policies_and_roles(&self) -> Vec<Rule> {
        vec![
            rule!(self, Client::get_policy, |state, request| read state
            .read("GetPolicy", request.policy_arn())
            .map(|()| {
                let policy = Policy::builder().build();
                GetPolicyOutput::builder().policy(policy).build()
            })),
            rule!(self, Client::list_policy_versions, |state, request| read state
            .versions(request.policy_arn())
            .map(|versions| {
                let output = ListPolicyVersionsOutput::builder();
                output.set_versions(Some(versions)).build()
            })),
            rule!(self, Client::get_policy_version, |state, request| read state
            .version(request.version_id())
            .map(|version| {
                let output = GetPolicyVersionOutput::builder();
                output.policy_version(version).build()
            })),
            rule!(self, Client::set_default_policy_version, |state, request| write state
                .set_default(request.version_id())),
            rule!(self, Client::get_role, |state, request| read state
                .role(request.role_name())
                .map(|role| GetRoleOutput::builder().role(role).build())),
            rule!(self, Client::update_assume_role_policy, |state, request| write state
                .set_trust(request.policy_document())),
        ]
    }

    pub(crate) fn ledger(&self) -> Ledger {
        let rules = [
            rule!(self, Table::update_item, |state, request| read state.update_item(request)),
            rule!(self, Table::get_item, |state, request| read state.get_item(request)),
            rule!(self, Table::delete_item, |state, request| write state.delete_item(request)),
        ];
        let client = mock_client!(aws_sdk_dynamodb, RuleMode::MatchAny, &rules, |config| {
            config.retry_config(RetryConfig::disabled())
        });
        Ledger::new(client, "ledger")
    }
}
