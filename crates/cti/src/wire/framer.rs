//! Where a document on the stream ends (cti.md 2): documents follow one another without length or separator.

use bytes::{Bytes, BytesMut};

/// Why the stream cannot be cut into documents. Nothing after it can be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum FrameError {
    /// There is a document type declaration.
    #[error("document type declarations are not accepted")]
    Doctype,
    /// What comes is no XML.
    #[error("not an XML document")]
    NotXml,
    /// Elements are nested too deep.
    #[error("the document is nested too deep")]
    TooDeep,
    /// A document is larger than allowed.
    #[error("the document is too large")]
    TooLarge,
}

/// Where in a document the next byte is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    /// Between documents.
    Between,
    /// In a byte order mark before a document, this many bytes seen.
    Mark(usize),
    /// In a document before its root: white space and markup only.
    Prolog,
    /// In the root's content.
    Text,
    /// After `<`.
    Open,
    /// After `<!`.
    Bang,
    /// After `<!-`.
    CommentOpen,
    /// After `<!` and this many bytes of `[CDATA[`.
    CdataOpen(usize),
    /// In a start tag; whether the last byte was `/`.
    StartTag(bool),
    /// In an attribute value with this quote.
    Quoted(u8),
    /// In an end tag.
    EndTag,
    /// In a comment, this many `-` just seen (two at most).
    Comment(u8),
    /// In a CDATA section, this many `]` just seen (two at most).
    Cdata(u8),
    /// In a processing instruction or declaration; whether the last byte was `?`.
    Instruction(bool),
}

const MARK: [u8; 3] = [0xEF, 0xBB, 0xBF];
const CDATA: &[u8] = b"[CDATA[";

/// Cuts a stream of bytes into documents, whatever pieces it comes in. Every byte is looked at once.
///
/// Between documents white space, NUL bytes and byte order marks are passed over. What is cut out is delimited, not
/// checked: [`super::parse`] does that. Safe to feed with anything (a fuzz target does).
#[derive(Debug)]
pub struct Framer {
    buffer: BytesMut,
    state: State,
    depth: usize,
    max_bytes: usize,
    max_depth: usize,
}

impl Framer {
    /// A framer for documents of at most `max_bytes` bytes and `max_depth` nested elements.
    pub fn new(max_bytes: usize, max_depth: usize) -> Self {
        Self { buffer: BytesMut::new(), state: State::Between, depth: 0, max_bytes, max_depth }
    }

    /// Takes the next bytes of the stream and appends the documents that they complete. Documents that came before an
    /// error are appended too; after an error the framer must not be fed again.
    ///
    /// # Errors
    /// See [`FrameError`].
    pub fn feed(&mut self, bytes: &[u8], documents: &mut Vec<Bytes>) -> Result<(), FrameError> {
        // First byte that belongs to the document under way and is not in the buffer yet.
        let mut begin = 0;
        for (at, byte) in bytes.iter().enumerate() {
            if self.passes_over(*byte)? {
                begin = at + 1;
                continue;
            }
            if self.buffer.len() + (at - begin) >= self.max_bytes {
                return Err(FrameError::TooLarge);
            }
            if self.step(*byte)? {
                self.buffer.extend_from_slice(bytes.get(begin..=at).unwrap_or_default());
                documents.push(self.buffer.split().freeze());
                self.state = State::Between;
                begin = at + 1;
            }
        }
        self.buffer.extend_from_slice(bytes.get(begin..).unwrap_or_default());
        Ok(())
    }

    /// Whether the stream is in the middle of a document.
    pub fn is_inside(&self) -> bool {
        self.state != State::Between
    }

    /// Whether a byte lies between documents.
    fn passes_over(&mut self, byte: u8) -> Result<bool, FrameError> {
        match self.state {
            State::Between if matches!(byte, b' ' | b'\t' | b'\r' | b'\n' | 0) => Ok(true),
            State::Between if byte == MARK[0] => {
                self.state = State::Mark(1);
                Ok(true)
            }
            State::Mark(seen) if MARK.get(seen) == Some(&byte) => {
                self.state = if seen + 1 == MARK.len() { State::Between } else { State::Mark(seen + 1) };
                Ok(true)
            }
            State::Mark(_) => Err(FrameError::NotXml),
            _ => Ok(false),
        }
    }

