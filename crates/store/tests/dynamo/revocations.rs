//! Revoked tokens in tables that several nodes write to.

use crate::endpoint::faulty_dynamo;
use crate::revocation_contract as revocations;

#[tokio::test]
async fn revoked_tokens_are_listed() {
    let (store, _dynamodb) = faulty_dynamo().await;
    revocations::lives_of_tokens_only_grow(&store).await;
    revocations::revocations_are_read_in_order_from_any_place(&store).await;
    revocations::concurrent_revocations_are_all_stored(&store).await;
    revocations::readers_miss_nothing_of_a_trimmed_list(&store).await;
}
