//! What the heartbeat knows of a trail from before: since when it is not as recorded, so that people
//! are told once and reminded, not flooded; and what one heartbeat leaves for the next.

use incident::TrailArn;
use serde::{Serialize, de::DeserializeOwned};
use worker::Failure;

use crate::{
    Ledger,
    item::{json_of, key, text},
};

const EPISODE: &str = "episode";
const HEARTBEAT: &str = "heartbeat";

impl Ledger {
    /// What `save_episode` saved last of a trail; none when no episode lasts.
    ///
    /// # Errors
    /// When the ledger cannot be read; [`Failure::Rejected`] when what it holds is no such episode.
    pub async fn episode<T: DeserializeOwned>(
        &self,
        trail: &TrailArn,
    ) -> Result<Option<T>, Failure> {
        let Some(item) = self.get(&pk(trail), EPISODE).await? else {
            return Ok(None);
        };
        serde_json::from_value(json_of(&item, EPISODE)?)
            .map(Some)
            .map_err(|error| Failure::Rejected(format!("the episode is not readable: {error}")))
    }

    /// Begins an episode of a trail, or replaces what is known of the one that lasts.
    ///
    /// # Errors
    /// When the ledger cannot be written.
    pub async fn save_episode<T: Serialize>(
        &self,
        trail: &TrailArn,
        episode: &T,
    ) -> Result<(), Failure> {
        self.save(trail, EPISODE, episode).await
    }

    /// Ends the episode of a trail. Repeating it changes nothing.
    ///
    /// # Errors
    /// When the ledger cannot be written.
    pub async fn end_episode(&self, trail: &TrailArn) -> Result<(), Failure> {
        self.client
            .delete_item()
            .table_name(&self.table)
            .set_key(Some(key(&pk(trail), EPISODE)))
            .send()
            .await
            .map(|_| ())
            .map_err(|error| Failure::aws("dynamodb:DeleteItem", &error))
    }

    /// What `save_heartbeat` saved last of a trail; none when there is none, or none that is
    /// readable.
    ///
    /// # Errors
    /// When the ledger cannot be read.
    pub async fn heartbeat<T: DeserializeOwned>(
        &self,
        trail: &TrailArn,
    ) -> Result<Option<T>, Failure> {
        let item = self.get(&pk(trail), HEARTBEAT).await?;
        Ok(item.and_then(|item| serde_json::from_value(json_of(&item, HEARTBEAT).ok()?).ok()))
    }

    /// Leaves something of a trail for the next heartbeat.
    ///
    /// # Errors
    /// When the ledger cannot be written.
    pub async fn save_heartbeat<T: Serialize>(
        &self,
        trail: &TrailArn,
        heartbeat: &T,
    ) -> Result<(), Failure> {
        self.save(trail, HEARTBEAT, heartbeat).await
    }

    async fn save<T: Serialize>(
        &self,
        trail: &TrailArn,
        what: &'static str,
        value: &T,
    ) -> Result<(), Failure> {
        let json = serde_json::to_string(value)
            .map_err(|error| Failure::Rejected(format!("the {what} is not JSON: {error}")))?;
        let mut item = key(&pk(trail), what);
        item.insert(what.to_owned(), text(json));
        self.put(item).await
    }
}

fn pk(trail: &TrailArn) -> String {
    format!("deviation#{trail}")
}
