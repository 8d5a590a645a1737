//! Cognito, the deny list and the ledger, as far as this worker's tests need them: one user that is
//! remembered.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    sync::{Arc, Mutex, MutexGuard},
};

use aws_sdk_cognitoidentityprovider::{
    Client,
    config::retry::RetryConfig,
    error::ErrorMetadata,
    operation::{
        admin_disable_user::{AdminDisableUserError, AdminDisableUserOutput},
        admin_enable_user::{AdminEnableUserError, AdminEnableUserOutput},
        admin_user_global_sign_out::{AdminUserGlobalSignOutError, AdminUserGlobalSignOutOutput},
        list_users::{ListUsersError, ListUsersOutput},
    },
    primitives::DateTime,
    types::{UserStatusType, UserType},
};
use aws_sdk_dynamodb::{
    operation::{
        delete_item::{DeleteItemError, DeleteItemInput, DeleteItemOutput},
        get_item::{GetItemError, GetItemInput, GetItemOutput},
        update_item::{UpdateItemError, UpdateItemInput, UpdateItemOutput},
    },
    types::AttributeValue,
};
use aws_smithy_mocks::{MockResponse, Rule, RuleMode, mock, mock_client};
use jiff::Timestamp;

pub(crate) const POOL: &str = "eu-west-1_ExAmPl3Ab";
pub(crate) const SUBJECT: &str = "11111111-2222-3333-4444-555555555555";
pub(crate) const USERNAME: &str = "anna@clinic.example";

/// What AWS answers, or its error code.
type Answer<T> = Result<T, &'static str>;

/// An account, as Cognito keeps it.
#[derive(Clone, Copy)]
pub(crate) struct Account {
    pub(crate) is_enabled: bool,
    pub(crate) is_federated: bool,
    pub(crate) modified: Option<Timestamp>,
}

/// By mechanism, the original and the incidents that hold it.
type Holds = BTreeMap<String, (String, BTreeSet<String>)>;

#[derive(Default)]
pub(crate) struct State {
    pub(crate) accounts: Vec<Account>,
    /// The entry of the deny list, in seconds of the epoch.
    pub(crate) denied_until: Option<i64>,
    pub(crate) now: Option<Timestamp>,
    holds: Holds,
    refuses: HashMap<&'static str, &'static str>,
    writes: Vec<String>,
}

impl State {
    fn answer(&self, call: &str) -> Answer<()> {
        self.refuses.get(call).map_or(Ok(()), |code| Err(code))
    }

    /// One user a page, after an empty one, so that every test turns pages.
    fn page(&self, token: Option<&str>) -> Answer<ListUsersOutput> {
        self.answer("ListUsers")?;
        let index: usize = token.unwrap_or("0").parse().unwrap();
        let account = index.checked_sub(1).and_then(|at| self.accounts.get(at));
        let user = account.map(|account| {
            let status = if account.is_federated {
                UserStatusType::ExternalProvider
            } else {
                UserStatusType::Confirmed
            };
            let modified = account
                .modified
                .map(|at| DateTime::from_secs(at.as_second()));
            UserType::builder()
                .username(USERNAME)
                .enabled(account.is_enabled)
                .user_status(status)
                .set_user_last_modified_date(modified)
                .build()
        });
        let more = index < self.accounts.len();
        Ok(ListUsersOutput::builder()
            .set_users(Some(user.into_iter().collect()))
            .set_pagination_token(more.then(|| (index + 1).to_string()))
            .build())
    }

    fn set(&mut self, call: &'static str, enabled: Option<bool>) -> Answer<()> {
        self.writes.push(call.to_owned());
        self.answer(call)?;
        let now = self.now;
        let account = self.accounts.first_mut().ok_or("UserNotFoundException")?;
        if let Some(enabled) = enabled {
            account.is_enabled = enabled;
            account.modified = now;
        }
        Ok(())
    }

    fn table(&mut self) -> Answer<&mut Holds> {
        self.answer("ledger")?;
        Ok(&mut self.holds)
    }

