//! The networks that are blocked at the firewall, and what is known of the IP set that blocks them.
//!
//! Blocks are what should be; the entries of a set are what we put into it. So a writer that dies
//! half-way leaves nothing behind that another could take for somebody else's.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    fmt::Display,
    hash::{BuildHasher, RandomState},
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
};

use aws_sdk_dynamodb::{
    operation::update_item::builders::UpdateItemFluentBuilder,
    primitives::Blob,
    types::{AttributeValue, KeysAndAttributes, ReturnValue},
};
use incident::{Family, IncidentId, IpSetArn, Network};
use jiff::{SignedDuration, Timestamp};
use worker::Failure;

use crate::{
    Ledger,
    item::{Item, condition_failed, key, text, text_of, time_of},
};

/// How long an expired block is remembered.
const MEMORY: SignedDuration = SignedDuration::from_hours(30 * 24);

/// How often a read asks again for what DynamoDB left out.
const ATTEMPTS: u32 = 5;

/// The sort keys of what is known of a set.
const WRITER: &str = "writer";
const ENTRIES: &str = "entries";

/// One network that is to be blocked, as long as an incident asks for it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Block {
    /// The network.
    pub network: Network,
    /// Until when each incident asks for it.
    pub asks: BTreeMap<String, Timestamp>,
    /// How often it was blocked, this time included, with less than 30 days in between.
    pub offences: u32,
    /// When this block began.
    pub since: Timestamp,
    /// Another with every write, so that no write is lost; none before the first.
    revision: Option<u64>,
}

/// What is known of one network.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Known {
    /// Its block; it may have expired.
    pub block: Option<Block>,
    /// The one before, which has.
    pub last: Option<Block>,
}

/// How far an IP set is behind what was asked of it, and who writes it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct SetState {
    /// How often it was asked for what the blocks say.
    pub requested: u64,
    /// The last request that it answers to.
    pub applied: u64,
    /// The last request that could not be met, and why.
    pub refused: Option<(u64, Failure)>,
    /// The run that may write it, and until when.
    pub lease: Option<(String, Timestamp)>,
    /// When it was last changed.
    pub written_at: Option<Timestamp>,
    /// How many entries it had then, and how many blocks found no place in it.
    pub fill: Fill,
}

/// How full a set is.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Fill {
    /// Its entries, whoever put them there.
    pub entries: usize,
    /// The blocks that found no place in it.
    pub displaced: usize,
}

/// What we put into an IP set and have not seen gone; every other entry is somebody else's.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Entries {
    /// The networks; at most 20,000 fit.
    pub networks: BTreeSet<Network>,
    revision: Option<u64>,
}

impl Block {
    /// A block that nobody asks for yet.
    #[must_use]
    pub fn new(network: Network, since: Timestamp) -> Self {
        Self {
            network,
            asks: BTreeMap::new(),
            offences: 1,
            since,
            revision: None,
        }
    }

    /// A new block of the same network, to be put in this one's place.
    #[must_use]
    pub fn anew(&self, since: Timestamp) -> Self {
        Self {
            revision: self.revision,
            ..Self::new(self.network, since)
        }
    }

    /// When the last ask for it ends.
    #[must_use]
    pub fn until(&self) -> Timestamp {
        let last = self.asks.values().max();
        last.copied().unwrap_or(Timestamp::UNIX_EPOCH)
    }

    /// Whether somebody asks for it at `now`.
    #[must_use]
    pub fn is_live(&self, now: Timestamp) -> bool {
        now < self.until()
    }

    /// Whether it counts against its network at `now`: for 30 days after its end.
    #[must_use]
    pub fn is_remembered(&self, now: Timestamp) -> bool {
        now < self.forgotten_at()
    }

    fn forgotten_at(&self) -> Timestamp {
        let forgotten = self.until().checked_add(MEMORY);
        forgotten.unwrap_or(Timestamp::MAX)
    }

    /// Whether `incident` asks, or asked, for it.
    #[must_use]
    pub fn is_asked_by(&self, incident: &IncidentId) -> bool {
        self.asks.contains_key(incident.as_str())
    }

    /// What is not readable is left out: a block without an ask has expired.
    fn read(network: Network, item: &Item) -> Self {
        let asks = item.get("asks").and_then(|asks| asks.as_m().ok());
        let until = |(incident, until): (&String, &AttributeValue)| {
            Some((incident.clone(), until.as_s().ok()?.parse().ok()?))
        };
        Self {
            network,
            asks: asks.into_iter().flatten().filter_map(until).collect(),
            offences: number_of(item, "offences").unwrap_or(1),
            since: time_of(item, "since").unwrap_or(Timestamp::UNIX_EPOCH),
            revision: number_of(item, "revision"),
        }
    }

