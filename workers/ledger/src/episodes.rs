//! Since when a trail is not as recorded, so that people are told once and reminded, not flooded.

use incident::TrailArn;
use serde::{Serialize, de::DeserializeOwned};
use worker::Failure;

use crate::{
    Ledger,
    item::{json_of, key, text},
};

const SK: &str = "episode";

impl Ledger {
    /// What `save_episode` saved last of a trail; none when no episode lasts.
    ///
    /// # Errors
    /// When the ledger cannot be read; [`Failure::Rejected`] when what it holds is no such episode.
    pub async fn episode<T: DeserializeOwned>(
        &self,
        trail: &TrailArn,
    ) -> Result<Option<T>, Failure> {
        let Some(item) = self.get(&pk(trail), SK).await? else {
            return Ok(None);
        };
        serde_json::from_value(json_of(&item, "episode")?)
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
        let json = serde_json::to_string(episode)
            .map_err(|error| Failure::Rejected(format!("the episode is not JSON: {error}")))?;
        let mut item = key(&pk(trail), SK);
        item.insert("episode".to_owned(), text(json));
        self.put(item).await
    }

    /// Ends the episode of a trail. Repeating it changes nothing.
    ///
    /// # Errors
    /// When the ledger cannot be written.
    pub async fn end_episode(&self, trail: &TrailArn) -> Result<(), Failure> {
        self.client
            .delete_item()
            .table_name(&self.table)
            .set_key(Some(key(&pk(trail), SK)))
            .send()
            .await
            .map(|_| ())
            .map_err(|error| Failure::aws("dynamodb:DeleteItem", &error))
    }
}

fn pk(trail: &TrailArn) -> String {
    format!("deviation#{trail}")
}
