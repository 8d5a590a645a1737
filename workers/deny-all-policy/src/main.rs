//! Lambda entry point of `deny-all-policy`; the worker itself is in `lib.rs`.

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), worker::Error> {
    worker::serve(deny_all_policy::DenyAllPolicy::from_env).await
}
