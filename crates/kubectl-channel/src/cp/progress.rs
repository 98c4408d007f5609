//! The progress of a copy, on a terminal only.

use std::{
    io::{self, IsTerminal},
    path::Path,
};

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

use crate::exit::{Verbosity, tame};

const OF_KNOWN: &str = "{bar:24} {bytes}/{total_bytes} {bytes_per_sec} {wide_msg}";
const OF_UNKNOWN: &str = "{spinner} {bytes} {bytes_per_sec} {wide_msg}";

/// A bar on stderr, or nothing at all.
#[derive(Clone)]
pub(super) struct Progress(Option<ProgressBar>);

impl Progress {
    /// Of so many bytes, if that is known.
    pub(super) fn new(bytes: Option<u64>, verbosity: Verbosity) -> Self {
        if verbosity == Verbosity::Quiet || !io::stderr().is_terminal() {
            return Self(None);
        }
        let bar = ProgressBar::with_draw_target(bytes, ProgressDrawTarget::stderr());
        let template = if bytes.is_some() { OF_KNOWN } else { OF_UNKNOWN };
        let style = ProgressStyle::with_template(template);
        Self(Some(bar.with_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()))))
    }

    /// What is being copied.
    pub(super) fn name(&self, path: &Path) {
        if let Some(bar) = &self.0 {
            // The pod chose it, so nothing in it may be obeyed by the terminal.
            bar.set_message(path.to_string_lossy().chars().map(tame).collect::<String>().replace('\n', " "));
        }
    }

    /// So many bytes more.
    pub(super) fn add(&self, bytes: usize) {
        if let Some(bar) = &self.0 {
            bar.inc(bytes as u64);
        }
    }

    /// Leaves the terminal as it was.
    pub(super) fn clear(&self) {
        if let Some(bar) = &self.0 {
            bar.finish_and_clear();
        }
    }
}
