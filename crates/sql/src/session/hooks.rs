//! What functions of expressions may ask their session.

use std::sync::{Arc, Mutex, PoisonError};

use expr::{Datum, Hooks, SettingScope, SqlError};
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha12Rng;

use super::Shared;
use crate::{database::Database, parse::SetScope};

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

    fn set_setting(
        &self,
        name: &str,
        value: &str,
        local: SettingScope,
    ) -> Result<String, SqlError> {
        let scope = match local {
            SettingScope::Session => SetScope::Session,
            SettingScope::Transaction => SetScope::Local,
        };
        self.shared.with_settings(|settings| settings.set(scope, name, value))
    }

    fn go_on(&self) -> Result<(), SqlError> {
        self.shared.go_on()
    }

    fn call(&self, name: &str, _args: &[Datum]) -> Result<Datum, SqlError> {
        Err(SqlError::unsupported(format!("function {name} at this place")))
    }
}
