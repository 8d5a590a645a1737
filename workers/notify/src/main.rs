//! Lambda entry point of `notify`; the worker itself is in `lib.rs`.

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), worker::Error> {
    worker::serve(notify::Notify::from_env).await
}
