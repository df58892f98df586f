//! What a terminal sends, as keys.

/// A key, or a combination of keys.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Key {
    /// Back to the begin of the text.
    Begin,
    Character(char),
    /// Takes the character under the cursor; at the end of an empty line it is the end of the input.
    Delete,
    /// The same without the second meaning.
    DeleteOnly,
    End,
    Enter,
    EraseBack,
    EraseToBegin,
    EraseToEnd,
    EraseWord,
    Interrupt,
    Left,
    /// The next line of the history.
    Newer,
    /// Nothing that means anything here.
    None,
    /// The line before in the history.
    Older,
    /// Draw the screen anew.
    Redraw,
    Right,
    /// The line before in the history that contains what was typed.
    Search,
    Tab,
    WordLeft,
    WordRight,
}

/// Longest sequence that a key sends; what is longer is none.
const LONGEST: usize = 16;

/// The first key of what was received and its number of bytes; `None` while it is not whole.
pub(crate) fn first(bytes: &[u8]) -> Option<(Key, usize)> {
    let (&byte, rest) = bytes.split_first()?;
    let key = match byte {
        b'\n' | b'\r' => Key::Enter,
        0x01 => Key::Begin,
        0x02 => Key::Left,
        0x03 => Key::Interrupt,
        0x04 => Key::Delete,
        0x05 => Key::End,
        0x06 => Key::Right,
        0x08 | 0x7f => Key::EraseBack,
        b'\t' => Key::Tab,
        0x0b => Key::EraseToEnd,
        0x0c => Key::Redraw,
        0x0e => Key::Newer,
        0x10 => Key::Older,
        0x12 => Key::Search,
        0x15 => Key::EraseToBegin,
        0x17 => Key::EraseWord,
        0x1b => return escape(rest).map(|(key, count)| (key, count + 1)),
        0..0x20 => Key::None,
        _ => return character(bytes),
    };
    Some((key, 1))
}

/// What follows an escape.
fn escape(rest: &[u8]) -> Option<(Key, usize)> {
    match rest {
        // Not whole yet: one of the next forms may come of it.
        [] | [b'O'] => None,
        [b'[', rest @ ..] => {
            let Some(end) = rest.iter().position(|byte| (0x40..=0x7e).contains(byte)) else {
                return (rest.len() >= LONGEST).then_some((Key::None, rest.len() + 1));
            };
            Some((sequence(&rest[..end], rest[end]), end + 2))
        }
        [b'O', last, ..] => Some((sequence(&[], *last), 2)),
        [b'b', ..] => Some((Key::WordLeft, 1)),
        [b'f', ..] => Some((Key::WordRight, 1)),
        [0x7f | 0x08, ..] => Some((Key::EraseWord, 1)),
        // Escape by itself, and then something else.
        [..] => Some((Key::None, 0)),
    }
}

fn sequence(parameters: &[u8], last: u8) -> Key {
    // `1;5` and the like: with Control or Alt.
    let word = parameters.contains(&b';');
    match (last, parameters) {
        (b'A', _) => Key::Older,
        (b'B', _) => Key::Newer,
        (b'C', _) if word => Key::WordRight,
        (b'C', _) => Key::Right,
        (b'D', _) if word => Key::WordLeft,
        (b'D', _) => Key::Left,
        (b'H', _) | (b'~', b"1" | b"7") => Key::Begin,
        (b'F', _) | (b'~', b"4" | b"8") => Key::End,
        (b'~', b"3") => Key::DeleteOnly,
        _ => Key::None,
    }
}

/// A character of up to four bytes; what is none counts as one byte of nothing.
fn character(bytes: &[u8]) -> Option<(Key, usize)> {
    let length = match bytes.first()? {
        0xc0..0xe0 => 2,
        0xe0..0xf0 => 3,
        0xf0.. => 4,
        _ => 1,
    };
    let whole = bytes.get(..length.min(bytes.len())).unwrap_or_default();
    match std::str::from_utf8(whole) {
        Ok(text) => text.chars().next().map(|character| (Key::Character(character), length)),
        // A beginning that the next bytes may complete.
        Err(error) if error.error_len().is_none() && bytes.len() < length => None,
        Err(_) => Some((Key::None, 1)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn keys(mut bytes: &[u8]) -> Vec<Key> {
        let mut keys = Vec::new();
        while let Some((key, count)) = first(bytes) {
            keys.push(key);
            bytes = &bytes[count..];
        }
        keys
    }

    #[test]
    fn what_terminals_send() {
        assert_eq!(keys(b"a\x7f\r\n"), [Key::Character('a'), Key::EraseBack, Key::Enter, Key::Enter]);
        assert_eq!(keys(b"\x1b[A\x1b[B\x1b[C\x1b[D"), [Key::Older, Key::Newer, Key::Right, Key::Left]);
        assert_eq!(keys(b"\x1bOA\x1bOH\x1b[3~\x1b[F"), [Key::Older, Key::Begin, Key::DeleteOnly, Key::End]);
        assert_eq!(
            keys(b"\x1b[1;5C\x1b[1;3D\x1bb\x1bf"),
            [Key::WordRight, Key::WordLeft, Key::WordLeft, Key::WordRight]
        );
        assert_eq!(keys("ü“😀".as_bytes()), [Key::Character('ü'), Key::Character('“'), Key::Character('😀')]);
        // Not whole yet.
        assert_eq!(keys(b"\x1b[1;"), []);
        assert_eq!(keys(&"ü".as_bytes()[..1]), []);
        // Broken.
        assert_eq!(keys(b"\xffa"), [Key::None, Key::Character('a')]);
        assert_eq!(keys(b"\xc3a"), [Key::None, Key::Character('a')]);
        assert_eq!(keys(b"\x1bxa"), [Key::None, Key::Character('x'), Key::Character('a')]);
    }

    proptest! {
        #[test]
        fn any_bytes_come_to_an_end(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            let mut rest = bytes.as_slice();
            while let Some((_, count)) = first(rest) {
                prop_assert!(count > 0 && count <= rest.len());
                rest = &rest[count..];
            }
            // What is left is the beginning of one key.
            prop_assert!(rest.len() <= LONGEST + 2);
        }
    }
}