    fn item(&self, mut item: Item) -> Item {
        let until = self.until();
        let ask =
            |(incident, until): (&String, &Timestamp)| (incident.clone(), text(until.to_string()));
        let asks = self.asks.iter().map(ask).collect();
        item.extend([
            ("asks".to_owned(), AttributeValue::M(asks)),
            ("offences".to_owned(), number(self.offences)),
            ("since".to_owned(), text(self.since.to_string())),
            ("until".to_owned(), text(until.to_string())),
            (
                "expiresAt".to_owned(),
                number(self.forgotten_at().as_second()),
            ),
            ("revision".to_owned(), number(revision())),
        ]);
        item
    }
}

impl SetState {
    fn read(item: &Item) -> Self {
        let refused = number_of(item, "refused").zip(text_of(item, "refusedAs"));
        let why = text_of(item, "refusal").unwrap_or_default().to_owned();
        let failure = |name: &str| match name {
            "AccessDenied" => Failure::AccessDenied(why),
            "TargetNotFound" => Failure::TargetNotFound(why),
            _ => Failure::Rejected(why),
        };
        let count = |name| number_of(item, name).unwrap_or_default();
        Self {
            requested: number_of(item, "requested").unwrap_or_default(),
            applied: number_of(item, "applied").unwrap_or_default(),
            refused: refused.map(|(request, name)| (request, failure(name))),
            lease: text_of(item, "holder").map(str::to_owned).zip(
                number_of(item, "leaseUntil").and_then(|at| Timestamp::from_millisecond(at).ok()),
            ),
            written_at: time_of(item, "writtenAt"),
            fill: Fill {
                entries: count("entries"),
                displaced: count("displaced"),
            },
        }
    }

    /// Whether somebody may write the set at `now`.
    #[must_use]
    pub fn is_held(&self, now: Timestamp) -> bool {
        self.lease.as_ref().is_some_and(|(_, until)| now <= *until)
    }
}

impl Ledger {
    /// How many networks [`Ledger::known`] reads at once.
    pub const MOST_KNOWN: usize = 50;

    /// Every block of one kind of address, expired ones included.
    ///
    /// # Errors
    /// When the ledger cannot be read.
    pub async fn blocks(&self, family: Family) -> Result<Vec<Block>, Failure> {
        let mut pages = self
            .client
            .query()
            .table_name(&self.table)
            .key_condition_expression("pk = :pk")
            .expression_attribute_values(":pk", text(blocks_pk(family)))
            .consistent_read(true)
            .into_paginator()
            .send();
        let mut blocks = Vec::new();
        while let Some(page) = pages.next().await {
            let page = page.map_err(|error| Failure::aws("dynamodb:Query", &error))?;
            let block = |item: &Item| Some(Block::read(text_of(item, "sk")?.parse().ok()?, item));
            blocks.extend(page.items().iter().filter_map(block));
        }
        Ok(blocks)
    }

    /// What is known of the first [`Ledger::MOST_KNOWN`] of `networks`.
    ///
    /// # Errors
    /// When the ledger cannot be read, or leaves some of it out again and again.
    pub async fn known(&self, networks: &[Network]) -> Result<HashMap<Network, Known>, Failure> {
        let networks = networks.iter().take(Self::MOST_KNOWN).copied();
        let mut known: HashMap<_, _> = networks
            .map(|network| (network, Known::default()))
            .collect();
        let keys = known
            .keys()
            .flat_map(|network| [block_key(network), last_key(network)]);
        let mut keys: Vec<Item> = keys.collect();
        for _ in 0..ATTEMPTS {
            if keys.is_empty() {
                return Ok(known);
            }
            let wanted = KeysAndAttributes::builder()
                .set_keys(Some(keys))
                .consistent_read(true)
                .build()
                .map_err(|error| Failure::Rejected(error.to_string()))?;
            let output = self
                .client
                .batch_get_item()
                .request_items(&self.table, wanted)
                .send()
                .await
                .map_err(|error| Failure::aws("dynamodb:BatchGetItem", &error))?;
            let found = output.responses.unwrap_or_default();
            for item in found.values().flatten() {
                note(&mut known, item);
            }
            let left = output.unprocessed_keys.unwrap_or_default();
            keys = left.into_values().flat_map(|left| left.keys).collect();
        }
        Err(Failure::Transient(
            "dynamodb:BatchGetItem: left keys unread again and again".to_owned(),
        ))
    }

