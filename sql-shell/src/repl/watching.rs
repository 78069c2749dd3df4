//! `\watch`: looks at the cluster, again and again.

use std::time::Duration;

use tokio::time::Instant;

use super::{Next, Shell, failed};
use crate::{
    console,
    watch::{self, Look, Moment, Stream},
};

impl Shell {
    /// Prints a line per interval until it has printed so many, or is interrupted.
    pub(super) async fn watch(
        &mut self,
        every: Duration,
        count: Option<u64>,
    ) -> anyhow::Result<Next> {
        let first = match self.look().await {
            Ok(look) => look,
            Err(message) => return Ok(failed(&message)),
        };
        let mut stream = Stream::new(self.format, self.regions().await);
        let (mut last, mut looked, mut lines) = (first.clone(), Instant::now(), 0);
        while count.is_none_or(|count| lines < count) {
            let interrupted = tokio::select! {
                biased;
                _ = tokio::signal::ctrl_c() => true,
                () = tokio::time::sleep_until(looked + every) => false,
            };
            if interrupted {
                break;
            }
            let lasting = looked.elapsed();
            looked = Instant::now();
            let now = match self.look().await {
                Ok(look) => look,
                Err(message) => return Ok(failed(&message)),
            };
            console::print(&stream.interval(&moment(), (&last, &now), lasting))?;
            (last, lines) = (now, lines + 1);
        }
        console::print(&stream.end(&first, &last))?;
        Ok(Next::Go)
    }

    async fn look(&self) -> Result<Look, String> {
        Look::read(&self.client.run(watch::SHOW_SQL).await?)
    }

    async fn regions(&self) -> Vec<String> {
        let answers = self.client.run("SHOW REGIONS").await.unwrap_or_default();
        let regions = answers.first().into_iter().flat_map(|answer| answer.column("region"));
        regions.flatten().map(str::to_owned).collect()
    }
}

/// Now, as whoever sits here reads it off the wall.
#[expect(clippy::disallowed_methods, reason = "the shell is a program of its own, never simulated")]
fn moment() -> Moment {
    let now = chrono::Utc::now();
    Moment {
        clock: now.with_timezone(&chrono::Local).format("%H:%M:%S").to_string(),
        stamp: now.format("%Y-%m-%dT%H:%M:%S%.3fZ").to_string(),
    }
}
