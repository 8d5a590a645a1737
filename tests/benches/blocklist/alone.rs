//! What blocking costs when nobody shares: every run reads the set and replaces it, and does so again
//! when it was too early or too late.

use std::{
    cell::Cell,
    rc::Rc,
    time::{Duration, Instant},
};

use aws_sdk_wafv2::{Client, config::retry::RetryConfig, types::Scope};
use tokio::{task::spawn_local, time::sleep};

use crate::{
    Figures,
    cloud::{Cloud, Set, code},
    range::error::{Error, Result},
};

/// As many runs at once, each for one address.
pub(crate) async fn storm(cloud: &Cloud, runs: usize) -> Result<Figures> {
    let set = cloud.set("alone", &[]).await?;
    cloud.calls();
    let started = Instant::now();
    let again = Rc::new(Cell::new(0));
    let mut tasks = Vec::new();
    for n in 0..runs {
        let (waf, set, again) = (cloud.waf(), set.clone(), Rc::clone(&again));
        tasks.push(spawn_local(async move {
            // As the SDK's own backoff: a second and more, twice as long each time, at random.
            let mut pause = 1_000;
            while let Err(code) = add(&waf, &set, &format!("203.3.0.{n}/32")).await {
                if !passes(&code) {
                    return Err(code);
                }
                again.set(again.get() + 1);
                let random = u64::from(Instant::now().elapsed().subsec_nanos()) * 7_919;
                sleep(Duration::from_millis((random + n as u64 * 131) % pause)).await;
                pause = (pause * 2).min(20_000);
            }
            Ok(())
        }));
    }
    for task in tasks {
        task.await?.map_err(Error::new)?;
    }
    Ok(Figures {
        again: again.get(),
        calls: cloud.calls(),
        took: started.elapsed(),
    })
}

/// Reads a set and replaces it by one with `entry`; the code that WAF answers otherwise.
pub(crate) async fn add(waf: &Client, set: &Set, entry: &str) -> std::result::Result<(), String> {
    let once = aws_sdk_wafv2::Config::builder().retry_config(RetryConfig::disabled());
    let got = waf
        .get_ip_set()
        .name(&set.name)
        .id(&set.id)
        .scope(Scope::Regional)
        .customize()
        .config_override(once.clone())
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
        .customize()
        .config_override(once)
        .send()
        .await
        .map_err(|error| code(&error))?;
    Ok(())
}

/// Whether it is worthwhile to try again.
pub(crate) fn passes(code: &str) -> bool {
    ["ThrottlingException", "WAFOptimisticLockException"].contains(&code)
}