    /// Writes a block in place of the one it was read from, or made of; false when that has changed
    /// meanwhile.
    ///
    /// # Errors
    /// When the ledger cannot be written.
    pub async fn put_block(&self, block: &Block) -> Result<bool, Failure> {
        let put = self
            .client
            .put_item()
            .table_name(&self.table)
            .set_item(Some(block.item(block_key(&block.network))));
        let put = match block.revision {
            None => put.condition_expression("attribute_not_exists(revision)"),
            Some(revision) => put
                .condition_expression("revision = :revision")
                .expression_attribute_values(":revision", number(revision)),
        };
        match put.send().await {
            Ok(_) => Ok(true),
            Err(error) if condition_failed(&error) => Ok(false),
            Err(error) => Err(Failure::aws("dynamodb:PutItem", &error)),
        }
    }

    /// Deletes a block; false when it has changed since it was read.
    ///
    /// # Errors
    /// When the ledger cannot be written.
    pub async fn drop_block(&self, block: &Block) -> Result<bool, Failure> {
        let delete = self
            .client
            .delete_item()
            .table_name(&self.table)
            .set_key(Some(block_key(&block.network)));
        let delete = match block.revision {
            None => delete.condition_expression("attribute_not_exists(revision)"),
            Some(revision) => delete
                .condition_expression("revision = :revision")
                .expression_attribute_values(":revision", number(revision)),
        };
        match delete.send().await {
            Ok(_) => Ok(true),
            Err(error) if condition_failed(&error) => Ok(false),
            Err(error) => Err(Failure::aws("dynamodb:DeleteItem", &error)),
        }
    }

    /// Remembers an expired block for 30 days after its end, apart from those that are read to write
    /// a set. A later one stands.
    ///
    /// # Errors
    /// When the ledger cannot be written.
    pub async fn remember_block(&self, block: &Block) -> Result<(), Failure> {
        let item = block.item(last_key(&block.network));
        let put = self
            .client
            .put_item()
            .table_name(&self.table)
            .condition_expression("attribute_not_exists(expiresAt) OR expiresAt <= :expiresAt")
            .set_expression_attribute_values(
                item.get("expiresAt")
                    .map(|at| HashMap::from([(":expiresAt".to_owned(), at.clone())])),
            )
            .set_item(Some(item));
        match put.send().await {
            Ok(_) => Ok(()),
            Err(error) if condition_failed(&error) => Ok(()),
            Err(error) => Err(Failure::aws("dynamodb:PutItem", &error)),
        }
    }

    /// Asks for a set to become what the blocks say; the answer's `requested` is this request.
    ///
    /// # Errors
    /// When the ledger cannot be written.
    pub async fn request(&self, set: &IpSetArn) -> Result<SetState, Failure> {
        self.update(set)
            .update_expression("ADD requested :one")
            .expression_attribute_values(":one", number(1))
            .return_values(ReturnValue::AllNew)
            .send()
            .await
            .map(|output| SetState::read(&output.attributes.unwrap_or_default()))
            .map_err(|error| Failure::aws("dynamodb:UpdateItem", &error))
    }

    /// What is known of a set.
    ///
    /// # Errors
    /// When the ledger cannot be read.
    pub async fn set_state(&self, set: &IpSetArn) -> Result<SetState, Failure> {
        let item = self.get(&set_pk(set), WRITER).await?;
        Ok(SetState::read(&item.unwrap_or_default()))
    }

    /// Takes the lease on a set for `holder`, or prolongs it; none while it is another's at `now`.
    ///
    /// # Errors
    /// When the ledger cannot be written.
    pub async fn lease(
        &self,
        set: &IpSetArn,
        holder: &str,
        now: Timestamp,
        until: Timestamp,
    ) -> Result<Option<SetState>, Failure> {
        let taken = self
            .update(set)
            .update_expression("SET holder = :holder, leaseUntil = :until")
            .condition_expression(
                "attribute_not_exists(holder) OR holder = :holder OR leaseUntil < :now",
            )
            .expression_attribute_values(":holder", text(holder))
            .expression_attribute_values(":now", number(now.as_millisecond()))
            .expression_attribute_values(":until", number(until.as_millisecond()))
            .return_values(ReturnValue::AllNew)
            .send()
            .await;
        match taken {
            Ok(output) => {
                let state = output.attributes.unwrap_or_default();
                Ok(Some(SetState::read(&state)))
            }
            Err(error) if condition_failed(&error) => Ok(None),
            Err(error) => Err(Failure::aws("dynamodb:UpdateItem", &error)),
        }
    }

