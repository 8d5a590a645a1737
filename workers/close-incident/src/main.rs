//! Lambda entry point of `close-incident`; the worker itself is in `lib.rs`.

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), worker::Error> {
    worker::serve(close_incident::CloseIncident::from_env).await
}
