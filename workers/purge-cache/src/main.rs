//! Lambda entry point of `purge-cache`; the worker itself is in `lib.rs`.

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), worker::Error> {
    worker::serve(purge_cache::PurgeCache::from_env).await
}
