//! Creating tables, and reporting problems with them.

use aws_sdk_dynamodb::Client;
use aws_sdk_dynamodb::config::{BehaviorVersion, Credentials, Region};
use aws_sdk_dynamodb::types::{
    AttributeDefinition, BillingMode, KeySchemaElement, KeyType, ScalarAttributeType, TimeToLiveSpecification,
};
use parlance_faults::dynamodb::Dynamodb;
use parlance_store::{Dynamo, DynamoOptions, StoreError, TableOptions};

/// A separate client that bypasses the store and the proxy.
pub(crate) async fn client(dynamodb: &Dynamodb) -> Client {
    let config = aws_sdk_dynamodb::Config::builder()
        .behavior_version(BehaviorVersion::v2026_01_12())
        .endpoint_url(dynamodb.direct_endpoint())
        .region(Region::from_static("local"))
        .credentials_provider(Credentials::new("local", "local", None, None, "test"))
        .http_client(aws_smithy_http_client::Builder::new().build_http());
    Client::from_conf(config.build())
}

#[tokio::test]
async fn tables_are_created_once_and_found_well() {
    let dynamodb = Dynamodb::start().unwrap();
    let store = Dynamo::connect(&DynamoOptions::emulator(dynamodb.endpoint())).await.unwrap();
    let missing = store.check_tables().await.unwrap().problems;
    assert_eq!(missing.len(), 4, "{missing:?}");
    assert!(missing.iter().all(|problem| problem.ends_with("is missing")), "{missing:?}");

    let tags = vec![("team".to_owned(), "chat".to_owned())];
    let options = TableOptions { deletion_protection: true, tags };
    let created = store.create_tables(&options).await.unwrap();
    assert_eq!(created.problems, Vec::<String>::new());
    assert!(created.notes.contains(&"parlance_messages created".to_owned()), "{created:?}");
    // The emulator has no backups, which must be reported: they are wanted of all tables, so that consumers of events
    // are restored with what they have not got.
    let missing = |warnings: &[String]| {
        let of =
            |table: &str| warnings.iter().any(|warning| warning.starts_with(&format!("parlance_{table}:")));
        ["users", "rooms", "messages", "user_rooms", "consumers"]
            .into_iter()
            .filter(|table| !of(table))
            .count()
    };
    assert_eq!((missing(&created.warnings), created.warnings.len()), (0, 5), "{created:?}");
    let again = store.create_tables(&options).await.unwrap();
    assert!(again.notes.contains(&"parlance_messages is there".to_owned()), "{again:?}");

    let report = store.check_tables().await.unwrap();
    assert_eq!(report.problems, Vec::<String>::new());
    assert_eq!((missing(&report.warnings), report.warnings.len()), (0, 5), "{report:?}");
    let client = client(&dynamodb).await;
    let messages = client.describe_table().table_name("parlance_messages").send().await.unwrap();
    let table = messages.table.unwrap();
    assert_eq!(table.deletion_protection_enabled, Some(true));
    assert_eq!(table.billing_mode_summary.unwrap().billing_mode, Some(BillingMode::PayPerRequest));
}

#[tokio::test]
async fn expiring_messages_and_wrong_keys_are_problems() {
    let dynamodb = Dynamodb::start().unwrap();
    let client = client(&dynamodb).await;
    let attribute = |name| {
        let kind = ScalarAttributeType::S;
        AttributeDefinition::builder().attribute_name(name).attribute_type(kind).build().unwrap()
    };
    let key = |name, kind| KeySchemaElement::builder().attribute_name(name).key_type(kind).build().unwrap();
    let wrong =
        client.create_table().table_name("parlance_messages").billing_mode(BillingMode::PayPerRequest);
    let wrong = wrong.attribute_definitions(attribute("room")).attribute_definitions(attribute("seq"));
    let wrong = wrong.key_schema(key("room", KeyType::Hash)).key_schema(key("seq", KeyType::Range));
    wrong.send().await.unwrap();
    let expiry = TimeToLiveSpecification::builder().enabled(true).attribute_name("t").build().unwrap();
    let expiry =
        client.update_time_to_live().table_name("parlance_messages").time_to_live_specification(expiry);
    expiry.send().await.unwrap();

    let store = Dynamo::connect(&DynamoOptions::emulator(dynamodb.endpoint())).await.unwrap();
    store.create_tables(&TableOptions::default()).await.unwrap();
    let problems = store.check_tables().await.unwrap().problems;
    assert_eq!(
        problems,
        [
            "parlance_messages: the keys are HASH room (S), RANGE seq (S), not HASH r (S), RANGE q (N)",
            "parlance_messages: items expire (time to live is on), which loses rooms",
        ]
    );
}

#[tokio::test]
async fn missing_tables_are_left_to_the_operator() {
    let dynamodb = Dynamodb::start().unwrap();
    let store = Dynamo::connect(&DynamoOptions::emulator(dynamodb.endpoint())).await.unwrap();
    let user = parlance_core::UserId::parse("somebody").unwrap();
    let Err(StoreError::Refused(why)) = parlance_store::UserStore::user(&store, &user).await else {
        panic!("there is an answer");
    };
    assert!(why.contains("ResourceNotFoundException"), "{why}");
}
