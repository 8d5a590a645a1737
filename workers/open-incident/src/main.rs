//! Lambda entry point of `open-incident`; the worker itself is in `lib.rs`.

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), worker::Error> {
    worker::serve(open_incident::OpenIncident::from_env).await
}
