use parlance_core::{DefaultPermissions, Permissions};
use parlance_proto::{convert, v1};

use parlance_sessions::contract_limits;

use crate::Api;
use crate::rules::ShownTo;

impl Api {
    /// Public information about the server.
    pub(crate) fn get_server(&self) -> v1::GetServerResponse {
        let sign_in = if self.auth().is_local() { v1::SignIn::Name } else { v1::SignIn::Token };
        let (own, DefaultPermissions { group, channel }) = (Permissions::default(), self.parts.permissions);
        v1::GetServerResponse {
            version: env!("CARGO_PKG_VERSION").to_owned(),
            sign_in: sign_in.into(),
            limits: Some(contract_limits()),
            server_time: Some(convert::timestamp(self.clock().now())),
            image_origins: self.parts.image_origins.clone(),
            open_profiles: self.parts.profiles.are_open(),
            open_presence: self.parts.profiles.presence == ShownTo::Everyone,
            default_permissions: Some(v1::DefaultPermissions {
                group: convert::permissions(&own.in_force(&group)),
                channel: convert::permissions(&own.in_force(&channel)),
            }),
        }
    }
}
