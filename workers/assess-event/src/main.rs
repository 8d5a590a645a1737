//! Lambda entry point of `assess-event`; the worker itself is in `lib.rs`.

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), worker::Error> {
    worker::serve(assess_event::AssessEvent::from_env).await
}
