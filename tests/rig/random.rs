//! Random numbers and content that are reproducible from a seed.

use bytes::Bytes;

/// Numbers from a seed (splitmix64).
pub(crate) struct Random(u64);

impl Random {
    pub(crate) const fn new(seed: u64) -> Self {
        Self(seed)
    }

    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    pub(crate) fn below(&mut self, end: u64) -> u64 {
        self.next() % end
    }

    /// Content that cannot be compressed and has no period of a round number of bytes.
    pub(crate) fn content(&mut self, length: usize) -> Bytes {
        // Combined from pieces that differ in their first bytes: generating each byte would take too long.
        let mut piece: Vec<u8> = (0..8192).flat_map(|_| self.next().to_le_bytes()).collect();
        piece.push(0);
        let mut content = Vec::with_capacity(length + piece.len());
        while content.len() < length {
            piece[..8].copy_from_slice(&self.next().to_le_bytes());
            content.extend_from_slice(&piece);
        }
        content.truncate(length);
        content.into()
    }
}
