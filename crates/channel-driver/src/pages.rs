//! Where within a page bytes are copied from and to.
//!
//! On AMD's Zen 3 and 4 `rep movsb` takes some 15 times as long if the destination is up to 63 bytes behind the source, both taken modulo a page. Linux copies so
//! from a socket to us, and glibc up to 2.38 what is longer than 2 KiB (its bug 30994). It was half of what a download cost there.

use std::slice::Chunks;

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
    // A short one is never slow, and asking for its address may cost a sink that grows.
    if data.len() > SHORT {
        let address = to.chunk_mut().as_mut_ptr();
        pieces(data, address).for_each(|piece| to.put_slice(piece));
    } else {
        to.put_slice(data);
    }
    data.len()
}

/// What to copy at once to this address.
fn pieces(data: &[u8], address: *const u8) -> Chunks<'_, u8> {
    let slow = (1..64).contains(&distance(data.as_ptr(), address.addr()));
    data.chunks(if slow { SHORT } else { data.len().max(1) })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn data() -> Vec<u8> {
        (0..=250).cycle().take(3 * PAGE).collect()
    }

    #[test]
    fn a_copy_is_the_same_wherever_it_goes() {
        let data = data();
        let mut room = vec![0; 5 * PAGE];
        let same_place = distance(room.as_ptr(), data.as_ptr().addr());
        for behind in 0..70 {
            for size in [0, 1, SHORT, SHORT + 1, 3 * PAGE] {
                let to = &mut room[same_place + behind..][..size];
                assert_eq!(copy(&data, &mut &mut *to), size);
                assert_eq!(to, &data[..size], "{size}, {behind} bytes behind");
            }
        }
        assert_eq!(copy(&[], &mut &mut room[..]), 0);
        let mut grown = Vec::new();
        assert_eq!((copy(&data, &mut grown), &grown), (data.len(), &data));
    }

    #[test]
    fn what_is_just_behind_within_the_page_is_copied_in_short_pieces() {
        let (data, room) = (data(), [0; 2 * PAGE]);
        let same_place = distance(room.as_ptr(), data.as_ptr().addr());
        let count = |behind: usize| pieces(&data, room[same_place + behind..].as_ptr()).count();
        assert_eq!([0, 1, 63, 64, PAGE - 1].map(count), [1, 6, 6, 1, 1]);
        assert_eq!(pieces(&[], room.as_ptr()).count(), 0);
    }
}
