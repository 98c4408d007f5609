//! Base64 as a stream: text in pieces of any size in, bytes out (FRM-3 to FRM-7).

use base64::{
    DecodeError, Engine, alphabet,
    engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig},
};
use bytes::{Bytes, BytesMut};

/// Padded standard base64. Stray bits in the last symbol are let pass, as Go's `base64.StdEncoding` does.
const ENGINE: GeneralPurpose = GeneralPurpose::new(
    &alphabet::STANDARD,
    GeneralPurposeConfig::new()
        .with_decode_padding_mode(DecodePaddingMode::RequireCanonical)
        .with_decode_allow_trailing_bits(true),
);

/// Appends `payload` in base64 to `out`.
pub(crate) fn encode_into(out: &mut String, payload: &[u8]) {
    ENGINE.encode_string(payload, out);
}

/// Decodes one message. What it decodes does not depend on how the text was cut.
#[derive(Default)]
pub(super) struct Base64Decoder {
    /// Symbols of the group in progress, then, while a piece is decoded, those of the piece.
    symbols: Vec<u8>,
    out: BytesMut,
    delivered: Delivered,
}

/// Whether some of the message was handed out already: then the rest cannot be dropped without losing data silently.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) enum Delivered {
    #[default]
    Nothing,
    Some,
}

/// What a piece of text came to.
pub(super) enum Decoded {
    Bytes(Bytes),
    /// These bytes, then text that is not base64.
    Broken(Bytes),
}

impl Base64Decoder {
    /// Begins a message.
    pub(super) fn start(&mut self) {
        self.symbols.clear();
        self.delivered = Delivered::Nothing;
    }

    /// Whether anything of this message was decoded.
    pub(super) fn delivered(&self) -> Delivered {
        self.delivered
    }

    /// Decodes `text`, the last of its message if `end`.
    pub(super) fn decode(&mut self, text: &[u8], end: bool) -> Decoded {
        self.symbols.extend(text.iter().filter(|symbol| !matches!(symbol, b'\r' | b'\n')));
        // A group with padding is only right at the end of the message, so it waits until it is known to be the last.
        let groups = self.symbols.len() / 4 * 4;
        let whole = match self.symbols.last() {
            _ if end => self.symbols.len(),
            Some(b'=') if groups == self.symbols.len() => groups - 4,
            _ => groups,
        };
        let result = match self.symbols[..whole].last() {
            Some(b'=') if !end => self.decode_groups(whole - 1),
            _ => self.decode_groups(whole),
        };
        self.symbols.drain(..whole);
        let bytes = self.out.split().freeze();
        if !bytes.is_empty() {
            self.delivered = Delivered::Some;
        }
        match result {
            Ok(()) => Decoded::Bytes(bytes),
            Err(_) => Decoded::Broken(bytes),
        }
    }

    /// Decodes the first `len` symbols to `out`; of a broken text, all that stands before the broken group.
    fn decode_groups(&mut self, len: usize) -> Result<(), DecodeError> {
        let mut result = Ok(());
        let mut symbols = &self.symbols[..len];
        // More than once, because the engine looks at a last symbol that stands alone before it looks at the others.
        while let Err(error) = decode_to(&mut self.out, symbols) {
            let fault = match error {
                DecodeError::InvalidByte(at, _) | DecodeError::InvalidLastSymbol(at, _) => at,
                DecodeError::InvalidLength(_) | DecodeError::InvalidPadding => {
                    symbols.len().saturating_sub(1)
                }
            };
            symbols = &symbols[..fault / 4 * 4];
            if let [groups @ .., _, _, _, b'='] = symbols {
                // Padding before the end is a fault, too.
                symbols = groups;
            }
            result = Err(error);
        }
        result
    }
}

fn decode_to(out: &mut BytesMut, symbols: &[u8]) -> Result<(), DecodeError> {
    out.resize(symbols.len() / 4 * 3 + 3, 0);
    match ENGINE.decode_slice(symbols, out) {
        Ok(len) => {
            out.truncate(len);
            Ok(())
        }
        Err(error) => {
            out.clear();
            Err(match error {
                base64::DecodeSliceError::DecodeError(error) => error,
                base64::DecodeSliceError::OutputSliceTooSmall => DecodeError::InvalidLength(symbols.len()),
            })
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What a message decodes to, and whether it is sound, for every way to cut it in two and byte by byte.
    fn decode(text: &str) -> (Vec<u8>, bool) {
        let run = |pieces: Vec<&[u8]>| {
            let mut decoder = Base64Decoder::default();
            decoder.start();
            let (mut out, last) = (Vec::new(), pieces.len() - 1);
            for (at, piece) in pieces.into_iter().enumerate() {
                match decoder.decode(piece, at == last) {
                    Decoded::Bytes(bytes) => out.extend_from_slice(&bytes),
                    Decoded::Broken(bytes) => {
                        out.extend_from_slice(&bytes);
                        return (out, false);
                    }
                }
            }
            (out, true)
        };
        let whole = run(vec![text.as_bytes()]);
        for cut in 0..=text.len() {
            let (left, right) = text.as_bytes().split_at(cut);
            assert_eq!(run(vec![left, right]), whole, "{text:?} cut at {cut}");
        }
        let bytewise = text.as_bytes().chunks(1).chain([&b""[..]]).collect();
        assert_eq!(run(bytewise), whole, "{text:?} byte by byte");
        whole
    }

    // Holds FRM-3, FRM-4.
    #[test]
    fn sound_text_decodes_the_same_in_any_cut() {
        assert_eq!(decode("aGkgdGhlcmUK"), (b"hi there\n".to_vec(), true));
        assert_eq!(decode("Y\nWI=\r\n"), (b"ab".to_vec(), true));
        assert_eq!(decode("YR=="), (b"a".to_vec(), true), "stray bits, as Go lets pass");
        assert_eq!(decode(""), (vec![], true));
    }

    // Holds FRM-5, FRM-6.
    #[test]
    fn unsound_text_gives_what_stood_before_it_in_any_cut() {
        for text in ["!!!!", "YQ", "_-_-", "YQ==YQ==", "YQ=", "="] {
            assert_eq!(decode(text), (vec![], false), "{text}");
        }
        for text in
            ["YWJj!!!!", "YWJjYQ", "YWJjYQ==YQ==", "YWJjYQ=!", "YWJjY===", "YWJj=", "YWJj!WJj!", "YWJjYQ==!"]
        {
            assert_eq!(decode(text), (b"abc".to_vec(), false), "{text}");
        }
    }
}
