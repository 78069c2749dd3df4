//! The schema as it is written, before it is known to make sense.

use std::{ops::RangeInclusive, time::Duration};

use ::node::FollowLoad;
use clock::{ClockModel, Offset, parse_duration};
use serde::{Deserialize, Deserializer, de::Error as _};
use toml::Spanned;

use super::{
    EngineKind,
    error::{ConfigError, Source},
};

/// A whole file.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct File {
    pub name: Option<String>,
    #[serde(default)]
    pub settings: Settings,
    #[serde(default)]
    pub clock: Clock,
    #[serde(default)]
    pub network: Network,
    #[serde(default)]
    pub region: Vec<Spanned<Region>>,
    #[serde(default)]
    pub link: Vec<Spanned<Link>>,
    pub node: Option<Node>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Settings {
    pub engine: Option<Engine>,
    pub lease: Option<Spanned<Span>>,
    pub retention: Option<Spanned<Span>>,
    pub close_lag: Option<Spanned<Span>>,
    pub clock_tolerance: Option<Spanned<Span>>,
    pub shards: Option<Spanned<usize>>,
    pub leaders: Option<Leaders>,
    pub cache_mib: Option<Spanned<usize>>,
    pub open_files: Option<Spanned<usize>>,
}

#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Leaders {
    Stay,
    Follow,
}

impl From<Leaders> for ::node::Leaders {
    fn from(leaders: Leaders) -> ::node::Leaders {
        match leaders {
            Leaders::Stay => ::node::Leaders::Stay,
            Leaders::Follow => ::node::Leaders::Follow(FollowLoad::default()),
        }
    }
}

#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Engine {
    RocksDb,
    Memory,
}