    /// Records that a set answers to `request` and all before, how full it is and when it was last
    /// changed. A later record stands.
    ///
    /// # Errors
    /// When the ledger cannot be written.
    pub async fn applied(
        &self,
        set: &IpSetArn,
        request: u64,
        fill: Fill,
        written_at: Option<Timestamp>,
    ) -> Result<(), Failure> {
        let update = self
            .update(set)
            .condition_expression("attribute_not_exists(applied) OR applied <= :request")
            .expression_attribute_values(":request", number(request))
            .expression_attribute_values(":entries", number(fill.entries))
            .expression_attribute_values(":displaced", number(fill.displaced));
        let expression = "SET applied = :request, entries = :entries, displaced = :displaced";
        let update = match written_at {
            None => update.update_expression(expression),
            Some(at) => update
                .update_expression(format!("{expression}, writtenAt = :at"))
                .expression_attribute_values(":at", text(at.to_string())),
        };
        unless_late(update).await
    }

    /// Records that a set could not be made to answer to `request` and those before. A later record
    /// stands.
    ///
    /// # Errors
    /// When the ledger cannot be written.
    pub async fn refused(
        &self,
        set: &IpSetArn,
        request: u64,
        why: &Failure,
    ) -> Result<(), Failure> {
        let update = self
            .update(set)
            .update_expression("SET refused = :request, refusedAs = :name, refusal = :why")
            .condition_expression("attribute_not_exists(refused) OR refused <= :request")
            .expression_attribute_values(":request", number(request))
            .expression_attribute_values(":name", text(why.name()))
            .expression_attribute_values(":why", text(why.to_string()));
        unless_late(update).await
    }

    /// Gives a lease back.
    ///
    /// # Errors
    /// When the ledger cannot be written: the lease then ends by itself.
    pub async fn end_lease(&self, set: &IpSetArn, holder: &str) -> Result<(), Failure> {
        let update = self
            .update(set)
            .update_expression("REMOVE holder, leaseUntil")
            .condition_expression("holder = :holder")
            .expression_attribute_values(":holder", text(holder));
        unless_late(update).await
    }

    /// What we put into a set.
    ///
    /// # Errors
    /// When the ledger cannot be read.
    pub async fn entries(&self, set: &IpSetArn) -> Result<Entries, Failure> {
        let item = self.get(&set_pk(set), ENTRIES).await?.unwrap_or_default();
        let packed = item.get("networks").and_then(|packed| packed.as_b().ok());
        Ok(Entries {
            networks: packed
                .map(|packed| unpack(packed.as_ref()))
                .unwrap_or_default(),
            revision: number_of(&item, "revision"),
        })
    }

    /// Records what we put into a set; false when somebody else has since `entries` were read.
    ///
    /// # Errors
    /// When the ledger cannot be written.
    pub async fn put_entries(
        &self,
        set: &IpSetArn,
        entries: &mut Entries,
    ) -> Result<bool, Failure> {
        let next = revision();
        let put = self
            .client
            .put_item()
            .table_name(&self.table)
            .set_item(Some(key(&set_pk(set), ENTRIES)))
            .item(
                "networks",
                AttributeValue::B(Blob::new(pack(&entries.networks))),
            )
            .item("revision", number(next));
        let put = match entries.revision {
            None => put.condition_expression("attribute_not_exists(revision)"),
            Some(revision) => put
                .condition_expression("revision = :revision")
                .expression_attribute_values(":revision", number(revision)),
        };
        match put.send().await {
            Ok(_) => {
                entries.revision = Some(next);
                Ok(true)
            }
            Err(error) if condition_failed(&error) => Ok(false),
            Err(error) => Err(Failure::aws("dynamodb:PutItem", &error)),
        }
    }

    fn update(&self, set: &IpSetArn) -> UpdateItemFluentBuilder {
        self.client
            .update_item()
            .table_name(&self.table)
            .set_key(Some(key(&set_pk(set), WRITER)))
    }
}

/// Makes an update that others may have gone beyond already.
async fn unless_late(update: UpdateItemFluentBuilder) -> Result<(), Failure> {
    match update.send().await {
        Ok(_) => Ok(()),
        Err(error) if condition_failed(&error) => Ok(()),
        Err(error) => Err(Failure::aws("dynamodb:UpdateItem", &error)),
    }
}

fn note(known: &mut HashMap<Network, Known>, item: &Item) {
    let (pk, sk) = (text_of(item, "pk"), text_of(item, "sk"));
    let is_last = pk.is_some_and(|pk| pk.starts_with(LAST));
    let network = if is_last {
        pk.and_then(|pk| pk.strip_prefix(LAST))
    } else {
        sk
    };
    let network = network.and_then(|network| network.parse().ok());
    if let Some((network, known)) =
        network.and_then(|network| Some((network, known.get_mut(&network)?)))
    {
        let block = Some(Block::read(network, item));
        if is_last {
            known.last = block;
        } else {
            known.block = block;
        }
    }
}

