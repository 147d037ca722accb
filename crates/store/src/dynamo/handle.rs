use std::sync::Arc;

use aws_sdk_dynamodb::Client;
use tokio::sync::OnceCell;

use super::names::Names;
use super::options::DynamoOptions;
use super::units;
use crate::error::StoreError;
use crate::identity::Identity;

/// The tables on DynamoDB. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Dynamo {
    pub(super) client: Client,
    pub(super) streams: aws_sdk_dynamodbstreams::Client,
    pub(super) tables: Names,
    /// Once it is settled; see [`Self::settled`].
    pub(super) identity: Arc<OnceCell<Identity>>,
}

impl Dynamo {
    /// A store in the tables named by `options`. Sends nothing to the service yet:
    /// [`Self::check_tables`] does.
    ///
    /// # Errors
    /// [`StoreError::Refused`] if the settings lack a region.
    pub async fn connect(options: &DynamoOptions) -> Result<Self, StoreError> {
        units::describe();
        let (client, streams) = Box::pin(options.clients()).await?;
        Ok(Self { client, streams, tables: Names::new(&options.table_prefix), identity: Arc::default() })
    }

    /// The store's identity, which is settled at the first use: whoever reads a room needs its epoch.
    pub(super) async fn settled(&self) -> Result<&Identity, StoreError> {
        self.identity.get_or_try_init(|| Box::pin(self.settle_identity())).await
    }
}
