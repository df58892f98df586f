//! Bodies as they were before a server or something in front of it compressed them.

use crate::{Answer, SendError};
use bytes::Bytes;
use http::header::CONTENT_ENCODING;
use std::io::Read as _;

/// The body of an answer, decompressed; the limit holds for what comes out, so that few bytes cannot become many.
///
/// # Errors
/// More than `limit` bytes, an encoding other than `gzip`, or a body that is not what it says.
pub fn decoded(answer: &Answer, limit: usize) -> Result<Bytes, SendError> {
    let mut encodings = answer
        .headers
        .get_all(CONTENT_ENCODING)
        .iter()
        .flat_map(|value| value.to_str().unwrap_or("unreadable").split(','))
        .map(str::trim)
        .filter(|name| !name.is_empty() && !name.eq_ignore_ascii_case("identity"));
    let broken = |text: &str| SendError::Lost(text.to_owned().into());
    match (encodings.next(), encodings.next()) {
        (None, _) if answer.body.len() > limit => Err(SendError::TooLong { limit }),
        (None, _) => Ok(answer.body.clone()),
        (Some(name), None) if name.eq_ignore_ascii_case("gzip") || name.eq_ignore_ascii_case("x-gzip") => {
            let mut out = Vec::new();
            // One byte more than may come says that there is more.
            let most = u64::try_from(limit).unwrap_or(u64::MAX).saturating_add(1);
            flate2::read::MultiGzDecoder::new(answer.body.as_ref())
                .take(most)
                .read_to_end(&mut out)
                .map_err(|error| SendError::Lost(error.into()))?;
            if out.len() > limit { Err(SendError::TooLong { limit }) } else { Ok(out.into()) }
        }
        _ => Err(broken("the answer has a content encoding that was not asked for")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use flate2::write::GzEncoder;
    use http::{HeaderMap, HeaderValue, StatusCode};
    use proptest::prelude::*;
    use std::io::Write as _;
    use tokio_util::sync::CancellationToken;

    fn answer(encoding: Option<&'static str>, body: Vec<u8>) -> Answer {
        let mut headers = HeaderMap::new();
        if let Some(encoding) = encoding {
            headers.insert(CONTENT_ENCODING, HeaderValue::from_static(encoding));
        }
        Answer { status: StatusCode::OK, headers, body: body.into(), connection: CancellationToken::new() }
    }

    fn gzip(bytes: &[u8]) -> Vec<u8> {
        let mut encoder = GzEncoder::new(Vec::new(), flate2::Compression::best());
        encoder.write_all(bytes).unwrap();
        encoder.finish().unwrap()
    }

    #[test]
    fn the_limit_is_of_what_comes_out() {
        let bomb = gzip(&vec![b' '; 10_000_000]);
        assert!(bomb.len() < 20_000);
        assert!(matches!(
            decoded(&answer(Some("gzip"), bomb), 65_536),
            Err(SendError::TooLong { limit: 65_536 })
        ));
        let exact = gzip(&[b'x'; 1024]);
        assert_eq!(decoded(&answer(Some("GZIP"), exact.clone()), 1024).unwrap().len(), 1024);
        assert!(decoded(&answer(Some("gzip"), exact.clone()), 1023).is_err());
        assert!(decoded(&answer(Some("gzip"), exact[..exact.len() / 2].to_vec()), 1024).is_err());
        assert!(decoded(&answer(Some("gzip, gzip"), gzip(&exact)), 1024).is_err());
        assert!(decoded(&answer(Some("br"), Vec::new()), 1024).is_err());
        assert_eq!(&decoded(&answer(Some("identity"), b"{}".to_vec()), 2).unwrap()[..], b"{}");
        assert!(decoded(&answer(None, b"{}".to_vec()), 1).is_err());
    }

    proptest! {
        #[test]
        fn no_bytes_panic_or_exceed_the_limit(bytes in proptest::collection::vec(any::<u8>(), 0..300), cut in 0usize..60) {
            for body in [bytes.clone(), gzip(&bytes)[cut.min(20)..].to_vec()] {
                if let Ok(out) = decoded(&answer(Some("gzip"), body), 100) {
                    prop_assert!(out.len() <= 100);
                }
            }
        }
    }
}
