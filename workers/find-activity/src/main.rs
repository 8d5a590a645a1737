//! Lambda entry point of `find-activity`; the worker itself is in `lib.rs`.

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), worker::Error> {
    worker::serve(find_activity::FindActivity::from_env).await
}
