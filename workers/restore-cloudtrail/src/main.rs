//! Lambda entry point of `restore-cloudtrail`; the worker itself is in `lib.rs`.

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), worker::Error> {
    worker::serve(restore_cloudtrail::RestoreCloudTrail::from_env).await
}