/// Each network by the bytes of its address and its length, which tells which kind it is of: text
/// would not fit into an item.
fn pack(networks: &BTreeSet<Network>) -> Vec<u8> {
    let mut packed = Vec::new();
    for network in networks {
        match network.address() {
            IpAddr::V4(address) => {
                packed.push(4);
                packed.extend(address.octets());
            }
            IpAddr::V6(address) => {
                packed.push(6);
                packed.extend(address.octets());
            }
        }
        packed.push(network.net().prefix_len());
    }
    packed
}

fn unpack(mut packed: &[u8]) -> BTreeSet<Network> {
    let mut networks = BTreeSet::new();
    while let Some((network, rest)) = first_packed(packed) {
        networks.insert(network);
        packed = rest;
    }
    networks
}

fn first_packed(packed: &[u8]) -> Option<(Network, &[u8])> {
    let (kind, rest) = packed.split_first()?;
    let (address, rest) = if *kind == 4 {
        let (address, rest) = rest.split_first_chunk::<4>()?;
        (IpAddr::V4(Ipv4Addr::from(*address)), rest)
    } else {
        let (address, rest) = rest.split_first_chunk::<16>()?;
        (IpAddr::V6(Ipv6Addr::from(*address)), rest)
    };
    let (length, rest) = rest.split_first()?;
    Some((format!("{address}/{length}").parse().ok()?, rest))
}

fn number(value: impl Display) -> AttributeValue {
    AttributeValue::N(value.to_string())
}

fn number_of<T: std::str::FromStr>(item: &Item, name: &str) -> Option<T> {
    item.get(name)?.as_n().ok()?.parse().ok()
}

/// A number that no other write comes by: one that was counted would come back with a block that was
/// deleted.
fn revision() -> u64 {
    RandomState::new().hash_one(())
}

fn blocks_pk(family: Family) -> &'static str {
    match family {
        Family::V4 => "block#v4",
        Family::V6 => "block#v6",
    }
}

fn block_key(network: &Network) -> Item {
    key(blocks_pk(network.family()), &network.to_string())
}

const LAST: &str = "block#last#";

fn last_key(network: &Network) -> Item {
    key(&format!("{LAST}{network}"), "last")
}

fn set_pk(set: &IpSetArn) -> String {
    format!("block#set#{set}")
}

#[cfg(test)]
mod tests {
    use aws_sdk_dynamodb::{
        error::ErrorMetadata,
        operation::{
            batch_get_item::BatchGetItemOutput,
            delete_item::{DeleteItemError, DeleteItemOutput},
            get_item::GetItemOutput,
            put_item::{PutItemError, PutItemOutput},
            query::{QueryError, QueryOutput},
            update_item::{UpdateItemError, UpdateItemOutput},
        },
    };
    use aws_smithy_mocks::{Rule, RuleMode, mock, mock_client};

    use super::*;

    const NOW: &str = "2026-11-25T03:00:00Z";

    fn ledger(rules: &[&Rule]) -> Ledger {
        Ledger::new(
            mock_client!(aws_sdk_dynamodb, RuleMode::Sequential, rules),
            "ledger",
        )
    }

    fn set() -> IpSetArn {
        let arn = "arn:aws:wafv2:eu-west-1:123456789012:regional/ipset/blocked/id";
        arn.parse().unwrap()
    }

    fn now() -> Timestamp {
        NOW.parse().unwrap()
    }

    fn block() -> Block {
        let mut block = Block::new("203.0.113.7".parse().unwrap(), now());
        block.asks = BTreeMap::from([
            ("i-1".to_owned(), now() + SignedDuration::from_hours(1)),
            ("i-2".to_owned(), now() + SignedDuration::from_hours(2)),
        ]);
        block
    }

    fn too_late() -> ErrorMetadata {
        ErrorMetadata::builder()
            .code("ConditionalCheckFailedException")
            .build()
    }

    fn denied() -> ErrorMetadata {
        ErrorMetadata::builder()
            .code("AccessDeniedException")
            .build()
    }

