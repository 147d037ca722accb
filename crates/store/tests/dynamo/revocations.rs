//! Revoked tokens in tables that several nodes write to.

use crate::endpoint::faulty_dynamo;
use crate::revocation_contract as revocations;

#[tokio::test]
async fn revoked_tokens_are_listed() {
    let (store, _dynamodb) = faulty_dynamo().await;
    revocations::what_was_revoked_is_read_in_order_from_any_place(&store).await;
    revocations::what_is_revoked_at_the_same_time_is_all_there(&store).await;
}
