//! Where within a page bytes are copied from and to.
//!
//! On AMD's Zen 3 and 4 `rep movsb` takes some 15 times as long if the destination is up to 63 bytes behind the source, both taken modulo a page. Linux copies so
//! from a socket to us, and glibc up to 2.38 what is longer than 2 KiB (its bug 30994). It was half of what a download cost there.

use bytes::BufMut;

/// No system of ours has smaller ones.
pub(crate) const PAGE: usize = 4 << 10;

/// What glibc copies otherwise.
const SHORT: usize = 2 << 10;

/// How far it is from an address to the next that is at this place within its page.
pub(crate) fn distance(address: *const u8, place: usize) -> usize {
    place.wrapping_sub(address.addr()) % PAGE
}

/// Copies as much of `data` as fits, and tells how much that was.
pub(crate) fn copy(data: &[u8], to: &mut impl BufMut) -> usize {
    let data = &data[..data.len().min(to.remaining_mut())];
    let slow = (1..64).contains(&distance(data.as_ptr(), to.chunk_mut().as_mut_ptr().addr()));
    data.chunks(if slow { SHORT } else { usize::MAX }).for_each(|piece| to.put_slice(piece));
    data.len()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_copy_is_the_same_wherever_it_goes() {
        let data: Vec<u8> = (0..=250).cycle().take(3 * PAGE).collect();
        let mut room = vec![0; 5 * PAGE];
        let behind = distance(room.as_ptr(), data.as_ptr().addr());
        for (skip, size) in
            [(behind, 3 * PAGE), (behind + 1, 3 * PAGE), (behind + 63, SHORT + 1), (behind + 64, 7)]
        {
            let to = &mut room[skip..skip + size];
            assert_eq!(copy(&data, &mut &mut *to), size);
            assert_eq!(to, &data[..size]);
        }
        assert_eq!(copy(&[], &mut &mut room[..]), 0);
        assert_eq!(copy(&data, &mut &mut room[..0]), 0);
    }
}
