//! One run: asks every source and takes what each tells.

use std::time::Duration;

use incident::WebAclArn;
use jiff::{SignedDuration, Timestamp};
use log_insights::{Insights, Progress};
use tokio::time::Instant;
use worker::Failure;

use crate::{
    FindOffenders, Output, Query,
    acl::{Key, Matches, Rule, Rules},
    classify::{Classifier, describe},
    firewall::Firewall,
    logs::{self, MOST_ROWS},
    told::Told,
    window::Window,
};

/// How long one run reads. One call more must fit into the function's minute.
pub(crate) const BUDGET: Duration = Duration::from_secs(35);

/// How long it waits at most for the web ACL's rules.
const GLANCE: Duration = Duration::from_secs(15);

/// How long asking again is worthwhile.
pub(crate) const PATIENCE: SignedDuration = SignedDuration::from_mins(30);

/// One run, once it is known where to look.
pub(crate) struct Search<'a> {
    pub(crate) worker: &'a FindOffenders,
    pub(crate) acl: &'a WebAclArn,
    pub(crate) window: Window,
    pub(crate) now: Timestamp,
    pub(crate) until: Instant,
}

impl Search<'_> {
    pub(crate) async fn run(&self, query: Option<Query>) -> Result<Output, Failure> {
        let Self { worker, acl, .. } = self;
        let mut firewall = Firewall::new(&worker.waf, acl);
        let known = firewall.rules(Instant::now() + GLANCE).await;
        let classifier = Classifier::new(worker.never.clone(), worker.forwarded.clone());
        let (classifier, known) = match known {
            Ok(rules) => (classifier.knowing(rules), None),
            Err(failure) => (classifier.blind(), Some(failure)),
        };
        let (mut told, logged) = tokio::join!(
            self.ask_firewall(&mut firewall, &classifier),
            self.ask_logs(query, &classifier)
        );
        if let Some(failure) = known {
            let what = "its rules, samples and rates are not known";
            told.unreadable(&failure, what, &self.window.rules_by_hand(acl));
            told.failures.push(failure);
        }
        told.or(logged);
        told.answer(self)
    }

    /// Asks who is over a rate, then for samples of each blocking rule.
    async fn ask_firewall(&self, firewall: &mut Firewall<'_>, classifier: &Classifier) -> Told {
        let mut told = Told::default();
        let rules = classifier.rules();
        self.ask_rates(firewall, classifier, &mut told).await;
        let span = self.window.sampled(self.now);
        if span.is_none() {
            told.hints
                .push("WAF keeps samples for three hours only, and the window is older".to_owned());
        }
        let telling = |rule: &Rule| rule.blocks && rule.matches != Matches::Origin;
        let (mut silent, mut unread) = (Vec::new(), Unread::default());
        for (name, rule) in rules.iter().filter(|(_, rule)| telling(rule)) {
            let Some(metric) = &rule.metric else {
                silent.push(name.clone());
                continue;
            };
            let Some(span) = span else {
                continue;
            };
            let samples = firewall.samples((name, metric), span, classifier, self.until);
            match samples.await {
                Ok(samples) => {
                    told.read = true;
                    for (record, weight) in samples {
                        let judged = classifier.classify(&record);
                        told.offenders.count_many(judged, weight, 1);
                    }
                }
                Err(failure) => unread.push(failure, name),
            }
        }
        if !silent.is_empty() {
            let silent = several("rule", &silent);
            told.hints
                .push(format!("WAF is told to keep no samples of {silent}"));
        }
        let by_hand = self.window.samples_by_hand(self.acl);
        unread.tell("what they blocked is not known", &by_hand, &mut told);
        told.hints.extend(only_counting(rules));
        told
    }

    async fn ask_rates(
        &self,
        firewall: &mut Firewall<'_>,
        classifier: &Classifier,
        told: &mut Told,
    ) {
        let mut unread = Unread::default();
        let proxied = classifier.header().map(|it| it.header.as_str());
        let rules = classifier.rules().iter().filter(|(_, rule)| rule.blocks);
        for (name, rule) in rules {
            let header = match (&rule.matches, proxied) {
                (Matches::Rate(Key::Ip), None) => None,
                (Matches::Rate(Key::Ip), Some(header)) => {
                    told.left.push(format!(
                        "rate rule {name} counts by the connecting address, which is a proxy's: let it \
                         count by {header} (AggregateKeyType FORWARDED_IP)"
                    ));
                    continue;
                }
                (Matches::Rate(Key::ForwardedIp), _) => {
                    let own = rule.forwarded.as_ref().map(|it| it.header.as_str());
                    Some(own.unwrap_or("the forwarding header"))
                }
                (Matches::Rate(_), _) => {
                    told.hints.push(format!(
                        "WAF does not tell who is over the limit of rate rule {name}, which does not \
                         count by address alone"
                    ));
                    continue;
                }
                _ => continue,
            };
            match firewall.limited(name, self.until).await {
                Ok(networks) => {
                    told.read = true;
                    for network in networks {
                        let why = describe("over the rate limit", name, "", header);
                        let judged = classifier.offence(network, true, why);
                        told.offenders.count_many(judged, 0, 0);
                    }
                }
                Err(failure) => unread.push(failure, name),
            }
        }
        let by_hand = Window::rates_by_hand(self.acl);
        unread.tell("who is over their limit is not known", &by_hand, told);
    }

    /// Asks the log group, if there is one.
    async fn ask_logs(&self, query: Option<Query>, classifier: &Classifier) -> Told {
        let Some(group) = &self.worker.log_group else {
            let mut told = Told::default();
            told.hints.push(
                "the template's parameter WafLogGroupName is not set, so that only samples are known"
                    .to_owned(),
            );
            return told;
        };
        let insights = Insights {
            logs: &self.worker.logs,
            group,
        };
        let by_hand = self.window.logs_by_hand(self.acl, group);
        let mut told = Told::default();
        if let Err(failure) = self
            .search_logs(insights, query, classifier, &by_hand, &mut told)
            .await
        {
            told.unreadable(&failure, "what was logged is not known", &by_hand);
            told.failures.push(failure);
        }
        told
    }

    /// Starts the query. None when as many run already as the account may run.
    async fn begin(
        &self,
        insights: Insights<'_>,
        classifier: &Classifier,
    ) -> Result<Option<Query>, Failure> {
        let Self { window, now, .. } = *self;
        let query = logs::query(self.acl, classifier);
        let to = window.to.min(now).max(window.from);
        let id = insights.start(&query, window.from, to).await?;
        Ok(id.map(|id| Query {
            id,
            started_at: now,
            arrived: window.has_arrived(now),
        }))
    }

    async fn search_logs(
        &self,
        insights: Insights<'_>,
        query: Option<Query>,
        classifier: &Classifier,
        by_hand: &str,
        told: &mut Told,
    ) -> Result<(), Failure> {
        let Self { window, now, .. } = *self;
        let query = match query {
            Some(query) => Some(query),
            None => self.begin(insights, classifier).await?,
        };
        let Some(query) = query else {
            let busy = "as many queries run already as the account may run";
            told.pending(busy, by_hand);
            return Ok(());
        };
        match insights.wait(&query.id, self.until).await? {
            Progress::Done(rows) => {
                told.read = true;
                for (record, requests) in logs::records(&rows, classifier)? {
                    let judged = classifier.classify(&record);
                    told.offenders.count_many(judged, requests, requests);
                }
                if rows.len() >= MOST_ROWS {
                    told.left.push(format!(
                        "more was blocked than one query tells, so that some offenders are missing: \
                         ask for a shorter time ({by_hand})"
                    ));
                }
                let late = "requests reach the log group minutes later";
                if !query.arrived && window.age(now) < PATIENCE {
                    told.pending(late, by_hand);
                } else if !query.arrived {
                    told.given_up(late, by_hand);
                }
            }
            Progress::Lost => told.pending("the query ended without a result", by_hand),
            Progress::Running if now.duration_since(query.started_at) < PATIENCE => {
                told.read = true;
                told.pending("the query still runs", by_hand);
                told.query = Some(query);
            }
            Progress::Running => {
                insights.stop(&query.id).await;
                told.given_up(
                    "the query did not end within half an hour and was stopped",
                    by_hand,
                );
            }
        }
        Ok(())
    }
}