    /// Takes one byte of a document; whether it is the last.
    #[expect(clippy::match_same_arms, reason = "the arms are grouped by state")]
    fn step(&mut self, byte: u8) -> Result<bool, FrameError> {
        self.state =
            match (self.state, byte) {
                (State::Between | State::Prolog | State::Text, b'<') => State::Open,
                (State::Prolog, b' ' | b'\t' | b'\r' | b'\n') => State::Prolog,
                (State::Text, _) => State::Text,

                (State::Open, b'?') => State::Instruction(false),
                (State::Open, b'!') => State::Bang,
                (State::Open, b'/') if self.depth > 0 => State::EndTag,
                (State::Open, b'A'..=b'Z' | b'a'..=b'z' | b'_' | 0x80..) => State::StartTag(false),

                (State::Bang, b'-') => State::CommentOpen,
                (State::Bang, b'[') if self.depth > 0 => State::CdataOpen(1),
                (State::Bang, b'D' | b'd') => return Err(FrameError::Doctype),
                (State::CommentOpen, b'-') => State::Comment(0),
                (State::CdataOpen(seen), byte) if CDATA.get(seen) == Some(&byte) => {
                    if seen + 1 == CDATA.len() { State::Cdata(0) } else { State::CdataOpen(seen + 1) }
                }

                (State::StartTag(empty), b'>') => {
                    if self.depth >= self.max_depth {
                        return Err(FrameError::TooDeep);
                    }
                    if !empty {
                        self.depth += 1;
                    } else if self.depth == 0 {
                        return Ok(true);
                    }
                    State::Text
                }
                (State::StartTag(_), quote @ (b'"' | b'\'')) => State::Quoted(quote),
                (State::StartTag(_) | State::Quoted(_) | State::EndTag, b'<') => {
                    return Err(FrameError::NotXml);
                }
                (State::StartTag(_), byte) => State::StartTag(byte == b'/'),
                (State::Quoted(quote), byte) => {
                    if byte == quote {
                        State::StartTag(false)
                    } else {
                        State::Quoted(quote)
                    }
                }
                (State::EndTag, b'>') => {
                    self.depth -= 1;
                    if self.depth == 0 {
                        return Ok(true);
                    }
                    State::Text
                }
                (State::EndTag, _) => State::EndTag,

                (State::Comment(2) | State::Instruction(true), b'>') => self.outside_markup(),
                (State::Comment(dashes), b'-') => State::Comment((dashes + 1).min(2)),
                (State::Comment(_), _) => State::Comment(0),
                (State::Cdata(2), b'>') => State::Text,
                (State::Cdata(brackets), b']') => State::Cdata((brackets + 1).min(2)),
                (State::Cdata(_), _) => State::Cdata(0),
                (State::Instruction(_), byte) => State::Instruction(byte == b'?'),

                (
                    State::Between
                    | State::Mark(_)
                    | State::Prolog
                    | State::Open
                    | State::Bang
                    | State::CommentOpen
                    | State::CdataOpen(_),
                    _,
                ) => return Err(FrameError::NotXml),
            };
        Ok(false)
    }

