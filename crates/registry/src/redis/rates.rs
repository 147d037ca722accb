use std::time::Duration;

use async_trait::async_trait;
use fred::types::Value;
use parlance_runtime::rate::Rate;

use super::{Redis, unavailable};
use crate::{Rates, RegistryError, Taken};

#[async_trait]
impl Rates for Redis {
    async fn take(&self, key: &str, permits: u32, rate: Rate) -> Result<Taken, RegistryError> {
        let registry = &self.registry;
        let link = registry.link()?;
        let micros = |time: Duration| Value::from(time.as_micros().to_string());
        let args = vec![micros(rate.interval()), micros(rate.ahead()), Value::from(permits.to_string())];
        let answer = link.run(&registry.scripts.take, vec![registry.keys.rate(key)], args).await;
        let wait = answer.map_err(unavailable)?.into_string().and_then(|wait| wait.parse().ok());
        match wait.ok_or(RegistryError::Unavailable)? {
            0 => Ok(Ok(())),
            wait => Ok(Err(Duration::from_micros(wait))),
        }
    }
}