    #[test]
    fn a_block_lasts_as_long_as_its_last_ask_and_is_remembered_for_30_days() {
        let block = block();
        let end = now() + SignedDuration::from_hours(2);
        let a_second = SignedDuration::from_secs(1);
        assert_eq!(block.until(), end);
        assert!(block.is_live(end - a_second) && !block.is_live(end));
        let forgotten = end + MEMORY;
        assert!(block.is_remembered(forgotten - a_second) && !block.is_remembered(forgotten));
        assert!(block.is_asked_by(&"i-1".parse().unwrap()));
        assert!(!block.is_asked_by(&"i-3".parse().unwrap()));
        let nobody = Block::new(block.network, now());
        assert!(!nobody.is_live(now()));
        // Nobody makes the ledger fail by writing the end of time into it.
        let mut endless = block.clone();
        endless.asks.insert("i-3".to_owned(), Timestamp::MAX);
        assert!(endless.is_remembered(now()));
    }

    #[test]
    fn a_block_is_read_as_it_was_written() {
        let block = block();
        let item = block.item(block_key(&block.network));
        assert_eq!(text_of(&item, "pk"), Some("block#v4"));
        assert_eq!(text_of(&item, "sk"), Some("203.0.113.7/32"));
        assert_eq!(text_of(&item, "until"), Some("2026-11-25T05:00:00Z"));
        assert_eq!(number_of(&item, "expiresAt"), Some(1_798_174_800));
        let read = Block::read(block.network, &item);
        assert!(read.revision.is_some());
        assert_eq!(
            Block {
                revision: None,
                ..read
            },
            block
        );
        let again = block.item(block_key(&block.network));
        assert_ne!(item["revision"], again["revision"]);
    }

    #[test]
    fn what_is_not_readable_in_a_block_is_left_out() {
        let network = "203.0.113.7".parse().unwrap();
        let read = Block::read(network, &Item::new());
        assert!(!read.is_live(now()));
        let asks = HashMap::from([
            ("i-1".to_owned(), text("tomorrow")),
            ("i-2".to_owned(), text(NOW)),
        ]);
        let item = Item::from([("asks".to_owned(), AttributeValue::M(asks))]);
        assert_eq!(Block::read(network, &item).until(), now());
    }

    #[test]
    fn as_many_networks_as_two_full_sets_fit_into_one_item() {
        let address = |n: u128| IpAddr::V6((u128::from(Ipv6Addr::LOCALHOST) << 90 | n).into());
        let networks: BTreeSet<Network> = (0..20_000)
            .map(|n| format!("{}/128", address(n)).parse().unwrap())
            .chain(["203.0.0.0/16".parse().unwrap()])
            .collect();
        let packed = pack(&networks);
        assert!(packed.len() < 400 * 1024 - 1024);
        assert_eq!(unpack(&packed), networks);
        // What is cut off is not ours.
        assert_eq!(unpack(&packed[..packed.len() - 1]).len(), 20_000);
        assert!(unpack(&[4, 203]).is_empty());
    }

