//! Terminal sizes on channel 4 (EXE-5 to EXE-7).

use bytes::Bytes;
use serde::Deserialize;

/// The size of a terminal, in characters.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TerminalSize {
    /// Columns.
    pub width: u16,
    /// Rows.
    pub height: u16,
}

impl TerminalSize {
    /// The text that a client sends.
    pub(super) fn to_json(self) -> Bytes {
        format!("{{\"Width\":{},\"Height\":{}}}", self.width, self.height).into()
    }

    /// Whether either is zero: such a size is ignored by servers.
    pub(super) fn is_empty(self) -> bool {
        self.width == 0 || self.height == 0
    }
}

/// One object as clients send it. Keys in any case, as Go's `encoding/json` reads them; other keys are ignored.
struct Wire {
    width: u16,
    height: u16,
}

impl<'de> Deserialize<'de> for Wire {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Visitor;
        impl<'de> serde::de::Visitor<'de> for Visitor {
            type Value = Wire;

            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("an object with Width and Height")
            }

            fn visit_map<A: serde::de::MapAccess<'de>>(self, mut map: A) -> Result<Wire, A::Error> {
                let mut size = Wire { width: 0, height: 0 };
                while let Some(key) = map.next_key::<std::borrow::Cow<'de, str>>()? {
                    if key.eq_ignore_ascii_case("width") {
                        size.width = map.next_value()?;
                    } else if key.eq_ignore_ascii_case("height") {
                        size.height = map.next_value()?;
                    } else {
                        map.next_value::<serde::de::IgnoredAny>()?;
                    }
                }
                Ok(size)
            }
        }
        deserializer.deserialize_map(Visitor)
    }
}

/// Reads sizes out of text in pieces: several objects in a message, or one object in several.
pub(super) struct ResizeReader {
    limit: usize,
    text: Vec<u8>,
    newest: Option<TerminalSize>,
    message: Message,
}

/// What the message in progress is worth.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Message {
    Sound,
    /// Something in it is not a size; the rest of it is passed over.
    Broken,
}

impl ResizeReader {
    pub(super) fn new(limit: usize) -> Self {
        Self { limit, text: Vec::new(), newest: None, message: Message::Sound }
    }

    /// Takes a piece and, if it is the last of its message, gives the newest size that the message completed.
    ///
    /// Text that is not a size is dropped with all that was collected, and so is more than the limit: the real servers read no
    /// resize after that, and in the end nothing at all; a server must not hang on a peer's mistake (EXE-7).
    pub(super) fn push(&mut self, piece: &[u8], end: bool) -> Option<TerminalSize> {
        let mut rest = piece;
        // Never more than the limit is looked at, so that what is read does not depend on how the text was cut.
        while self.message == Message::Sound && !rest.is_empty() {
            let room = self.limit - self.text.len();
            let (part, behind) = rest.split_at(room.min(rest.len()));
            match part {
                [] => self.give_up(),
                part => {
                    self.text.extend_from_slice(part);
                    self.read();
                }
            }
            rest = behind;
        }
        if !end {
            return None;
        }
        self.message = Message::Sound;
        self.newest.take()
    }

    fn read(&mut self) {
        let mut sizes = serde_json::Deserializer::from_slice(&self.text).into_iter::<Wire>();
        let broken = loop {
            match sizes.next() {
                Some(Ok(Wire { width, height })) => {
                    let size = TerminalSize { width, height };
                    self.newest = Some(size).filter(|size| !size.is_empty()).or(self.newest);
                }
                Some(Err(error)) => break !error.is_eof(),
                None => break false,
            }
        };
        let used = sizes.byte_offset();
        self.text.drain(..used);
        if broken {
            self.give_up();
        }
    }

    fn give_up(&mut self) {
        self.text.clear();
        self.message = Message::Broken;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What each message gives, the same whole and byte by byte.
    fn read(messages: &[&str]) -> Vec<Option<(u16, u16)>> {
        let mut whole = ResizeReader::new(1024);
        let mut bytewise = ResizeReader::new(1024);
        let read = |message: &&str| {
            let size = whole.push(message.as_bytes(), true);
            for byte in message.as_bytes().chunks(1) {
                assert_eq!(bytewise.push(byte, false), None);
            }
            assert_eq!(bytewise.push(b"", true), size, "{message}");
            size.map(|size| (size.width, size.height))
        };
        messages.iter().map(read).collect()
    }

    // Holds EXE-5, EXE-6.
    #[test]
    fn sizes_come_one_or_several_in_a_message_or_split() {
        assert_eq!(read(&[r#"{"Width":120,"Height":40}"#]), [Some((120, 40))]);
        assert_eq!(
            read(&["{\"Width\":100,\"Height\":30}\n{\"Width\":101,\"Height\":31}\n"]),
            [Some((101, 31))]
        );
        assert_eq!(read(&[r#"{"Width":77,"#, r#""Height":33}"#]), [None, Some((77, 33))]);
        assert_eq!(read(&[r#"{"width":66,"height":22,"x":1}"#]), [Some((66, 22))]);
    }

    // Holds EXE-7.
    #[test]
    fn after_a_bad_size_the_next_good_one_counts() {
        let good = r#"{"Width":90,"Height":20}"#;
        for bad in [
            "banana",
            r#"{"Width":70000,"Height":1}"#,
            r#"{"Width":-1,"Height":1}"#,
            "[1]",
            "\u{0}",
            "banana{\"Width\":1,\"Height\":1}",
        ] {
            assert_eq!(read(&[bad, good]), [None, Some((90, 20))], "{bad}");
        }
        let long = format!("{{\"x\":\"{}", "y".repeat(2000));
        assert_eq!(read(&[&long, good]), [None, Some((90, 20))]);
    }

    // Holds EXE-7.
    #[test]
    fn a_size_of_zero_is_ignored() {
        assert_eq!(read(&[r#"{"Width":0,"Height":0}"#, r#"{"Width":5}"#]), [None, None]);
    }
}
