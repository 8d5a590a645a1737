//! Lambda entry point of `record-baseline`; the worker itself is in `lib.rs`.

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), worker::Error> {
    worker::serve(record_baseline::RecordBaseline::from_env).await
}
