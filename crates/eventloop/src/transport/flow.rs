//! The marks of flow control, as a pure state machine: when the protocol is to pause and when to resume.

/// asyncio's default for the high-water mark, in bytes.
const DEFAULT_HIGH: usize = 64 * 1024;

/// The marks, in bytes, and whether the protocol was told to pause.
#[derive(Debug)]
pub(super) struct Flow {
    high: usize,
    low: usize,
    pub(super) paused: bool,
}

impl Default for Flow {
    fn default() -> Self {
        Self { high: DEFAULT_HIGH, low: DEFAULT_HIGH / 4, paused: false }
    }
}

impl Flow {
    /// The low mark and the high mark.
    pub(super) fn limits(&self) -> (usize, usize) {
        (self.low, self.high)
    }

    /// Sets the marks, with asyncio's defaults for what is not given. The error is what is wrong with them.
    pub(super) fn set_limits(&mut self, high: Option<i64>, low: Option<i64>) -> Result<(), String> {
        let default = i64::try_from(DEFAULT_HIGH).unwrap_or(i64::MAX);
        let high = high.unwrap_or_else(|| low.map_or(default, |low| low.saturating_mul(4)));
        let low = low.unwrap_or(high / 4);
        match (usize::try_from(high), usize::try_from(low)) {
            (Ok(above), Ok(below)) if above >= below => {
                (self.high, self.low) = (above, below);
                Ok(())
            }
            _ => Err(format!("high ({high}) must be >= low ({low}) must be >= 0")),
        }
    }

    /// Whether to tell the protocol to pause, now that `queued` bytes are buffered.
    pub(super) fn pauses(&mut self, queued: usize) -> bool {
        let pauses = !self.paused && queued > self.high;
        self.paused |= pauses;
        pauses
    }

    /// Whether to tell the protocol to resume, now that `queued` bytes are buffered.
    pub(super) fn resumes(&mut self, queued: usize) -> bool {
        let resumes = self.paused && queued <= self.low;
        self.paused &= !resumes;
        resumes
    }
}

#[cfg(test)]
mod tests {
    use super::Flow;

    #[test]
    fn pauses_above_the_high_mark_and_resumes_at_the_low_one() {
        let mut flow = Flow::default();
        flow.set_limits(Some(100), Some(20)).unwrap();
        assert!(!flow.pauses(100) && flow.pauses(101) && !flow.pauses(200), "told once");
        assert!(!flow.resumes(21) && flow.resumes(20) && !flow.resumes(0), "told once");
        assert!(flow.pauses(101), "told again");
    }

    #[test]
    fn marks_that_are_not_given_are_asyncios() {
        let mut flow = Flow::default();
        assert_eq!(flow.limits(), (16 * 1024, 64 * 1024));
        flow.set_limits(None, Some(10)).unwrap();
        assert_eq!(flow.limits(), (10, 40));
        flow.set_limits(Some(8), None).unwrap();
        assert_eq!(flow.limits(), (2, 8));
        assert_eq!(
            flow.set_limits(Some(1), Some(2)).unwrap_err(),
            "high (1) must be >= low (2) must be >= 0"
        );
        assert!(flow.set_limits(Some(-1), None).is_err());
        assert_eq!(flow.limits(), (2, 8), "unchanged by what is wrong");
    }
}
