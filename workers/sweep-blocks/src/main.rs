//! Lambda entry point of `sweep-blocks`; the worker itself is in `lib.rs`.

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), worker::Error> {
    worker::serve(sweep_blocks::SweepBlocks::from_env).await
}
