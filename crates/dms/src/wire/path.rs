//! Paths of requests: `protocols/dms.md` 12. Decoded once, then characters from a list only.
//!
//! The application server resolves what is left through its table of device types, never by joining it to a folder; this
//! is the wall before that.

/// Longest path after decoding (`protocols/dms.md` 4: what the application server takes).
const MAX_PATH: usize = 256;
/// Most segments; device types have two or three.
const MAX_SEGMENTS: usize = 16;

/// Why a path is refused, whatever lies there and whoever asks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum PathFault {
    /// A character that no file name of ours has: control characters, backslash, semicolon, percent after decoding.
    #[error("character not allowed in a path")]
    Character,
    /// A segment that walks about: `.`, `..`, or nothing between two slashes.
    #[error("segment not allowed in a path")]
    Segment,
    /// An escape that is none: `%` without two hexadecimal digits.
    #[error("malformed escape in a path")]
    Escape,
    /// Longer or deeper than any path of ours.
    #[error("path too long")]
    TooLong,
}

/// What file names are made of: device ids, MAC addresses, extensions.
fn allowed(byte: u8) -> bool {
    byte.is_ascii_alphanumeric()
        || matches!(byte, b'.' | b'_' | b'-' | b'@' | b'+' | b'~' | b'=' | b',' | b'(' | b')')
}

fn hex(digit: u8) -> Option<u8> {
    char::from(digit).to_digit(16).and_then(|value| u8::try_from(value).ok())
}

/// The path below the context without its leading slash, decoded once. A path that ends in a slash names no file, and is
/// let through to be answered as any that does not exist.
///
/// # Errors
/// See [`PathFault`].
///
/// ```
/// use openadp_dms::{PathFault, clean_path};
///
/// assert_eq!(clean_path("/bc/pc/config%2Dwxt.xml").as_deref(), Ok("bc/pc/config-wxt.xml"));
/// assert_eq!(clean_path("/bc/%252e%252e/x"), Err(PathFault::Character));
/// ```
pub fn clean_path(raw: &str) -> Result<String, PathFault> {
    // Every escape takes three bytes.
    if raw.len() > 3 * MAX_PATH {
        return Err(PathFault::TooLong);
    }
    let raw = raw.strip_prefix('/').unwrap_or(raw);
    let mut decoded = String::with_capacity(raw.len());
    let mut bytes = raw.bytes();
    while let Some(byte) = bytes.next() {
        // A slash is one only where it is written as such: an escaped one would change the segments.
        let (byte, escaped) = match byte {
            b'%' => {
                let (Some(high), Some(low)) = (bytes.next().and_then(hex), bytes.next().and_then(hex)) else {
                    return Err(PathFault::Escape);
                };
                (high * 16 + low, true)
            }
            byte => (byte, false),
        };
        if !allowed(byte) && (byte != b'/' || escaped) {
            return Err(PathFault::Character);
        }
        decoded.push(char::from(byte));
    }
    if decoded.len() > MAX_PATH {
        return Err(PathFault::TooLong);
    }
    let segments: Vec<&str> = decoded.split('/').collect();
    if segments.len() > MAX_SEGMENTS {
        return Err(PathFault::TooLong);
    }
    let last = segments.len() - 1;
    let walks = |(index, segment): (usize, &&str)| {
        matches!(*segment, "." | "..") || (segment.is_empty() && index != last)
    };
    if segments.iter().enumerate().any(walks) {
        return Err(PathFault::Segment);
    }
    Ok(decoded)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn good_paths() {
        for (raw, clean) in [
            ("/bc/pc/config-wxt.xml", "bc/pc/config-wxt.xml"),
            ("bc/pc/config-wxt.xml", "bc/pc/config-wxt.xml"),
            ("/Vendor-X/0a1b2c3d4e5f.cfg", "Vendor-X/0a1b2c3d4e5f.cfg"),
            ("/x/alice%40lab.example.json", "x/alice@lab.example.json"),
            ("/..x/x..", "..x/x.."),
            ("/bc/pc/", "bc/pc/"),
            ("/", ""),
            ("", ""),
        ] {
            assert_eq!(clean_path(raw).as_deref(), Ok(clean), "{raw}");
        }
    }

    /// The corpus of section 16.
    #[test]
    fn traversal_corpus() {
        use PathFault::{Character, Escape, Segment, TooLong};
        for (raw, fault) in [
            ("/../etc/passwd", Segment),
            ("/bc/../pc/x", Segment),
            ("/bc/%2e%2e/x", Segment),
            ("/bc/%2E./x", Segment),
            ("/./x", Segment),
            ("/bc//x", Segment),
            ("//bc/x", Segment),
            ("/bc/..", Segment),
            ("/bc%2Fpc/x", Character),
            ("/bc/..%2f..%2fx", Character),
            ("/bc/%252e%252e/x", Character),
            ("/bc/%25", Character),
            ("/bc\\pc/x", Character),
            ("/bc/%5c..%5cx", Character),
            ("/bc/x%00.xml", Character),
            ("/bc/x%0d%0aX: y", Character),
            ("/bc/x;jsessionid=1", Character),
            ("/bc/x%3bparam", Character),
            ("/bc/%c0%ae%c0%ae/x", Character),
            ("/bc/\u{e9}.xml", Character),
            ("/bc/a b", Character),
            ("/bc/%20", Character),
            ("/bc/%", Escape),
            ("/bc/%2", Escape),
            ("/bc/%zz", Escape),
            ("/bc/%+1", Escape),
        ] {
            assert_eq!(clean_path(raw), Err(fault), "{raw}");
        }
        assert_eq!(clean_path(&"a".repeat(257)), Err(TooLong));
        assert_eq!(clean_path(&"%61".repeat(257)), Err(TooLong));
        assert_eq!(clean_path(&"a/".repeat(16)), Err(TooLong));
        assert!(clean_path(&"%61".repeat(256)).is_ok());
    }

    proptest! {
        #[test]
        fn never_panics_and_never_escapes(raw in "(?s).{0,300}") {
            if let Ok(clean) = clean_path(&raw) {
                prop_assert!(clean.len() <= MAX_PATH);
                prop_assert!(!clean.starts_with('/'));
                prop_assert!(clean.split('/').all(|segment| segment != "." && segment != ".."));
                prop_assert!(clean.bytes().all(|byte| allowed(byte) || byte == b'/'));
                // What came out comes out again: decoding twice is decoding once.
                prop_assert_eq!(clean_path(&clean), Ok(clean.clone()));
            }
        }

        #[test]
        fn encoding_makes_no_difference(name in "[A-Za-z0-9._@+~=,()-]{1,60}", folder in "[a-z]{1,10}") {
            prop_assume!(name != "." && name != "..");
            let encoded = name.bytes().fold(String::new(), |text, byte| format!("{text}%{byte:02x}"));
            prop_assert_eq!(clean_path(&format!("/{folder}/{encoded}")), Ok(format!("{folder}/{name}")));
        }
    }
}
