//! What `top` knows: the last readings, and what the user chose.

use super::reading::{Reading, rate};
use std::collections::VecDeque;

/// Rates and percentiles are of so many seconds.
const WINDOW: f64 = 5.0;
/// How many columns the chart may have.
const COLUMNS: usize = 1000;

/// By what workers are sorted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Order {
    /// Their number.
    #[default]
    Slot,
    /// Processor time.
    Cpu,
    /// Memory.
    Memory,
    /// Requests.
    Requests,
}

impl Order {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Slot => "number",
            Self::Cpu => "cpu",
            Self::Memory => "memory",
            Self::Requests => "requests",
        }
    }

    fn next(self) -> Self {
        match self {
            Self::Slot => Self::Cpu,
            Self::Cpu => Self::Memory,
            Self::Memory => Self::Requests,
            Self::Requests => Self::Slot,
        }
    }
}

/// What is shown.
#[derive(Debug, Default)]
pub(crate) struct State {
    readings: VecDeque<Reading>,
    rates: VecDeque<f64>,
    lost: Option<String>,
    order: Order,
    scrolled: usize,
    paused: bool,
}

impl State {
    /// The last reading.
    pub(crate) fn now(&self) -> Option<&Reading> {
        self.readings.back()
    }

    /// The one that it is compared with.
    pub(crate) fn before(&self) -> Option<&Reading> {
        self.readings.front()
    }

    /// Takes in a reading.
    pub(crate) fn read(&mut self, reading: Reading) {
        self.lost = None;
        if self.paused {
            return;
        }
        if let Some(last) = self.readings.back() {
            self.rates.push_back(rate(last, &reading, |traffic| traffic.requests));
            // After an upgrade it is another server, which counts from zero.
            if last.server.pid != reading.server.pid {
                self.readings.clear();
            }
        }
        while self.rates.len() > COLUMNS {
            self.rates.pop_front();
        }
        let oldest = reading.time - WINDOW;
        self.readings.push_back(reading);
        while self.readings.len() > 2 && self.readings[1].time <= oldest {
            self.readings.pop_front();
        }
    }

    /// There is no server, for this reason.
    pub(crate) fn lose(&mut self, why: String) {
        self.lost = Some(why);
    }

    pub(crate) fn lost(&self) -> Option<&str> {
        self.lost.as_deref()
    }

    /// The requests of each second, so many columns; and the most of them.
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a rate that is drawn")]
    pub(crate) fn history(&self, columns: usize) -> (Vec<u64>, f64) {
        let shown = self.rates.iter().skip(self.rates.len().saturating_sub(columns));
        let most = shown.clone().copied().fold(0.0, f64::max);
        // In thousandths, for what is less than one in a second.
        (shown.map(|rate| (rate * 1000.0) as u64).collect(), most)
    }

    pub(crate) fn order(&self) -> Order {
        self.order
    }

    pub(crate) fn sort_otherwise(&mut self) {
        self.order = self.order.next();
    }

    pub(crate) fn is_paused(&self) -> bool {
        self.paused
    }

    pub(crate) fn pause(&mut self) {
        self.paused = !self.paused;
    }

    pub(crate) fn scrolled(&self) -> usize {
        self.scrolled
    }

    pub(crate) fn scroll(&mut self, down: bool) {
        let most = self.now().map_or(0, |now| (now.workers.len() + now.task_workers.len()).saturating_sub(1));
        self.scrolled = if down { (self.scrolled + 1).min(most) } else { self.scrolled.saturating_sub(1) };
    }
}
