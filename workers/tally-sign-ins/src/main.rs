//! Lambda entry point of `tally-sign-ins`; the worker itself is in `lib.rs`.

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), worker::Error> {
    worker::serve(tally_sign_ins::TallySignIns::from_env).await
}