    #[tokio::test]
    async fn the_first_write_of_a_block_finds_none_there_and_every_other_the_one_it_read() {
        let written = |condition: &'static str| {
            mock!(aws_sdk_dynamodb::Client::put_item)
                .match_requests(move |request| request.condition_expression() == Some(condition))
                .then_output(|| PutItemOutput::builder().build())
        };
        let (first, second) = (
            written("attribute_not_exists(revision)"),
            written("revision = :revision"),
        );
        let late = mock!(aws_sdk_dynamodb::Client::put_item)
            .then_error(|| PutItemError::generic(too_late()));
        let ledger = ledger(&[&first, &second, &late]);
        let block = block();
        assert!(ledger.put_block(&block).await.unwrap());
        let read = Block::read(block.network, &block.item(Item::new()));
        assert!(ledger.put_block(&read).await.unwrap());
        assert!(!ledger.put_block(&read.anew(now())).await.unwrap());
    }

    #[tokio::test]
    async fn a_block_that_has_changed_is_not_deleted() {
        let deleted = mock!(aws_sdk_dynamodb::Client::delete_item)
            .match_requests(|request| {
                request.condition_expression() == Some("revision = :revision")
            })
            .then_output(|| DeleteItemOutput::builder().build());
        let late = mock!(aws_sdk_dynamodb::Client::delete_item)
            .then_error(|| DeleteItemError::generic(too_late()));
        let ledger = ledger(&[&deleted, &late]);
        let read = Block::read(block().network, &block().item(Item::new()));
        assert!(ledger.drop_block(&read).await.unwrap());
        assert!(!ledger.drop_block(&read).await.unwrap());
    }

    #[tokio::test]
    async fn of_two_ended_blocks_the_later_is_remembered() {
        let remembered = mock!(aws_sdk_dynamodb::Client::put_item)
            .match_requests(|request| {
                let item = request.item().unwrap();
                request.condition_expression()
                    == Some("attribute_not_exists(expiresAt) OR expiresAt <= :expiresAt")
                    && request.expression_attribute_values().unwrap()[":expiresAt"]
                        == item["expiresAt"]
                    && item["pk"] == text("block#last#203.0.113.7/32")
            })
            .then_output(|| PutItemOutput::builder().build());
        let earlier = mock!(aws_sdk_dynamodb::Client::put_item)
            .then_error(|| PutItemError::generic(too_late()));
        let ledger = ledger(&[&remembered, &earlier]);
        for _ in 0..2 {
            ledger.remember_block(&block()).await.unwrap();
        }
    }

    #[tokio::test]
    async fn every_page_of_blocks_is_read_and_what_is_no_network_is_left_out() {
        let page = |sk: &'static str, next: Option<Item>| {
            mock!(aws_sdk_dynamodb::Client::query)
                .match_requests(|request| {
                    request.consistent_read() == Some(true)
                        && request.expression_attribute_values().unwrap()[":pk"] == text("block#v6")
                })
                .then_output(move || {
                    QueryOutput::builder()
                        .items(key("block#v6", sk))
                        .set_last_evaluated_key(next.clone())
                        .build()
                })
        };
        let pages = [
            page("2001:db8::/64", Some(key("block#v6", "2001:db8::/64"))),
            page("eve", Some(key("block#v6", "eve"))),
            page("2001:db8:1::/64", None),
        ];
        let blocks = ledger(&pages.each_ref()).blocks(Family::V6).await.unwrap();
        let networks: Vec<_> = blocks.iter().map(|it| it.network.to_string()).collect();
        assert_eq!(networks, ["2001:db8::/64", "2001:db8:1::/64"]);
        let refused =
            mock!(aws_sdk_dynamodb::Client::query).then_error(|| QueryError::generic(denied()));
        let failure = ledger(&[&refused]).blocks(Family::V4).await.unwrap_err();
        assert_eq!(failure.name(), "AccessDenied");
    }

    #[tokio::test]
    async fn a_network_is_known_by_its_block_and_the_one_before() {
        let network = block().network;
        let found = |item: Item, left: Option<Item>| {
            mock!(aws_sdk_dynamodb::Client::batch_get_item).then_output(move || {
                let left = left.clone().map(|key| {
                    let left = KeysAndAttributes::builder().keys(key).build().unwrap();
                    HashMap::from([("ledger".to_owned(), left)])
                });
                BatchGetItemOutput::builder()
                    .responses("ledger", vec![item.clone()])
                    .set_unprocessed_keys(left)
                    .build()
            })
        };
        let first = found(block().item(block_key(&network)), Some(last_key(&network)));
        let second = found(block().item(last_key(&network)), None);
        let mut known = ledger(&[&first, &second]).known(&[network]).await.unwrap();
        let known = known.remove(&network).unwrap();
        assert_eq!(known.block.unwrap().asks, block().asks);
        assert_eq!(known.last.unwrap().asks, block().asks);
        let never = mock!(aws_sdk_dynamodb::Client::batch_get_item)
            .sequence()
            .output(move || {
                let left = KeysAndAttributes::builder()
                    .keys(last_key(&network))
                    .build();
                BatchGetItemOutput::builder()
                    .unprocessed_keys("ledger", left.unwrap())
                    .build()
            })
            .repeatedly()
            .build();
        let failure = ledger(&[&never]).known(&[network]).await.unwrap_err();
        assert_eq!(failure.name(), "Transient");
        assert_eq!(never.num_calls(), 5);
    }

    #[tokio::test]
    async fn the_lease_on_a_set_is_one_runs_until_it_ends() {
        let taken = mock!(aws_sdk_dynamodb::Client::update_item)
            .match_requests(|request| {
                let values = request.expression_attribute_values().unwrap();
                request.condition_expression()
                    == Some("attribute_not_exists(holder) OR holder = :holder OR leaseUntil < :now")
                    && values[":now"] == number(1_795_575_600_000_i64)
                    && values[":until"] == number(1_795_575_620_000_i64)
            })
            .then_output(|| {
                let state = Item::from([
                    ("requested".to_owned(), number(7)),
                    ("applied".to_owned(), number(5)),
                    ("refused".to_owned(), number(6)),
                    ("refusedAs".to_owned(), text("AccessDenied")),
                    ("refusal".to_owned(), text("no")),
                    ("holder".to_owned(), text("run")),
                    ("leaseUntil".to_owned(), number(1_795_575_620_000_i64)),
                    ("writtenAt".to_owned(), text(NOW)),
                    ("entries".to_owned(), number(10)),
                    ("displaced".to_owned(), number(1)),
                ]);
                UpdateItemOutput::builder()
                    .set_attributes(Some(state))
                    .build()
            });
        let held = mock!(aws_sdk_dynamodb::Client::update_item)
            .then_error(|| UpdateItemError::generic(too_late()));
        let refused = mock!(aws_sdk_dynamodb::Client::update_item)
            .then_error(|| UpdateItemError::generic(denied()));
        let ledger = ledger(&[&taken, &held, &refused]);
        let (set, until) = (set(), now() + SignedDuration::from_secs(20));
        let state = ledger.lease(&set, "run", now(), until).await.unwrap();
        let state = state.unwrap();
        let expected = SetState {
            requested: 7,
            applied: 5,
            refused: Some((6, Failure::AccessDenied("no".to_owned()))),
            lease: Some(("run".to_owned(), until)),
            written_at: Some(now()),
            fill: Fill {
                entries: 10,
                displaced: 1,
            },
        };
        assert_eq!(state, expected);
        assert!(state.is_held(until) && !state.is_held(until + SignedDuration::from_millis(1)));
        let taken = ledger.lease(&set, "other", now(), until).await.unwrap();
        assert_eq!(taken, None);
        let failure = ledger.lease(&set, "run", now(), until).await.unwrap_err();
        assert_eq!(failure.name(), "AccessDenied");
    }

    #[tokio::test]
    async fn what_others_recorded_later_stands() {
        let updated = |expression: &'static str, condition: &'static str| {
            mock!(aws_sdk_dynamodb::Client::update_item)
                .match_requests(move |request| {
                    request.update_expression() == Some(expression)
                        && request.condition_expression() == Some(condition)
                })
                .then_error(|| UpdateItemError::generic(too_late()))
        };
        let applied = "attribute_not_exists(applied) OR applied <= :request";
        let filled = "SET applied = :request, entries = :entries, displaced = :displaced";
        let rules = [
            updated(filled, applied),
            updated(
                "SET applied = :request, entries = :entries, displaced = :displaced, writtenAt = :at",
                applied,
            ),
            updated(
                "SET refused = :request, refusedAs = :name, refusal = :why",
                "attribute_not_exists(refused) OR refused <= :request",
            ),
            updated("REMOVE holder, leaseUntil", "holder = :holder"),
        ];
        let (ledger, set, fill) = (ledger(&rules.each_ref()), set(), Fill::default());
        ledger.applied(&set, 7, fill, None).await.unwrap();
        ledger.applied(&set, 7, fill, Some(now())).await.unwrap();
        let why = Failure::Rejected("no".to_owned());
        ledger.refused(&set, 7, &why).await.unwrap();
        ledger.end_lease(&set, "run").await.unwrap();
    }

    #[tokio::test]
    async fn each_run_that_asks_gets_a_number_of_its_own() {
        let asked = mock!(aws_sdk_dynamodb::Client::update_item)
            .match_requests(|request| request.update_expression() == Some("ADD requested :one"))
            .then_output(|| {
                UpdateItemOutput::builder()
                    .attributes("requested", number(8))
                    .build()
            });
        let nothing = mock!(aws_sdk_dynamodb::Client::get_item)
            .then_output(|| GetItemOutput::builder().build());
        let ledger = ledger(&[&asked, &nothing]);
        assert_eq!(ledger.request(&set()).await.unwrap().requested, 8);
        assert_eq!(ledger.set_state(&set()).await.unwrap(), SetState::default());
    }

    #[tokio::test]
    async fn the_entries_of_a_set_are_recorded_unless_another_run_has() {
        let nothing = mock!(aws_sdk_dynamodb::Client::get_item)
            .match_requests(|request| request.consistent_read() == Some(true))
            .then_output(|| GetItemOutput::builder().build());
        let recorded = |condition: &'static str| {
            mock!(aws_sdk_dynamodb::Client::put_item)
                .match_requests(move |request| {
                    let packed = AttributeValue::B(Blob::new([4, 203, 0, 113, 7, 32]));
                    request.condition_expression() == Some(condition)
                        && request.item().unwrap()["networks"] == packed
                })
                .then_output(|| PutItemOutput::builder().build())
        };
        let first = recorded("attribute_not_exists(revision)");
        let second = recorded("revision = :revision");
        let late = mock!(aws_sdk_dynamodb::Client::put_item)
            .then_error(|| PutItemError::generic(too_late()));
        let ledger = ledger(&[&nothing, &first, &second, &late]);
        let mut entries = ledger.entries(&set()).await.unwrap();
        assert_eq!(entries, Entries::default());
        entries.networks.insert(block().network);
        for recorded in [true, true, false] {
            let put = ledger.put_entries(&set(), &mut entries).await;
            assert_eq!(put.unwrap(), recorded);
        }
    }
}