    fn outside_markup(&self) -> State {
        if self.depth == 0 { State::Prolog } else { State::Text }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const MAX: usize = 4096;

    fn cut(pieces: &[&[u8]]) -> (Vec<String>, Option<FrameError>) {
        let mut framer = Framer::new(MAX, 32);
        let mut documents = Vec::new();
        let error = pieces.iter().find_map(|piece| framer.feed(piece, &mut documents).err());
        (documents.iter().map(|document| String::from_utf8_lossy(document).into_owned()).collect(), error)
    }

    #[test]
    fn documents_back_to_back_and_apart() {
        let stream = b"\xEF\xBB\xBF<?xml version='1.0'?>\n<a x='>' y=\"/>\">t<b/><![CDATA[</a>]]]]><!-- </a> - -- ></a>--></a><c/>\r\n\0<d></d>\0\0 <e";
        let (documents, error) = cut(&[stream]);
        assert_eq!(error, None);
        assert_eq!(
            documents,
            [
                "<?xml version='1.0'?>\n<a x='>' y=\"/>\">t<b/><![CDATA[</a>]]]]><!-- </a> - -- ></a>--></a>",
                "<c/>",
                "<d></d>"
            ]
        );
    }

    #[test]
    fn what_is_no_xml_is_told_at_once() {
        for (stream, error) in [
            (&b"GET / HTTP/1.1\r\n"[..], FrameError::NotXml),
            (b"\x16\x03\x01\x02\x00", FrameError::NotXml),
            (b"<a></a>garbage", FrameError::NotXml),
            (b"</a>", FrameError::NotXml),
            (b"<1>", FrameError::NotXml),
            (b"<?xml version='1.0'?>x", FrameError::NotXml),
            (b"<![CDATA[]]>", FrameError::NotXml),
            (b"<a><![CDATx", FrameError::NotXml),
            (b"<a b='<'/>", FrameError::NotXml),
            (b"<a <b", FrameError::NotXml),
            (b"\xEF\xBBx", FrameError::NotXml),
            (b"<!DOCTYPE a [<!ENTITY b 'c'>]>", FrameError::Doctype),
        ] {
            assert_eq!(cut(&[stream]).1, Some(error), "{}", String::from_utf8_lossy(stream));
        }
    }

    #[test]
    fn bounds() {
        assert_eq!(cut(&["<a>".repeat(100_000).as_bytes()]).1, Some(FrameError::TooDeep));
        assert_eq!(cut(&[b"<a>", "x".repeat(MAX).as_bytes()]).1, Some(FrameError::TooLarge));
        let exact = format!("<a>{}</a>", "x".repeat(MAX - 7));
        assert_eq!(cut(&[exact.as_bytes(), b"<b/>"]).0.len(), 2);
        assert_eq!(cut(&[" ".repeat(10 * MAX).as_bytes()]), (Vec::new(), None));
    }

    fn document() -> impl Strategy<Value = String> {
        let piece = prop_oneof![
            Just("text &amp; ".to_owned()),
            Just("<b x='>'/>".to_owned()),
            Just("<b y=\"'/>\">é</b >".to_owned()),
            Just("<!-- > - ] -->".to_owned()),
            Just("<![CDATA[ </a> ]] > ]]>".to_owned()),
            Just("<?pi > ?x?>".to_owned()),
            "[ a-z\n]{0,10}".prop_map(|text| text),
        ];
        (any::<bool>(), prop::collection::vec(piece, 0..6)).prop_map(|(declared, pieces)| {
            format!("{}<a>{}</a>", if declared { "<?xml version=\"1.0\"?>\n" } else { "" }, pieces.concat())
        })
    }

    proptest! {
        #[test]
        fn however_it_is_chunked(
            documents in prop::collection::vec((document(), "[ \r\n\t\u{0}]{0,3}"), 0..5),
            cuts in prop::collection::vec(any::<prop::sample::Index>(), 0..12),
        ) {
            let stream: String = documents.iter().flat_map(|(document, gap)| [document.as_str(), gap]).collect();
            let stream = stream.as_bytes();
            let mut cuts: Vec<usize> = cuts.iter().map(|cut| cut.index(stream.len() + 1)).collect();
            cuts.extend([0, stream.len()]);
            cuts.sort_unstable();
            let pieces: Vec<&[u8]> = cuts.windows(2).map(|pair| &stream[pair[0]..pair[1]]).collect();
            let expected: Vec<String> = documents.iter().map(|(document, _)| document.clone()).collect();
            prop_assert_eq!(cut(&pieces), (expected.clone(), None));
            let bytes: Vec<&[u8]> = stream.chunks(1).collect();
            prop_assert_eq!(cut(&bytes), (expected, None));
        }

        #[test]
        fn garbage_gives_the_same_however_chunked(stream in prop::collection::vec(any::<u8>(), 0..200)) {
            let bytes: Vec<&[u8]> = stream.chunks(1).collect();
            prop_assert_eq!(cut(&[&stream]), cut(&bytes));
        }

        #[test]
        fn nearly_xml_gives_the_same_however_chunked(text in "(<|>|/|a|b|=|'|\"|!|-|\\[CDATA\\[|\\]| |\n|\\?|xml|é){0,40}") {
            let bytes: Vec<&[u8]> = text.as_bytes().chunks(1).collect();
            prop_assert_eq!(cut(&[text.as_bytes()]), cut(&bytes));
        }
    }
}
