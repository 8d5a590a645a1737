//! Lambda entry point of `roll-back-grant`; the worker itself is in `lib.rs`.

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), worker::Error> {
    worker::serve(roll_back_grant::RollBackGrant::from_env).await
}
