//! What functions of expressions may ask their session.

use std::sync::{Arc, Mutex, PoisonError};

use expr::{Datum, Hooks, SettingScope, SqlError};
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha12Rng;

use super::{Shared, settings};
use crate::database::Database;

/// The hooks of one session.
#[derive(Debug)]
pub struct SessionHooks {
    database: Database,
    shared: Arc<Shared>,
    /// Seeded from the node's seed and the session's number.
    random: Mutex<ChaCha12Rng>,
}

impl SessionHooks {
    /// Of this session.
    pub fn new(database: Database, shared: Arc<Shared>) -> SessionHooks {
        let node = u64::from(database.0.cluster.node_id().0);
        let session = u64::from(shared.pid.cast_unsigned());
        let seed = database.0.config.seed ^ (node << 48) ^ session.wrapping_mul(0x9e37_79b9);
        SessionHooks { database, shared, random: Mutex::new(ChaCha12Rng::seed_from_u64(seed)) }
    }
}

impl Hooks for SessionHooks {
    fn clock_timestamp(&self) -> i64 {
        self.database.micros()
    }

    fn random(&self) -> u64 {
        self.random.lock().unwrap_or_else(PoisonError::into_inner).next_u64()
    }

    fn setting(&self, name: &str) -> Option<String> {
        self.shared.with_settings(|settings| settings.get(name).map(str::to_owned))
    }

    /// A setting changed by a function holds for the session, also where the transaction's scope was
    /// asked for: that is refused.
    fn set_setting(
        &self,
        name: &str,
        value: &str,
        local: SettingScope,
    ) -> Result<String, SqlError> {
        if local == SettingScope::Transaction {
            return Err(SqlError::unsupported("set_config with is_local"));
        }
        let value = self.shared.with_settings(|settings| settings.set(name, value))?;
        if let Some(name) = settings::reported_name(name) {
            self.shared.note_change(name, &value);
        }
        Ok(value)
    }

    fn call(&self, name: &str, _args: &[Datum]) -> Result<Datum, SqlError> {
        Err(SqlError::unsupported(format!("function {name} at this place")))
    }
}
