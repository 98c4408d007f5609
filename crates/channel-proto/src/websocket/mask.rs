//! Masking (RFC 6455 §5.3): XOR with a repeated key of four bytes.

/// XORs `data` with `key` in place, the first byte with `key[0]`.
pub(super) fn unmask(data: &mut [u8], key: [u8; 4]) {
    let (words, rest) = data.as_chunks_mut();
    for word in words {
        *word = xor(*word, key);
    }
    for (byte, key) in rest.iter_mut().zip(key) {
        *byte ^= key;
    }
}

/// Appends `data`, XORed with `key`, to `out`: copy and mask in one pass.
#[inline]
pub(super) fn extend_masked(out: &mut Vec<u8>, data: &[u8], key: [u8; 4]) {
    let (words, rest) = data.as_chunks();
    out.reserve(data.len());
    out.extend(words.iter().flat_map(|word| xor(*word, key)));
    out.extend(rest.iter().zip(key).map(|(byte, key)| byte ^ key));
}

/// The compiler turns a run of these into vector instructions.
#[inline]
fn xor(word: [u8; 4], key: [u8; 4]) -> [u8; 4] {
    (u32::from_ne_bytes(word) ^ u32::from_ne_bytes(key)).to_ne_bytes()
}

/// The key for data that begins `by` bytes further into the frame.
pub(super) fn rotate(mut key: [u8; 4], by: usize) -> [u8; 4] {
    key.rotate_left(by % 4);
    key
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plain(data: &[u8], key: [u8; 4]) -> Vec<u8> {
        data.iter().enumerate().map(|(at, byte)| byte ^ key[at % 4]).collect()
    }

    // Holds WSF-1.
    #[test]
    fn masking_is_xor_with_the_repeated_key_at_every_length_and_offset() {
        let key = [0x37, 0xfa, 0x21, 0x3d];
        for len in 0..200 {
            let data: Vec<u8> = (0..len).collect();
            let mut out = vec![9];
            extend_masked(&mut out, &data, key);
            assert_eq!(out[1..], plain(&data, key));
            for cut in 0..=data.len() {
                let mut pieces = plain(&data, key);
                let (left, right) = pieces.split_at_mut(cut);
                unmask(left, key);
                unmask(right, rotate(key, cut));
                assert_eq!(pieces, data);
            }
        }
    }
}
