//! Lambda entry point of `find-offenders`; the worker itself is in `lib.rs`.

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), worker::Error> {
    worker::serve(find_offenders::FindOffenders::from_env).await
}
