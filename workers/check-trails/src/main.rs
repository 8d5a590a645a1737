//! Lambda entry point of `check-trails`; the worker itself is in `lib.rs`.

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), worker::Error> {
    worker::serve(check_trails::CheckTrails::from_env).await
}
