//! Lambda entry point of `find-sessions`; the worker itself is in `lib.rs`.

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), worker::Error> {
    worker::serve(find_sessions::FindSessions::from_env).await
}
