//! Lambda entry point of `find-readers`; the worker itself is in `lib.rs`.

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), worker::Error> {
    worker::serve(find_readers::FindReaders::from_env).await
}
