//! Masking (RFC 6455 §5.3): XOR with a repeated key of four bytes.

/// The width of a pass. The compiler turns XOR of such blocks into vector instructions.
const BLOCK: usize = 32;

/// XORs `data` with `key` in place, the first byte with `key[0]`.
pub(super) fn unmask(data: &mut [u8], key: [u8; 4]) {
    let wide = widen(key);
    let (blocks, rest) = data.as_chunks_mut();
    for block in blocks {
        *block = xor(block, &wide);
    }
    for (byte, key) in rest.iter_mut().zip(&wide) {
        *byte ^= key;
    }
}

/// Appends `data`, XORed with `key`, to `out`: copy and mask in one pass.
#[inline]
pub(super) fn extend_masked(out: &mut Vec<u8>, data: &[u8], key: [u8; 4]) {
    let wide = widen(key);
    out.reserve(data.len());
    let (blocks, rest) = data.as_chunks();
    for block in blocks {
        out.extend_from_slice(&xor(block, &wide));
    }
    out.extend(rest.iter().zip(&wide).map(|(byte, key)| byte ^ key));
}

#[inline]
fn xor(block: &[u8; BLOCK], key: &[u8; BLOCK]) -> [u8; BLOCK] {
    std::array::from_fn(|at| block[at] ^ key[at])
}

/// The key for data that begins `by` bytes further into the frame.
pub(super) fn rotate(mut key: [u8; 4], by: usize) -> [u8; 4] {
    key.rotate_left(by % 4);
    key
}

fn widen(key: [u8; 4]) -> [u8; BLOCK] {
    std::array::from_fn(|at| key[at % 4])
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
