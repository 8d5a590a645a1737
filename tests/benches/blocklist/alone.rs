//! What blocking costs when nobody shares: every run reads the set and replaces it, and does so again
//! when it was too early or too late.

use std::{
    hash::{BuildHasher, RandomState},
    time::{Duration, Instant},
};

use aws_sdk_wafv2::{Client, types::Scope};
use tokio::{task::spawn_local, time::sleep};

use crate::{
    Figures,
    cloud::{Cloud, Set, code},
    range::error::{Error, Result},
};

/// As many runs at once, each for one address. A run that was too early or too late begins anew, as a
/// state machine has it do: after a second at most, then two, then four, up to fifteen, all at random.
pub(crate) async fn storm(cloud: &Cloud, runs: usize) -> Result<Figures> {
    let set = cloud.set("alone", &[]).await?;
    cloud.seen();
    let started = Instant::now();
    let mut tasks = Vec::new();
    for n in 0..runs {
        let (waf, set) = (cloud.waf_without_retries(), set.clone());
        tasks.push(spawn_local(async move {
            let mut again = 0;
            while let Err(code) = add(&waf, &set, &format!("203.3.0.{n}/32")).await {
                if !["ThrottlingException", "WAFOptimisticLockException"].contains(&&*code) {
                    return Err(code);
                }
                let longest = (1_000_u64 << again.min(4)).min(15_000);
                let random = RandomState::new().hash_one(n) % longest;
                sleep(Duration::from_millis(random)).await;
                again += 1;
            }
            Ok(again)
        }));
    }
    let mut again = 0;
    for task in tasks {
        again += task.await?.map_err(Error::new)?;
    }
    Ok(Figures {
        again,
        seen: cloud.seen(),
        took: started.elapsed(),
    })
}

/// Reads a set and replaces it by one with `entry`; the code that WAF answers otherwise.
async fn add(waf: &Client, set: &Set, entry: &str) -> std::result::Result<(), String> {
    let got = waf
        .get_ip_set()
        .name(&set.name)
        .id(&set.id)
        .scope(Scope::Regional)
        .send()
        .await
        .map_err(|error| code(&error))?;
    let addresses = got.ip_set.map(|set| set.addresses).unwrap_or_default();
    waf.update_ip_set()
        .name(&set.name)
        .id(&set.id)
        .scope(Scope::Regional)
        .set_lock_token(got.lock_token)
        .set_addresses(Some([addresses, vec![entry.to_owned()]].concat()))
        .send()
        .await
        .map_err(|error| code(&error))?;
    Ok(())
}
