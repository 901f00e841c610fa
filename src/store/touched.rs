//! Which parts of mapped content were read from the disk a moment ago: to send them waits for no disk.

use std::hint::black_box;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

/// How much is read from the disk at once.
pub(super) const WINDOW: usize = 1 << 20;
/// How long what was read counts as in memory. The kernel may need the memory sooner, if it has none left.
const STAYS: Duration = Duration::from_secs(5);
/// There is no smaller page.
const PAGE: usize = 4096;

/// When each window was read, in milliseconds after `base`; 0 for never.
#[derive(Debug)]
pub(super) struct Touched {
    base: Instant,
    windows: Box<[AtomicU64]>,
}

impl Touched {
    pub(super) fn new(length: usize) -> Self {
        let windows = (0..length.div_ceil(WINDOW)).map(|_| AtomicU64::new(0));
        Self { base: Instant::now(), windows: windows.collect() }
    }

    /// The end of the window that `position` is in, if that was read a moment ago; else `position` itself. Looks no
    /// further: who reads slowly must ask again for each window.
    pub(super) fn until(&self, position: usize) -> usize {
        let oldest = self.now().saturating_sub(STAYS.as_millis() as u64).max(1);
        let number = position / WINDOW;
        match self.windows.get(number) {
            Some(at) if at.load(Ordering::Relaxed) >= oldest => (number + 1) * WINDOW,
            Some(_) | None => position,
        }
    }

    /// Reads the window of `bytes` that `position` is in. Waits for the disk.
    pub(super) fn read(&self, bytes: &[u8], position: usize) {
        let number = position / WINDOW;
        for page in bytes.iter().skip(number * WINDOW).take(WINDOW).step_by(PAGE) {
            black_box(*page);
        }
        if let Some(window) = self.windows.get(number) {
            window.store(self.now(), Ordering::Relaxed);
        }
    }

    fn now(&self) -> u64 {
        u64::try_from(self.base.elapsed().as_millis()).unwrap_or(u64::MAX).saturating_add(1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_read_counts_window_by_window() {
        let bytes = vec![7; 2 * WINDOW + 1];
        let touched = Touched::new(bytes.len());
        assert_eq!(touched.until(5), 5);
        touched.read(&bytes, 5);
        assert_eq!((touched.until(5), touched.until(WINDOW)), (WINDOW, WINDOW));
        touched.read(&bytes, 2 * WINDOW);
        assert_eq!((touched.until(0), touched.until(2 * WINDOW)), (WINDOW, 3 * WINDOW));
        assert_eq!(touched.until(3 * WINDOW), 3 * WINDOW);
        assert_eq!(Touched::new(0).until(0), 0);
    }
}
