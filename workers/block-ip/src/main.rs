//! Lambda entry point of `block-ip`; the worker itself is in `lib.rs`.

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), worker::Error> {
    worker::serve(block_ip::BlockIp::from_env).await
}
