//! Tracks which parts of mapped content were read recently: sending them does not wait for the disk.

use std::hint::black_box;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

/// How many bytes are read from the disk at once.
pub(super) const WINDOW: usize = 1 << 20;
/// How long bytes count as in memory after a read. The kernel may drop them sooner if memory is short.
const STAYS: Duration = Duration::from_secs(5);
/// The smallest page size of all platforms.
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

    /// The end of the window of `position` if that window was read recently; otherwise `position`. Checks only one
    /// window, because a slow reader must check again for each window.
    pub(super) fn until(&self, position: usize) -> usize {
        let oldest = self.now().saturating_sub(STAYS.as_millis() as u64).max(1);
        let number = position / WINDOW;
        match self.windows.get(number) {
            Some(at) if at.load(Ordering::Relaxed) >= oldest => (number + 1) * WINDOW,
            Some(_) | None => position,
        }
    }

    /// Reads the window of `bytes` that contains `position`. Waits for the disk.
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
    fn reads_are_tracked_per_window() {
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
