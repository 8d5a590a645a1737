//! What an object was, and what it should be.

use std::{
    cmp::Reverse,
    collections::{BTreeMap, BTreeSet},
};

use incident::IncidentId;
use jiff::Timestamp;
use ledger::{Held, Source, Writing};

/// The mechanism of the hold on a version that an incident has quarantined, before its id.
pub(crate) const MECHANISM: &str = "quarantine/";

/// One version of an object, or one delete marker.
#[derive(Debug, Clone)]
pub(crate) struct Entry {
    /// S3's id of it.
    pub(crate) version: String,
    /// Whether it is a delete marker.
    pub(crate) marker: bool,
    /// Its entity tag, in quotes; empty for a marker.
    pub(crate) etag: String,
    /// Its size, in bytes.
    pub(crate) size: u64,
    /// When it was written, to the second.
    pub(crate) modified: Timestamp,
    /// Whether it is the current one.
    pub(crate) latest: bool,
}

impl Entry {
    /// What it is known by.
    pub(crate) fn id(&self) -> String {
        identity(&self.version, self.modified)
    }
}

/// The id by which a version is known for good. Without versioning every version is called `null`,
/// each in the place of the last: only its time tells them apart.
pub(crate) fn identity(version: &str, modified: Timestamp) -> String {
    if version == NULL {
        format!("{NULL}@{}", modified.as_second())
    } else {
        version.to_owned()
    }
}

/// S3's id of the version that an identity names.
pub(crate) fn version_of(id: &str) -> &str {
    id.strip_prefix(NULL)
        .filter(|rest| rest.starts_with('@'))
        .map_or(id, |_| NULL)
}

/// The version of a bucket without versioning.
pub(crate) const NULL: &str = "null";

/// The newest first. Of a version and a marker of the same second S3 does not tell which is newer,
/// unless one is current: the version then, since an object too many does less harm.
pub(crate) fn sort(entries: &mut [Entry]) {
    entries.sort_by_key(|entry| {
        (
            Reverse(entry.latest),
            Reverse(entry.modified.as_second()),
            entry.marker,
        )
    });
}

/// What the ledger knows of an object.
#[derive(Debug, Clone, Default)]
pub(crate) struct Known {
    quarantined: BTreeMap<String, Held>,
    written: BTreeMap<String, Writing>,
    /// Writes of ours of which the version is not known.
    pub(crate) open: Vec<Writing>,
    suspected: BTreeSet<String>,
}

/// The version that an entry counts as.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Root {
    pub(crate) id: String,
    pub(crate) modified: Timestamp,
}

impl Known {
    pub(crate) fn new(holds: Vec<Held>, writings: Vec<Writing>) -> Self {
        let mut known = Self::default();
        for held in holds {
            if let Some(id) = held.hold.mechanism.strip_prefix(MECHANISM) {
                known.quarantined.insert(id.to_owned(), held);
            }
        }
        for writing in writings {
            match &writing.made {
                Some(made) => known.wrote(made.clone(), writing),
                None => known.open.push(writing),
            }
        }
        known
    }

    /// Learns which version a write of ours made.
    pub(crate) fn wrote(&mut self, made: String, writing: Writing) {
        self.open.retain(|open| open != &writing);
        self.written.insert(made, writing);
    }

    /// Our write that made a version, if we did.
    pub(crate) fn writing(&self, id: &str) -> Option<&Writing> {
        self.written.get(id)
    }

    /// The hold on a version that an incident has quarantined.
    pub(crate) fn quarantined(&self, id: &str) -> Option<&Held> {
        self.quarantined.get(id)
    }

    /// Takes a version for quarantined, though no incident has done so yet.
    pub(crate) fn suspect(&mut self, id: &str) {
        self.suspected.insert(id.to_owned());
    }

    /// Takes a version for good, though an incident has quarantined it.
    pub(crate) fn forgive(&mut self, id: &str) {
        self.quarantined.remove(id);
    }

    /// Nothing, for a version by which we took the object off.
    pub(crate) fn root(&self, entry: &Entry) -> Option<Root> {
        let id = entry.id();
        match self.writing(&id) {
            None => Some(Root {
                id,
                modified: entry.modified,
            }),
            Some(writing) => writing.source.as_ref().map(|source| Root {
                id: source.version.clone(),
                modified: source.modified,
            }),
        }
    }

    /// Whether an incident has quarantined it, or what it is a copy of.
    pub(crate) fn is_bad(&self, entry: &Entry) -> bool {
        let quarantined =
            |id: &str| self.quarantined.contains_key(id) || self.suspected.contains(id);
        quarantined(&entry.id()) || self.root(entry).is_some_and(|root| quarantined(&root.id))
    }

    /// Whether it is neither known as ours nor quarantined.
    pub(crate) fn is_foreign(&self, entry: &Entry) -> bool {
        let id = entry.id();
        !self.written.contains_key(&id) && !self.quarantined.contains_key(&id)
    }
}