    fn get_item(&mut self, request: &GetItemInput) -> Answer<GetItemOutput> {
        assert_eq!(request.consistent_read(), Some(true));
        if is_deny_list(request.table_name()) {
            self.answer("deny GetItem")?;
            let item = self.denied_until.map(|until| {
                HashMap::from([("expiresAt".to_owned(), AttributeValue::N(until.to_string()))])
            });
            return Ok(GetItemOutput::builder().set_item(item).build());
        }
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

    fn update_item(&mut self, request: &UpdateItemInput) -> Answer<UpdateItemOutput> {
        let values = request.expression_attribute_values().unwrap();
        if is_deny_list(request.table_name()) {
            self.answer("deny UpdateItem")?;
            let number = |name: &str| values[name].as_n().unwrap().parse::<i64>().unwrap();
            let (to, holds) = match request.condition_expression().unwrap() {
                "attribute_not_exists(subject) OR expiresAt < :until" => {
                    let until = number(":until");
                    (until, self.denied_until.is_none_or(|now| now < until))
                }
                "expiresAt > :original AND expiresAt <= :ours" => {
                    let (original, ours) = (number(":original"), number(":ours"));
                    let fits = |now: i64| now > original && now <= ours;
                    (original, self.denied_until.is_some_and(fits))
                }
                other => panic!("{other}"),
            };
            return self
                .deny(Some(to), holds)
                .map(|()| UpdateItemOutput::builder().build());
        }
        let holds = self.table()?;
        let mechanism = mechanism(request.key());
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

    fn delete_item(&mut self, request: &DeleteItemInput) -> Answer<DeleteItemOutput> {
        if is_deny_list(request.table_name()) {
            self.answer("deny DeleteItem")?;
            assert_eq!(request.condition_expression(), Some("expiresAt <= :ours"));
            let values = request.expression_attribute_values().unwrap();
            let ours: i64 = values[":ours"].as_n().unwrap().parse().unwrap();
            let holds = self.denied_until.is_some_and(|now| now <= ours);
            return self
                .deny(None, holds)
                .map(|()| DeleteItemOutput::builder().build());
        }
        self.table()?.remove(&mechanism(request.key()));
        Ok(DeleteItemOutput::builder().build())
    }

    fn deny(&mut self, until: Option<i64>, condition_holds: bool) -> Answer<()> {
        if !condition_holds {
            return Err("ConditionalCheckFailedException");
        }
        self.denied_until = until;
        self.writes.push(match until {
            Some(until) => format!("deny until {}", Timestamp::from_second(until).unwrap()),
            None => "deny no longer".to_owned(),
        });
        Ok(())
    }
}

fn is_deny_list(table: Option<&str>) -> bool {
    match table {
        Some("deny-list") => true,
        Some("ledger") => false,
        other => panic!("{other:?}"),
    }
}

fn mechanism(key: Option<&HashMap<String, AttributeValue>>) -> String {
    let key = key.unwrap();
    let pk = key["pk"].as_s().unwrap();
    assert_eq!(*pk, format!("hold#crm-user#{POOL}/{SUBJECT}"));
    key["sk"].as_s().unwrap().clone()
}

/// AWS as the worker's clients see it.
#[derive(Clone, Default)]
pub(crate) struct Aws(Arc<Mutex<State>>);

/// A rule that answers a call from the state.
macro_rules! rule {
    ($aws:ident, $call:path, $error:ident, $about:expr, |$state:ident, $request:ident| $answer:expr) => {{
        let aws = $aws.clone();
        mock!($call).then_compute_response(move |$request| {
            #[allow(unused_mut, reason = "only writes change it")]
            let mut $state = aws.state();
            match $answer {
                Ok(output) => MockResponse::Output(output),
                Err(code) => {
                    let message = format!("as AWS says of {}", $about);
                    let error = ErrorMetadata::builder().code(code).message(message);
                    MockResponse::Error($error::generic(error.build()))
                }
            }
        })
    }};
}

/// A rule for a call on the user itself.
macro_rules! on_user {
    ($aws:ident, $call:path, $error:ident, $output:ident, $name:literal, $enabled:expr) => {
        // AWS may repeat a parameter that it does not like.
        rule!($aws, $call, $error, USERNAME, |state, request| {
            assert_eq!(request.user_pool_id(), Some(POOL));
            assert_eq!(request.username(), Some(USERNAME));
            let set = state.set($name, $enabled);
            set.map(|()| $output::builder().build())
        })
    };
}

impl Aws {
    /// An enabled user, changed last at some earlier time.
    pub(crate) fn user() -> Self {
        let aws = Self::default();
        aws.state().accounts = vec![Account {
            is_enabled: true,
            is_federated: false,
            modified: Some("2026-11-01T00:00:00Z".parse().unwrap()),
        }];
        aws
    }

    /// A user who was disabled then.
    pub(crate) fn disabled(at: &str) -> Self {
        let aws = Self::user();
        aws.state().accounts[0] = Account {
            is_enabled: false,
            is_federated: false,
            modified: Some(at.parse().unwrap()),
        };
        aws
    }

    /// A user on the deny list until then.
    pub(crate) fn denied(self, until: &str) -> Self {
        self.state().denied_until = Some(second(until));
        self
    }

    /// Refuses a call, or every call of the ledger.
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

    /// What was written since the last call of this, outside the ledger.
    pub(crate) fn writes(&self) -> Vec<String> {
        std::mem::take(&mut self.state().writes)
    }

    /// Until when the deny list refuses the user's tokens.
    pub(crate) fn denied_until(&self) -> Option<String> {
        let until = self.state().denied_until;
        until.map(|until| Timestamp::from_second(until).unwrap().to_string())
    }

    pub(crate) fn is_enabled(&self) -> bool {
        self.state().accounts[0].is_enabled
    }

    /// Every hold and the incidents that hold it.
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

    pub(crate) fn cognito(&self) -> Client {
        let aws = self;
        let rules: [Rule; 4] = [
            rule!(
                aws,
                Client::list_users,
                ListUsersError,
                "the filter",
                |state, request| {
                    assert_eq!(request.user_pool_id(), Some(POOL));
                    assert_eq!(request.filter(), Some(&*format!("sub = \"{SUBJECT}\"")));
                    assert_eq!(request.attributes_to_get(), ["sub"]);
                    state.page(request.pagination_token())
                }
            ),
            on_user!(
                aws,
                Client::admin_disable_user,
                AdminDisableUserError,
                AdminDisableUserOutput,
                "AdminDisableUser",
                Some(false)
            ),
            on_user!(
                aws,
                Client::admin_enable_user,
                AdminEnableUserError,
                AdminEnableUserOutput,
                "AdminEnableUser",
                Some(true)
            ),
            on_user!(
                aws,
                Client::admin_user_global_sign_out,
                AdminUserGlobalSignOutError,
                AdminUserGlobalSignOutOutput,
                "AdminUserGlobalSignOut",
                None
            ),
        ];
        let rules: Vec<_> = rules.iter().collect();
        mock_client!(
            aws_sdk_cognitoidentityprovider,
            RuleMode::MatchAny,
            &rules,
            |config| config.retry_config(RetryConfig::disabled())
        )
    }

    /// The client of the ledger and of the deny list.
    pub(crate) fn dynamodb(&self) -> aws_sdk_dynamodb::Client {
        use aws_sdk_dynamodb::Client;
        let aws = self;
        let rules: [Rule; 3] = [
            rule!(
                aws,
                Client::get_item,
                GetItemError,
                "the table",
                |state, request| state.get_item(request)
            ),
            rule!(
                aws,
                Client::update_item,
                UpdateItemError,
                "the table",
                |state, request| state.update_item(request)
            ),
            rule!(
                aws,
                Client::delete_item,
                DeleteItemError,
                "the table",
                |state, request| state.delete_item(request)
            ),
        ];
        let rules: Vec<_> = rules.iter().collect();
        mock_client!(aws_sdk_dynamodb, RuleMode::MatchAny, &rules, |config| {
            config.retry_config(aws_sdk_dynamodb::config::retry::RetryConfig::disabled())
        })
    }
}

pub(crate) fn second(at: &str) -> i64 {
    at.parse::<Timestamp>().unwrap().as_second()
}
