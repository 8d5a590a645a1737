//! All that a runbook could change, to compare before and after.

use std::collections::{BTreeMap, BTreeSet};

use super::{
    Range, TRAIL_ARN,
    error::{Context, Result},
};

/// The state of the account.
#[derive(Debug)]
pub(crate) struct Snapshot {
    /// Every user, key, role, group and policy.
    pub(crate) iam: Things,
    /// The trail's settings and selectors.
    pub(crate) trail: Things,
    /// Whether the trail logs, and since when.
    pub(crate) logging: Things,
    /// The log bucket's settings, and the key's state and policy.
    pub(crate) archive: Things,
    /// The deployed rules and their targets.
    pub(crate) rules: Things,
    /// Every item of the ledger.
    pub(crate) ledger: Things,
}

/// Things by their names.
#[derive(Debug, Default)]
pub(crate) struct Things(BTreeMap<String, String>);

impl Things {
    pub(crate) fn add(&mut self, name: String, state: String) {
        self.0.insert(name, state);
    }

    /// What is not as it was `before`, one line for each thing.
    pub(crate) fn changes_since(&self, before: &Self) -> Vec<String> {
        let names: BTreeSet<_> = self.0.keys().chain(before.0.keys()).collect();
        names
            .into_iter()
            .filter_map(|name| match (before.0.get(name), self.0.get(name)) {
                (Some(before), Some(after)) if before == after => None,
                (Some(before), Some(after)) => Some(format!("{name} was {before}, is {after}")),
                (None, _) => Some(format!("{name} is new")),
                (_, None) => Some(format!("{name} is gone")),
            })
            .collect()
    }
}

impl Snapshot {
    /// What is not as it was `before`.
    pub(crate) fn changes_since(&self, before: &Self) -> Vec<String> {
        [
            (&self.iam, &before.iam),
            (&self.trail, &before.trail),
            (&self.logging, &before.logging),
            (&self.archive, &before.archive),
            (&self.rules, &before.rules),
            (&self.ledger, &before.ledger),
        ]
        .into_iter()
        .flat_map(|(after, before)| after.changes_since(before))
        .collect()
    }

    /// What is not as it was `before`, of all that watches: the trail, its archive and our rules.
    pub(crate) fn surveillance_since(&self, before: &Self) -> Vec<String> {
        [
            (&self.trail, &before.trail),
            (&self.archive, &before.archive),
            (&self.rules, &before.rules),
        ]
        .into_iter()
        .flat_map(|(after, before)| after.changes_since(before))
        .collect()
    }
}

impl Range {
    /// Reads it all.
    pub(crate) async fn snapshot(&self) -> Result<Snapshot> {
        let mut ledger = Things::default();
        for item in self.ledger().await? {
            ledger.add(
                format!("ledger item {} {}", item["pk"], item["sk"]),
                item.to_string(),
            );
        }
        Ok(Snapshot {
            iam: self.iam().await?,
            trail: self.trail().await?,
            logging: self.logging().await?,
            archive: self.archive().await?,
            rules: self.rules().await?,
            ledger,
        })
    }

    async fn iam(&self) -> Result<Things> {
        let iam = &self.aws.iam;
        let mut things = Things::default();
        let mut pages = iam
            .get_account_authorization_details()
            .into_paginator()
            .send();
        while let Some(page) = pages.next().await {
            let page = page.context("iam:GetAccountAuthorizationDetails")?;
            for user in page.user_detail_list() {
                let name = user.user_name().unwrap_or_default();
                let keys = iam.list_access_keys().user_name(name).send().await;
                let keys = keys.context("iam:ListAccessKeys")?.access_key_metadata;
                things.add(format!("user {name}"), format!("{user:?}"));
                things.add(format!("keys of {name}"), format!("{keys:?}"));
            }
            for role in page.role_detail_list() {
                let mut role = role.clone();
                role.role_last_used = None;
                let name = role.role_name().unwrap_or_default();
                things.add(format!("role {name}"), format!("{role:?}"));
            }
            for group in page.group_detail_list() {
                let name = group.group_name().unwrap_or_default();
                things.add(format!("group {name}"), format!("{group:?}"));
            }
            for policy in page.policies() {
                let name = policy.policy_name().unwrap_or_default();
                things.add(format!("policy {name}"), format!("{policy:?}"));
            }
        }
        Ok(things)
    }

    async fn trail(&self) -> Result<Things> {
        let cloudtrail = &self.aws.cloudtrail;
        let mut things = Things::default();
        let trails = cloudtrail.describe_trails().send().await;
        for trail in trails.context("cloudtrail:DescribeTrails")?.trail_list() {
            let name = trail.name().unwrap_or_default();
            things.add(format!("trail {name}"), format!("{trail:?}"));
            let selectors = cloudtrail.get_event_selectors().trail_name(name);
            let selectors = selectors.send().await;
            let selectors = selectors.context("cloudtrail:GetEventSelectors")?;
            for selector in selectors.event_selectors() {
                things.add(
                    format!("selector {selector:?} of {name}"),
                    "there".to_owned(),
                );
            }
            for selector in selectors.advanced_event_selectors() {
                // All fields of a selector must match: their order says nothing.
                let mut fields: Vec<_> = selector
                    .field_selectors()
                    .iter()
                    .map(|field| format!("{field:?}"))
                    .collect();
                fields.sort();
                let selector = selector.name().unwrap_or_default();
                things.add(format!("selector {selector} of {name}"), fields.join(" "));
            }
        }
        Ok(things)
    }

    async fn logging(&self) -> Result<Things> {
        let mut things = Things::default();
        let status = self.aws.cloudtrail.get_trail_status().name(TRAIL_ARN);
        if let Ok(status) = status.send().await {
            things.add(
                "the trail's logging".to_owned(),
                format!(
                    "{:?} {:?} {:?}",
                    status.is_logging, status.start_logging_time, status.stop_logging_time
                ),
            );
        }
        Ok(things)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_change_is_told_by_its_name() {
        let things = |things: &[(&str, &str)]| {
            Things(
                things
                    .iter()
                    .map(|(name, state)| ((*name).to_owned(), (*state).to_owned()))
                    .collect(),
            )
        };
        let before = things(&[("a", "1"), ("b", "1"), ("c", "1")]);
        let after = things(&[("a", "1"), ("b", "2"), ("d", "1")]);
        assert_eq!(
            after.changes_since(&before),
            ["b was 1, is 2", "c is gone", "d is new"]
        );
        assert!(after.changes_since(&after).is_empty());
    }
}