/// Everything known of an object at one time.
#[derive(Debug, Clone, Default)]
pub(crate) struct History {
    /// The newest first; as far back as it matters.
    pub(crate) entries: Vec<Entry>,
    pub(crate) known: Known,
}

impl History {
    /// What the object should be: the newest entry that no incident has quarantined; a marker where
    /// it should be gone. Our own versions stand where their source stood, and in for it when it
    /// has expired; none when there never was a good one. What is current and neither ours nor
    /// quarantined is the newest, even of uploads that are dated back to when they were begun.
    pub(crate) fn newest_good(&self) -> Option<(&Entry, Root)> {
        if let Some(current) = self.current().filter(|entry| self.is_good_itself(entry)) {
            return Some((current, self.known.root(current)?));
        }
        let good = self
            .entries
            .iter()
            .filter(|entry| !self.known.is_bad(entry));
        let rooted = good.filter_map(|entry| Some((entry, self.known.root(entry)?)));
        rooted
            .min_by_key(|(entry, root)| (Reverse(root.modified.as_second()), entry.id() != root.id))
    }

    /// Whether nothing older can matter.
    pub(crate) fn reaches_far_enough(&self) -> bool {
        self.entries.iter().any(|entry| self.is_good_itself(entry))
    }

    fn is_good_itself(&self, entry: &Entry) -> bool {
        !self.known.is_bad(entry) && self.known.writing(&entry.id()).is_none()
    }

    /// What a write may have made that was to replace a version, the oldest first: what replaced that
    /// version or one of the same entity tag, which is all that a condition compares. Where the
    /// version is gone, whatever there is.
    pub(crate) fn written_over(&self, id: &str) -> impl Iterator<Item = &Entry> {
        let at = self.entries.iter().position(|entry| entry.id() == id);
        let newer = at.unwrap_or(self.entries.len());
        let pairs = (0..newer)
            .rev()
            .map(|index| (&self.entries[index], self.entries.get(index + 1)));
        let fits = move |replaced: Option<&Entry>| match (at, replaced) {
            // Over a marker, the condition is that there is no object.
            (Some(at), Some(replaced)) => match (replaced.marker, self.entries[at].marker) {
                (false, false) => replaced.etag == self.entries[at].etag,
                (one, other) => one == other,
            },
            _ => true,
        };
        pairs
            .filter(move |(_, replaced)| fits(*replaced))
            .map(|(entry, _)| entry)
    }

    /// Our versions that were deleted for good while they were current: the newest that we made, where
    /// neither it nor anything newer is there; and those that this incident has made again since. One
    /// that is not there because it was replaced and has expired is none of them.
    pub(crate) fn torn_off(&self, incident: &IncidentId) -> Vec<(&str, &Writing)> {
        let written = &self.known.written;
        let Some((last, newest)) = written.iter().max_by_key(|(_, writing)| writing.at) else {
            return Vec::new();
        };
        let listed = |id: &str| self.entries.iter().any(|entry| entry.id() == id);
        let replaced = self.entries.iter().any(|entry| {
            entry.modified.as_second() >= newest.at.as_second() && entry.id() != newest.over
        });
        let torn_off = |(made, writing): &(&String, &Writing)| {
            let again = newest.incident == *incident && writing.over == newest.over;
            !listed(made) && (again || (*made == last && !replaced))
        };
        let torn_off = written.iter().filter(torn_off);
        torn_off
            .map(|(made, writing)| (made.as_str(), writing))
            .collect()
    }

    pub(crate) fn current(&self) -> Option<&Entry> {
        self.entries.iter().find(|entry| entry.latest)
    }

    /// Whether the object is `good`, or a copy of it; with none, whether there is no object.
    pub(crate) fn is_right(&self, good: Option<&Root>) -> bool {
        match (self.current(), good) {
            (Some(current), Some(good)) if !current.marker => {
                !self.known.is_bad(current) && self.known.root(current).as_ref() == Some(good)
            }
            (current, good) => current.is_none_or(|current| current.marker) && good.is_none(),
        }
    }
}