/// Rules about which the same could not be read.
#[derive(Default)]
struct Unread(Vec<(Failure, Vec<String>)>);

impl Unread {
    fn push(&mut self, failure: Failure, rule: &str) {
        match self.0.iter_mut().find(|(known, _)| *known == failure) {
            Some((_, rules)) => rules.push(rule.to_owned()),
            None => self.0.push((failure, vec![rule.to_owned()])),
        }
    }

    fn tell(self, what: &str, by_hand: &str, told: &mut Told) {
        for (failure, rules) in self.0 {
            let what = format!("of {}, {what}", several("rule", &rules));
            told.unreadable(&failure, &what, by_hand);
            told.failures.push(failure);
        }
    }
}

fn only_counting(rules: &Rules) -> Option<String> {
    let counting = rules.iter().filter(|(_, rule)| !rule.blocks);
    let counting: Vec<_> = counting.map(|(name, _)| name.clone()).collect();
    (!counting.is_empty()).then(|| format!("nothing is blocked by {}", several("rule", &counting)))
}

/// Some names, and how many more there are.
pub(crate) fn several(what: &str, names: &[String]) -> String {
    const MOST: usize = 10;
    let more = match names.len().saturating_sub(MOST) {
        0 => String::new(),
        more => format!(" and {more} more"),
    };
    let plural = if names.len() == 1 { "" } else { "s" };
    let first = names.get(..MOST).unwrap_or(names);
    format!("{what}{plural} {}{more}", first.join(", "))
}
