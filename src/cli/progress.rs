//! Progress on standard error, once the work turns out to be long.

use super::args::{Common, When};
use super::say::say;
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use std::io::IsTerminal;
use std::time::{Duration, Instant};

/// Work shorter than this shows nothing.
const LONG: Duration = Duration::from_millis(700);

/// A bar over the stored bytes of one input.
pub struct Progress {
    wanted: bool,
    begun: Instant,
    size: Option<u64>,
    name: String,
    found: u64,
    bar: Option<ProgressBar>,
}

impl Progress {
    pub fn new(common: &Common, name: &str, size: Option<u64>) -> Progress {
        let wanted = match common.progress {
            When::Always => true,
            When::Never => false,
            When::Auto => !common.quiet && std::io::stderr().is_terminal(),
        };
        let mut progress = Progress {
            wanted,
            begun: Instant::now(),
            size,
            name: crate::output::escape::Escaped(name.as_bytes()).to_string(),
            found: 0,
            bar: None,
        };
        if common.progress == When::Always {
            progress.show();
        }
        progress
    }

    fn show(&mut self) {
        let (bar, template) = match self.size {
            Some(size) => (
                ProgressBar::new(size),
                "{msg} [{bar:30}] {bytes}/{total_bytes} {binary_bytes_per_sec} {eta}",
            ),
            None => (
                ProgressBar::new_spinner(),
                "{msg} {spinner} {bytes} {binary_bytes_per_sec}",
            ),
        };
        bar.set_draw_target(ProgressDrawTarget::stderr());
        if let Ok(style) = ProgressStyle::with_template(template) {
            bar.set_style(style.progress_chars("=> "));
        }
        bar.set_message(self.message());
        self.bar = Some(bar);
    }

    fn message(&self) -> String {
        match self.found {
            0 => self.name.clone(),
            found => format!("{}: {found} candidates", self.name),
        }
    }

    /// So many things that are looked for came up so far.
    pub fn found(&mut self, found: u64) {
        self.found = found;
        if let Some(bar) = &self.bar {
            bar.set_message(self.message());
        }
    }

    /// `position`: stored bytes read so far.
    pub fn at(&mut self, position: u64) {
        if !self.wanted {
            return;
        }
        if self.bar.is_none() && self.begun.elapsed() > LONG {
            self.show();
        }
        if let Some(bar) = &self.bar {
            bar.set_position(position);
        }
    }

    /// Says a line without breaking the bar.
    pub fn line(&self, text: &str) {
        match &self.bar {
            Some(bar) => bar.suspend(|| say(text)),
            None => say(text),
        }
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
    }
}
