//! `--clock` and `--epsilon`: the same flags wherever clocks are chosen.

use std::{fmt::Write as _, time::Duration};

use anyhow::Context;
use clap::Args;
use clock::{ClockModel, MODELS, Uncertainty};

use crate::demo::parse_duration;

/// The flags.
#[derive(Clone, Debug, Default, Args)]
pub struct ClockFlags {
    /// Who says how wrong a clock may be; --help lists all models.
    #[arg(long, value_name = "MODEL", value_parser = known, long_help = models())]
    clock: Option<String>,
    /// ε of the `fixed` clock, such as 4ms.
    #[arg(long, value_name = "DURATION", value_parser = parse_duration, allow_hyphen_values = true)]
    epsilon: Option<Duration>,
}

/// A model as it was written, if there is one.
fn known(text: &str) -> Result<String, String> {
    ClockModel::with_epsilon(text, None).map(|_| text.to_owned())
}

/// The list of models, for people.
fn models() -> String {
    let mut text = "Who says how wrong a clock may be:\n".to_owned();
    for (written, about) in MODELS {
        write!(text, "\n  {written}: {about}").expect("into a string");
    }
    text
}

impl ClockFlags {
    /// The model they ask for; `None`: neither was given.
    ///
    /// # Errors
    /// If there is no such model, or they do not go together.
    pub fn model(&self) -> anyhow::Result<Option<ClockModel>> {
        let text = match (&self.clock, self.epsilon) {
            (None, None) => return Ok(None),
            (None, Some(_)) => "fixed",
            (Some(text), _) => text.as_str(),
        };
        let model = ClockModel::with_epsilon(text, self.epsilon).map_err(anyhow::Error::msg);
        model.context(if self.epsilon.is_some() { "--epsilon" } else { "--clock" }).map(Some)
    }

    /// The same, for nodes that share this process.
    ///
    /// # Errors
    /// As above, and if the model needs a machine.
    pub fn simulated(&self) -> anyhow::Result<Option<Uncertainty>> {
        let Some(model) = self.model()? else { return Ok(None) };
        Ok(Some(model.simulated().context("--clock")?))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn flags(clock: &str) -> ClockFlags {
        ClockFlags { clock: Some(clock.to_owned()), epsilon: None }
    }

    #[test]
    fn every_model_is_taken_and_the_list_names_it() {
        for (written, _) in MODELS {
            assert!(models().contains(written), "{written}");
        }
        for model in ["kernel", "clockbound", "aws-ntp", "sawtooth(1ms, 200ppm, 30s)"] {
            assert_eq!(flags(model).model().expect("a model").map(|m| m.to_string()), {
                model.parse::<ClockModel>().ok().map(|m| m.to_string())
            });
        }
        let epsilon = Some(Duration::from_millis(9));
        let alone = ClockFlags { clock: None, epsilon }.model().expect("it is fixed");
        assert_eq!(alone.map(|model| model.to_string()).as_deref(), Some("fixed(9ms)"));
        assert_eq!(ClockFlags::default().model().expect("nothing"), None);
    }

    #[test]
    fn what_needs_a_machine_is_refused_where_there_is_none() {
        let error = format!("{:#}", flags("kernel").simulated().expect_err("a demo has none"));
        assert!(error.starts_with("--clock: the clock model \"kernel\" asks"), "{error}");
        assert!(flags("spanner-now").simulated().expect("it can be simulated").is_some());
    }
}
