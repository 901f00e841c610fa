//! Digests: names of content that are derived from its hash (image-spec, descriptor.md, "Digests").

use std::fmt;
use std::str::FromStr;

use sha2::{Digest as _, Sha256, Sha512};
use thiserror::Error;

/// The registered algorithms. Signatures name SHA-256 digests; SHA-512 is supported so that a blob with such a
/// digest can be relayed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Algorithm {
    Sha256,
    Sha512,
}

impl Algorithm {
    /// The name of the algorithm, which is the prefix of its digests.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Sha256 => "sha256",
            Self::Sha512 => "sha512",
        }
    }

    /// Length of the raw hash in bytes.
    const fn len(self) -> usize {
        match self {
            Self::Sha256 => 32,
            Self::Sha512 => 64,
        }
    }
}

/// `sha256:<64 lower-case hex digits>`, or the same with `sha512` and 128.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Digest {
    algorithm: Algorithm,
    raw: [u8; 64],
}

/// The text is not a digest.
#[derive(Debug, Error, PartialEq, Eq)]
#[error("a digest must be `sha256:` or `sha512:`, followed by the hash in lower-case hex digits")]
pub struct InvalidDigest;

impl Digest {
    /// The SHA-256 digest of `content`.
    pub fn of(content: &[u8]) -> Self {
        Self::from_sha256(Sha256::digest(content).into())
    }

    /// The digest whose raw SHA-256 is `hash`.
    pub fn from_sha256(hash: [u8; 32]) -> Self {
        let mut raw = [0; 64];
        raw[..32].copy_from_slice(&hash);
        Self { algorithm: Algorithm::Sha256, raw }
    }

    /// The digest whose hash is `raw`; `None` if its length is wrong for the algorithm.
    pub fn from_raw(algorithm: Algorithm, raw: &[u8]) -> Option<Self> {
        let mut padded = [0; 64];
        (raw.len() == algorithm.len()).then(|| padded[..raw.len()].copy_from_slice(raw))?;
        Some(Self { algorithm, raw: padded })
    }

    /// The digest of `content` by `algorithm`.
    pub fn by(algorithm: Algorithm, content: &[u8]) -> Self {
        let mut hasher = Hasher::new(algorithm);
        hasher.update(content);
        hasher.finish()
    }

    /// Whether this is the digest of `content`.
    pub fn is_of(&self, content: &[u8]) -> bool {
        Self::by(self.algorithm, content) == *self
    }

    pub fn algorithm(&self) -> Algorithm {
        self.algorithm
    }

    /// The raw hash.
    pub fn raw(&self) -> &[u8] {
        &self.raw[..self.algorithm.len()]
    }

    /// The length of the digest as text.
    pub fn text_len(&self) -> usize {
        self.algorithm.name().len() + ":".len() + 2 * self.algorithm.len()
    }

    /// The part after the colon.
    pub fn hex(&self) -> String {
        hex::encode(self.raw())
    }
}

impl FromStr for Digest {
    type Err = InvalidDigest;

    fn from_str(text: &str) -> Result<Self, InvalidDigest> {
        let (name, digits) = text.split_once(':').ok_or(InvalidDigest)?;
        let algorithm = match name {
            "sha256" => Algorithm::Sha256,
            "sha512" => Algorithm::Sha512,
            _ => return Err(InvalidDigest),
        };
        let lower = digits.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'));
        if !lower || digits.len() != algorithm.len() * 2 {
            return Err(InvalidDigest);
        }
        let mut raw = [0; 64];
        hex::decode_to_slice(digits, &mut raw[..algorithm.len()]).map_err(|_| InvalidDigest)?;
        Ok(Self { algorithm, raw })
    }
}

impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Each response, header and event contains a digest: avoid an allocation.
        let mut digits = [0; 128];
        let digits = &mut digits[..self.algorithm.len() * 2];
        hex::encode_to_slice(self.raw(), digits).map_err(|_| fmt::Error)?;
        f.write_str(self.algorithm.name())?;
        f.write_str(":")?;
        f.write_str(std::str::from_utf8(digits).map_err(|_| fmt::Error)?)
    }
}

impl fmt::Debug for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// Upstream sent content with another digest than the requested one.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
#[error("upstream sent {got} instead of {asked}")]
pub struct Mismatch {
    pub asked: Digest,
    pub got: Digest,
}

/// Computes the digest of content that arrives in pieces.
#[derive(Clone, Debug)]
pub enum Hasher {
    Sha256(Sha256),
    Sha512(Box<Sha512>),
}

impl Hasher {
    pub fn new(algorithm: Algorithm) -> Self {
        match algorithm {
            Algorithm::Sha256 => Self::Sha256(Sha256::new()),
            Algorithm::Sha512 => Self::Sha512(Box::new(Sha512::new())),
        }
    }

    pub fn update(&mut self, piece: &[u8]) {
        match self {
            Self::Sha256(hasher) => hasher.update(piece),
            Self::Sha512(hasher) => hasher.update(piece),
        }
    }

    pub fn finish(self) -> Digest {
        match self {
            Self::Sha256(hasher) => Digest::from_sha256(hasher.finalize().into()),
            Self::Sha512(hasher) => {
                Digest { algorithm: Algorithm::Sha512, raw: hasher.finalize().into() }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const EMPTY: &str = "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";

    #[test]
    fn the_digest_of_empty_content_is_correct() {
        assert_eq!(Digest::of(b"").to_string(), EMPTY);
        assert_eq!(EMPTY.parse(), Ok(Digest::of(b"")));
    }

    #[test]
    fn hashing_in_pieces_gives_the_same_digest() {
        for algorithm in [Algorithm::Sha256, Algorithm::Sha512] {
            let mut whole = Hasher::new(algorithm);
            whole.update(b"abcdef");
            let mut pieces = Hasher::new(algorithm);
            pieces.update(b"abc");
            pieces.update(b"def");
            let digest = whole.finish();
            assert_eq!(digest, pieces.finish());
            assert_eq!(digest.to_string().parse(), Ok(digest));
            assert_eq!(Digest::from_raw(algorithm, digest.raw()), Some(digest));
            assert_eq!(Digest::from_raw(algorithm, &digest.raw()[1..]), None);
        }
    }

    #[test]
    fn invalid_digests_are_rejected() {
        let upper = EMPTY.to_uppercase();
        let long = format!("{EMPTY}0");
        for text in ["", "sha256", "sha256:", &EMPTY[7..], &EMPTY[..70], &upper, &long, "md5:00"] {
            assert_eq!(text.parse::<Digest>(), Err(InvalidDigest), "{text}");
        }
        assert_eq!(EMPTY.replace("sha256", "sha512").parse::<Digest>(), Err(InvalidDigest));
        assert_eq!(EMPTY.replace('e', "\u{e9}").parse::<Digest>(), Err(InvalidDigest));
    }
}
