//! Lambda entry point of `restore-detection`; the worker itself is in `lib.rs`.

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), worker::Error> {
    worker::serve(restore_detection::RestoreDetection::from_env).await
}
