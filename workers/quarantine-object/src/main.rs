//! Lambda entry point of `quarantine-object`; the worker itself is in `lib.rs`.

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), worker::Error> {
    worker::serve(quarantine_object::QuarantineObject::from_env).await
}
