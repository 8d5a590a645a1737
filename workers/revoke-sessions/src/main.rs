//! Lambda entry point of `revoke-sessions`; the worker itself is in `lib.rs`.

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), worker::Error> {
    worker::serve(revoke_sessions::RevokeSessions::from_env).await
}