/// What a copy of `entry` is recorded as: a copy of its root.
pub(crate) fn source(entry: &Entry, root: Root) -> Source {
    Source {
        version: root.id,
        modified: root.modified,
        size: entry.size,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).unwrap()
    }

    /// `g1` is a version of second 1, `-d2` a marker of second 2; the first is current.
    fn entries(names: &[&str]) -> Vec<Entry> {
        let entry = |(index, name): (usize, &&str)| Entry {
            version: (*name).to_owned(),
            marker: name.starts_with('-'),
            etag: format!("\"{name}\""),
            size: 1,
            modified: at(name
                .trim_start_matches(|c: char| !c.is_ascii_digit())
                .parse()
                .unwrap()),
            latest: index == 0,
        };
        names.iter().enumerate().map(entry).collect()
    }

    fn held(id: &str) -> Held {
        Held {
            hold: ledger::Hold {
                resource: "arn:aws:s3:::site/k".to_owned(),
                mechanism: format!("quarantine/{id}"),
                original: json!({}),
            },
            incidents: vec!["i-1".to_owned()],
        }
    }

    fn copied(made: &str, source: Option<(&str, i64)>) -> Writing {
        Writing {
            incident: "i-1".parse().unwrap(),
            at: at(0),
            over: "x".to_owned(),
            source: source.map(|(version, second)| Source {
                version: version.to_owned(),
                modified: at(second),
                size: 1,
            }),
            made: Some(made.to_owned()),
        }
    }

    fn good(names: &[&str], bad: &[&str], ours: &[Writing]) -> (Option<String>, bool) {
        let history = History {
            entries: entries(names),
            known: Known::new(bad.iter().map(|id| held(id)).collect(), ours.to_vec()),
        };
        let good = history.newest_good();
        let root = good
            .as_ref()
            .and_then(|(entry, root)| (!entry.marker).then_some(root));
        let right = history.is_right(root);
        (good.map(|(entry, _)| entry.version.clone()), right)
    }

    fn is(version: &str, right: bool) -> (Option<String>, bool) {
        (Some(version.to_owned()), right)
    }

    #[test]
    fn the_newest_version_that_nobody_quarantined_is_the_right_one() {
        assert_eq!(good(&["b2", "g1"], &["b2"], &[]), is("g1", false));
        assert_eq!(good(&["g3", "b2", "g1"], &["b2"], &[]), is("g3", true));
        assert_eq!(good(&["b1"], &["b1"], &[]), (None, false));
        assert_eq!(good(&["-d2", "b1"], &["b1"], &[]), is("-d2", true));
        assert_eq!(good(&["-d2", "b1"], &["-d2", "b1"], &[]), (None, true));
        assert_eq!(good(&["b3", "-d2", "g1"], &["b3"], &[]), is("-d2", false));
        assert_eq!(good(&[], &[], &[]), (None, true));
    }

    #[test]
    fn a_version_of_ours_counts_as_its_source() {
        let w3 = copied("w3", Some(("g1", 1)));
        assert_eq!(
            good(&["w3", "b2", "g1"], &["b2"], std::slice::from_ref(&w3)),
            is("g1", true)
        );
        assert_eq!(
            good(
                &["w3", "b2", "g1"],
                &["b2", "g1"],
                std::slice::from_ref(&w3)
            ),
            (None, false)
        );
        // A newer good version came in between.
        assert_eq!(good(&["w3", "g2", "g1"], &[], &[w3]), is("g2", false));
    }

    #[test]
    fn what_is_current_is_the_newest_though_its_upload_was_begun_before_the_others() {
        assert_eq!(good(&["g1", "g3", "b2"], &["b2"], &[]), is("g1", true));
        assert_eq!(good(&["b1", "g3", "g2"], &["b1"], &[]), is("g3", false));
    }

    #[test]
    fn a_copy_stands_in_for_a_source_that_has_expired() {
        let w3 = copied("w3", Some(("g1", 1)));
        assert_eq!(
            good(
                &["b4", "w3", "b2"],
                &["b2", "b4"],
                std::slice::from_ref(&w3)
            ),
            is("w3", false)
        );
        assert_eq!(good(&["w3", "b2"], &["b2"], &[w3]), is("w3", true));
    }

    #[test]
    fn that_we_took_it_off_says_nothing_about_what_it_should_be() {
        let m2 = copied("-m2", None);
        assert_eq!(
            good(&["-m2", "g1"], &[], std::slice::from_ref(&m2)),
            is("g1", false)
        );
        assert_eq!(good(&["-m2", "b1"], &["b1"], &[m2]), (None, true));
    }

    #[test]
    fn a_write_made_what_replaced_a_version_of_the_same_tag() {
        let mut history = History {
            entries: entries(&["g6", "-d5", "g4", "-d3", "b2", "g1"]),
            ..History::default()
        };
        let over = |history: &History, id: &str| {
            let made = history.written_over(id);
            made.map(|entry| entry.version.clone()).collect::<Vec<_>>()
        };
        assert_eq!(over(&history, "b2"), ["-d3"]);
        assert_eq!(over(&history, "-d3"), ["g4", "g6"]);
        history.entries[2].etag = history.entries[4].etag.clone();
        assert_eq!(over(&history, "b2"), ["-d3", "-d5"]);
        assert_eq!(over(&history, "gone").len(), 6);
    }

    #[test]
    fn the_current_entry_is_the_newest_of_its_second() {
        let mut entries = entries(&["g1", "-d1", "g0"]);
        entries[0].latest = false;
        entries[1].latest = true;
        sort(&mut entries);
        assert_eq!(entries[0].version, "-d1");
        entries[0].latest = false;
        sort(&mut entries);
        assert_eq!(entries[0].version, "g1");
    }

    #[test]
    fn versions_that_are_all_called_null_are_told_apart_by_their_time() {
        assert_eq!(identity("null", at(7)), "null@7");
        assert_eq!(identity("v", at(7)), "v");
        assert_eq!(version_of("null@7"), "null");
        assert_eq!(version_of("v"), "v");
    }
}
