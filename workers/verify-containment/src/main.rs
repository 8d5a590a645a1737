//! Lambda entry point of `verify-containment`; the worker itself is in `lib.rs`.

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), worker::Error> {
    worker::serve(verify_containment::VerifyContainment::from_env).await
}
