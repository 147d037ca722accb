//! Options that are one of several names.

use clap::ValueEnum;
use serde::{Deserialize, Serialize};

/// On or off.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum OnOff {
    /// Yes.
    On,
    /// No.
    Off,
}

/// Who sees profiles or presence.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ShownName {
    /// Every user.
    Everyone,
    /// Those who share a room.
    SharedRooms,
}

/// What becomes of users whom strangers add to rooms.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum AdditionsName {
    /// They become members.
    Direct,
    /// They are invited.
    Invite,
}

/// The role of a process.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum RoleName {
    /// A node with every transport.
    All,
    /// A node behind bridges: gRPC and grpc-web only.
    Api,
    /// A bridge: WebSocket, REST and the web page, in front of nodes.
    Bridge,
    /// Delivers events to webhooks and Kafka, and serves no clients.
    Worker,
}

/// The storage of a node.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum StoreName {
    /// The data directory.
    Embedded,
    /// DynamoDB tables.
    Dynamodb,
}
