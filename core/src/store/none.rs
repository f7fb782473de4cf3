//! `keyrole_store = none`: nothing is kept, every `get` asks AWS.

use super::{SecretStore, StoreError};
use crate::secret::SecretBytes;
use std::time::Duration;

pub struct Nowhere;

impl SecretStore for Nowhere {
    fn label(&self) -> &'static str {
        "none"
    }

    fn get(&self, _name: &str) -> Result<Option<SecretBytes>, StoreError> {
        Ok(None)
    }

    fn set(&self, _name: &str, _secret: &[u8], _ttl: Duration) -> Result<(), StoreError> {
        Ok(())
    }

    fn delete(&self, _name: &str) -> Result<bool, StoreError> {
        Ok(false)
    }

    fn probe(&self) -> Result<(), StoreError> {
        Err(StoreError::Unavailable("`keyrole_store` or `KEYROLE_STORE` is `none`".to_owned()))
    }

    fn names(&self) -> Result<Vec<String>, StoreError> {
        Ok(Vec::new())
    }
}
