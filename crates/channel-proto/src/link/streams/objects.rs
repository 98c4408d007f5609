//! Where a JSON object ends in a stream of bytes: over SPDY nothing else tells.

use bytes::{Buf, Bytes};

/// Finds the ends of the outermost objects, however the stream is cut. It looks at braces and strings only: whoever reads the object
/// finds out the rest.
#[derive(Default)]
pub(super) struct Objects {
    depth: usize,
    text: Text,
}

#[derive(Default, Clone, Copy)]
enum Text {
    #[default]
    Outside,
    Inside,
    /// Behind a backslash.
    Escaped,
}

impl Objects {
    /// Takes the front of `payload`: some of an object, and whether it ends there; or what stands where an object should begin, which is
    /// an end too. White space between objects is dropped; `None` when there was nothing else.
    pub(super) fn next(&mut self, payload: &mut Bytes) -> Option<(Bytes, bool)> {
        if self.depth == 0 {
            let blank = payload.iter().take_while(|byte| byte.is_ascii_whitespace()).count();
            payload.advance(blank);
            let stray = payload.iter().take_while(|byte| **byte != b'{').count();
            if stray > 0 {
                return Some((payload.split_to(stray), true));
            }
        }
        if payload.is_empty() {
            return None;
        }
        let end = payload.iter().position(|byte| self.ends(*byte));
        let len = end.map_or(payload.len(), |at| at + 1);
        Some((payload.split_to(len), end.is_some()))
    }

    /// Whether the outermost object ends with this byte.
    fn ends(&mut self, byte: u8) -> bool {
        match (self.text, byte) {
            (Text::Escaped, _) => self.text = Text::Inside,
            (Text::Inside, b'\\') => self.text = Text::Escaped,
            (Text::Inside, b'"') => self.text = Text::Outside,
            (Text::Outside, b'"') => self.text = Text::Inside,
            (Text::Outside, b'{') => self.depth += 1,
            (Text::Outside, b'}') => {
                self.depth = self.depth.saturating_sub(1);
                return self.depth == 0;
            }
            (Text::Outside | Text::Inside, _) => {}
        }
        false
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The texts that end somewhere, each whole.
    fn split(pieces: &[&[u8]]) -> Vec<String> {
        let (mut objects, mut ended, mut open) = (Objects::default(), Vec::new(), Vec::new());
        for piece in pieces {
            let mut piece = Bytes::copy_from_slice(piece);
            while let Some((part, end)) = objects.next(&mut piece) {
                open.extend_from_slice(&part);
                if end {
                    ended.push(String::from_utf8(std::mem::take(&mut open)).unwrap());
                }
            }
            assert!(piece.is_empty());
        }
        ended
    }

    // Holds SPE-7, SPE-9.
    #[test]
    fn objects_end_where_their_braces_do() {
        for (text, expected) in [
            (r#"{"a":{"b":1}}"#, vec![r#"{"a":{"b":1}}"#]),
            ("{}\n {}\n", vec!["{}", "{}"]),
            (r#"{"a":"}\"}{"} {"#, vec![r#"{"a":"}\"}{"}"#]),
            ("", vec![]),
            ("  \n", vec![]),
        ] {
            assert_eq!(split(&[text.as_bytes()]), expected);
            assert_eq!(split(&text.as_bytes().chunks(1).collect::<Vec<_>>()), expected);
        }
        assert_eq!(split(&[b"banana{}x"]), ["banana", "{}", "x"]);
    }
}