impl From<Engine> for EngineKind {
    fn from(engine: Engine) -> EngineKind {
        match engine {
            Engine::RocksDb => EngineKind::RocksDb,
            Engine::Memory => EngineKind::Memory,
        }
    }
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Clock {
    pub model: Option<Spanned<Model>>,
    pub offset: Option<TrueOffset>,
    #[serde(default)]
    pub r#override: Vec<ClockOverride>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct ClockOverride {
    pub node: Spanned<u32>,
    pub model: Option<Spanned<Model>>,
    pub offset: Option<TrueOffset>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Network {
    pub zone_rtt: Option<Spanned<Span>>,
    pub zone_jitter: Option<Spanned<Span>>,
    pub local_rtt: Option<Spanned<Span>>,
    pub bandwidth_mbit: Option<Spanned<u64>>,
    pub loss: Option<Spanned<f64>>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Region {
    pub name: Spanned<String>,
    pub zones: Option<Vec<Spanned<String>>>,
    pub nodes: Option<Spanned<usize>>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Link {
    pub between: Spanned<[Spanned<String>; 2]>,
    pub rtt: Spanned<Span>,
    pub jitter: Option<Spanned<Span>>,
    pub bandwidth_mbit: Option<Spanned<u64>>,
    pub loss: Option<Spanned<f64>>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Node {
    pub id: Option<Spanned<u32>>,
    pub region: Option<String>,
    pub zone: Option<String>,
    pub listen: Option<Spanned<String>>,
    pub advertise: Option<Spanned<String>>,
    pub sql_listen: Option<Spanned<String>>,
    pub data: Option<String>,
    pub join: Option<Vec<Spanned<String>>>,
}

/// A duration: `4ms`.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Span(pub Duration);

impl<'de> Deserialize<'de> for Span {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Span, D::Error> {
        let text = String::deserialize(deserializer)?;
        parse_duration(&text).map(Span).map_err(D::Error::custom)
    }
}

/// A model of a clock: `fixed(4ms)`.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Model(pub ClockModel);

impl<'de> Deserialize<'de> for Model {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Model, D::Error> {
        let text = String::deserialize(deserializer)?;
        text.parse().map(Model).map_err(D::Error::custom)
    }
}

/// A true offset: `walk`.
#[derive(Clone, Copy, Debug)]
pub(crate) struct TrueOffset(pub Offset);

impl<'de> Deserialize<'de> for TrueOffset {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<TrueOffset, D::Error> {
        let text = String::deserialize(deserializer)?;
        text.parse().map(TrueOffset).map_err(D::Error::custom)
    }
}

pub(crate) fn read(source: Source<'_>) -> Result<File, ConfigError> {
    toml::from_str(source.text).map_err(|error| source.malformed(&error))
}

/// The longest lease, closing lag and tolerance that are believed: beyond it somebody mistook a unit.
const SETTING_LIMIT: Duration = Duration::from_secs(3600);
/// The longest retention that is believed.
const RETENTION_LIMIT: Duration = Duration::from_secs(10 * 365 * 86_400);

impl Settings {
    /// The settings, defaults filled in.
    pub fn checked(&self, source: Source<'_>) -> Result<super::Settings, ConfigError> {
        let defaults = super::Settings::default();
        let at_least = |field: &str, value: &Option<Spanned<Span>>, default, least| {
            let Some(value) = value else { return Ok(default) };
            let given = value.get_ref().0;
            let bound = |word: &str, bound| {
                let message = format!("{word} {}", clock::format_duration(bound));
                Err(source.error_at(value.span(), field, message))
            };
            if given < least {
                return bound("at least", least);
            }
            let most = if field == "retention" { RETENTION_LIMIT } else { SETTING_LIMIT };
            if given > most {
                return bound("at most", most);
            }
            Ok(given)
        };
        let millisecond = Duration::from_millis(1);
        let within =
            |field: &str, value: &Option<Spanned<usize>>, bounds: RangeInclusive<usize>| {
                let Some(value) = value else { return Ok(None) };
                if !bounds.contains(value.get_ref()) {
                    let message = format!("from {} to {}", bounds.start(), bounds.end());
                    return Err(source.error_at(value.span(), field, message));
                }
                Ok(Some(*value.get_ref()))
            };
        Ok(super::Settings {
            shards: within("shards", &self.shards, 1..=super::SHARDS_LIMIT)?,
            leaders: self.leaders.map(::node::Leaders::from),
            cache_mib: within("cache_mib", &self.cache_mib, super::CACHE_MIB)?
                .unwrap_or(defaults.cache_mib),
            open_files: within("open_files", &self.open_files, super::OPEN_FILES)?
                .unwrap_or(defaults.open_files),
            engine: self.engine.map(EngineKind::from),
            lease: at_least("lease", &self.lease, defaults.lease, 100 * millisecond)?,
            retention: at_least(
                "retention",
                &self.retention,
                defaults.retention,
                1000 * millisecond,
            )?,
            close_lag: at_least("close_lag", &self.close_lag, defaults.close_lag, millisecond)?,
            clock_tolerance: at_least(
                "clock_tolerance",
                &self.clock_tolerance,
                defaults.clock_tolerance,
                Duration::ZERO,
            )?,
        })
    }
}

impl Clock {
    /// What is said of the clock of a node on a machine of its own.
    pub fn of_machine(&self) -> ClockModel {
        let usual = || ClockModel::Vouched(super::ClockConfig::default().uncertainty);
        self.model.as_ref().map_or_else(usual, |model| model.get_ref().0)
    }

    /// The simulated clocks' model where no override holds.
    pub fn default_config(&self, source: Source<'_>) -> Result<super::ClockConfig, ConfigError> {
        config(source, self.model.as_ref(), self.offset, super::ClockConfig::default())
    }
}

impl ClockOverride {
    /// The simulated clock of the node that this is about.
    pub fn config(
        &self,
        source: Source<'_>,
        otherwise: super::ClockConfig,
    ) -> Result<super::ClockConfig, ConfigError> {
        config(source, self.model.as_ref(), self.offset, otherwise)
    }
}

/// A simulated clock; what is not given is as in `otherwise`.
fn config(
    source: Source<'_>,
    model: Option<&Spanned<Model>>,
    offset: Option<TrueOffset>,
    otherwise: super::ClockConfig,
) -> Result<super::ClockConfig, ConfigError> {
    let simulated = |model: &Spanned<Model>| {
        let refused =
            |error: clock::NeedsMachine| source.error_at(model.span(), "model", error.to_string());
        model.get_ref().0.simulated().map_err(refused)
    };
    Ok(super::ClockConfig {
        uncertainty: model.map(simulated).transpose()?.unwrap_or(otherwise.uncertainty),
        offset: offset.map_or(otherwise.offset, |offset| offset.0),
    })
}
