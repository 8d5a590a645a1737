//! Lambda entry point of `restore-log-archive`; the worker itself is in `lib.rs`.

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), worker::Error> {
    worker::serve(restore_log_archive::RestoreLogArchive::from_env).await
}
