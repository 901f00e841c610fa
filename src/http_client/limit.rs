//! Reads whole bodies within a limit of bytes and of time.

use bytes::{Bytes, BytesMut};
use http_body::Body as HttpBody;
use http_body_util::BodyExt;
use thiserror::Error;

use super::body::Body;
use super::error::NetError;

/// The most bytes allocated for an announced length before data arrives.
const MAX_PREALLOCATED: usize = 64 << 10;

/// Why a body was not read to its end.
#[derive(Clone, Debug, Error)]
pub enum ReadError {
    #[error("the body exceeds {ceiling} bytes")]
    TooLong { ceiling: usize },
    #[error(transparent)]
    Interrupted(#[from] NetError),
}

impl Body {
    /// The whole body, if it has at most `ceiling` bytes.
    pub async fn read_whole(self, ceiling: usize) -> Result<Bytes, ReadError> {
        self.read_until(ceiling, |_| false).await
    }

    /// The same. If the connection ends before the end of a body of unknown length, `is_whole` decides from the bytes
    /// whether the body is complete.
    pub async fn read_until(
        self,
        ceiling: usize,
        is_whole: impl Fn(&[u8]) -> bool,
    ) -> Result<Bytes, ReadError> {
        let timed_out = self.timed_out();
        match tokio::time::timeout(self.whole, read(self, ceiling, is_whole)).await {
            Ok(read) => read,
            Err(_) => Err(ReadError::Interrupted(timed_out)),
        }
    }
}

async fn read<B>(
    mut body: B,
    ceiling: usize,
    is_whole: impl Fn(&[u8]) -> bool,
) -> Result<Bytes, ReadError>
where
    B: HttpBody<Data = Bytes, Error = NetError> + Unpin,
{
    let announced = usize::try_from(body.size_hint().lower()).unwrap_or(usize::MAX);
    if announced > ceiling {
        return Err(ReadError::TooLong { ceiling });
    }
    let mut whole = BytesMut::with_capacity(announced.min(MAX_PREALLOCATED));
    while let Some(frame) = body.frame().await {
        let frame = match frame {
            Ok(frame) => frame,
            Err(_) if is_whole(&whole) => break,
            Err(error) => return Err(error.into()),
        };
        let Ok(data) = frame.into_data() else { continue };
        if data.len() > ceiling - whole.len() {
            return Err(ReadError::TooLong { ceiling });
        }
        if whole.len() + data.len() > whole.capacity() && announced > whole.capacity() {
            // The server sent more than was allocated in advance, so its announced length is reserved at once, which
            // avoids more copies.
            whole.reserve(announced - whole.len());
        }
        whole.extend_from_slice(&data);
    }
    if whole.capacity() > whole.len() + whole.len() / 8 {
        // A buffer that grew may have twice the capacity and would keep it.
        return Ok(Bytes::copy_from_slice(&whole));
    }
    Ok(whole.freeze())
}

#[cfg(test)]
mod tests {
    use http_body_util::Full;

    use super::*;

    fn body(content: &'static str) -> impl HttpBody<Data = Bytes, Error = NetError> + Unpin {
        Full::new(Bytes::from(content)).map_err(|never| match never {})
    }

    #[tokio::test]
    async fn a_body_at_the_limit_is_read_and_a_longer_one_is_not() {
        assert_eq!(read(body("abcd"), 4, |_| false).await.unwrap(), "abcd");
        assert!(matches!(
            read(body("abcde"), 4, |_| false).await,
            Err(ReadError::TooLong { ceiling: 4 })
        ));
        assert_eq!(read(body(""), 0, |_| false).await.unwrap(), "");
    }
}
