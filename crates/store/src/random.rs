use ring::rand::{SecureRandom, SystemRandom};

use crate::error::StoreError;

/// Unpredictable bytes.
pub(crate) fn random<const N: usize>() -> Result<[u8; N], StoreError> {
    let mut bytes = [0; N];
    let unavailable = |_| StoreError::Failed("the operating system has no random bytes".into());
    SystemRandom::new().fill(&mut bytes).map_err(unavailable)?;
    Ok(bytes)
}
