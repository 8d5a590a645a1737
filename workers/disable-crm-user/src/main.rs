//! Lambda entry point of `disable-crm-user`; the worker itself is in `lib.rs`.

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), worker::Error> {
    worker::serve(disable_crm_user::DisableCrmUser::from_env).await
}
