//! The TCP checksum of packets that leave (RFC 9293 §3.1): made once, when nothing
//! in them changes any more; of text that is copied into them, in the same go. Or half
//! made, where the link makes the rest: then the field holds the sum of the
//! pseudo-header, and the link adds the segment's and complements it.

use super::demux::ETHERNET_HEADER_BYTES;
use smoltcp::wire::IPV4_HEADER_LEN;

/// Where the field is in a TCP header.
const FIELD: std::ops::Range<usize> = 16..18;
/// Where the segment begins, and what is summed with it, in every frame that we send: our
/// IPv4 headers have no options.
pub const SUMMED_FROM: usize = ETHERNET_HEADER_BYTES + IPV4_HEADER_LEN;
/// Where the checksum is, from there.
pub const FIELD_AT: usize = FIELD.start;
const PROTOCOL_TCP: u16 = 6;
/// What fits into the nearest cache beside its copy, bytes; an even number.
const NEAR_BYTES: usize = 4096;
/// Words that are summed side by side, which the compiler makes vectors of.
const LANES: usize = 8;

/// The sum of a text that is put together from pieces.
#[derive(Clone, Copy, Debug, Default)]
pub struct TextSum {
    sum: u64,
    bytes: usize,
    /// Whether it is the link's to make.
    is_left: bool,
}

impl TextSum {
    /// Of a text still to come; with `is_left`, in a packet whose checksum the link
    /// finishes.
    pub fn new(is_left: bool) -> TextSum {
        TextSum {
            is_left,
            ..TextSum::default()
        }
    }

    /// Copies the next piece to its `place`, which is as long, and adds it.
    pub fn copy(&mut self, place: &mut [u8], piece: &[u8]) {
        if self.is_left {
            place.copy_from_slice(piece);
            return;
        }
        let piece_sum = copy_and_sum(place, piece);
        // Behind an odd number of bytes high and low ones change places.
        self.sum += match self.bytes % 2 {
            0 => piece_sum,
            _ => u64::from(fold(piece_sum).swap_bytes()),
        };
        self.bytes += piece.len();
    }
}

/// Writes the checksum of `packet`, a TCP segment behind an IPv4 header without
/// options.
pub fn seal(packet: &mut [u8]) {
    seal_with(packet, TextSum::default());
}

/// The same, where the sum of the packet's last bytes, its `text`, is known, or where it
/// is the link's to make.
pub fn seal_with(packet: &mut [u8], text: TextSum) {
    let Some((ip, segment)) = packet.split_at_mut_checked(IPV4_HEADER_LEN) else {
        return;
    };
    let Some(field) = segment.get_mut(FIELD) else {
        return;
    };
    field.fill(0);
    let addresses = &ip[12..];
    let length = (segment.len() as u16).to_be();
    let pseudo = sum(addresses) + u64::from(PROTOCOL_TCP.to_be()) + u64::from(length);
    let checksum = if text.is_left {
        fold(pseudo)
    } else {
        let summed = &segment[..segment.len().saturating_sub(text.bytes)];
        !fold(pseudo + sum(summed) + text.sum)
    };
    segment[FIELD].copy_from_slice(&checksum.to_ne_bytes());
}

/// What a link does that finishes checksums: makes the whole of what `seal_with` left.
pub fn finish(frame: &mut [u8]) {
    let Some(segment) = frame.get_mut(SUMMED_FROM..) else {
        return;
    };
    let checksum = !fold(sum(segment));
    if let Some(field) = segment.get_mut(FIELD) {
        field.copy_from_slice(&checksum.to_ne_bytes());
    }
}

/// The sum of the words of `bytes`, as they lie in memory: which byte is the high one
/// makes no difference to the folded sum but its order (RFC 1071 §2 (B)).
fn sum(bytes: &[u8]) -> u64 {
    let mut lanes = [0; LANES];
    let mut add = |block: &[u8; 4 * LANES]| {
        for (lane, word) in lanes.iter_mut().zip(block.as_chunks().0) {
            *lane += u64::from(u32::from_ne_bytes(*word));
        }
    };
    let (blocks, rest) = bytes.as_chunks();
    blocks.iter().for_each(&mut add);
    let mut last = [0; 4 * LANES];
    last[..rest.len()].copy_from_slice(rest);
    add(&last);
    lanes.iter().sum()
}

/// The same, while they are copied: what was just copied is near at hand.
fn copy_and_sum(place: &mut [u8], bytes: &[u8]) -> u64 {
    let pieces = bytes.chunks(NEAR_BYTES);
    let places = place.chunks_mut(NEAR_BYTES);
    let copies = places.zip(pieces).map(|(place, piece)| {
        place.copy_from_slice(piece);
        sum(piece)
    });
    copies.sum()
}

/// Ones' complement: what overflows sixteen bits is added again.
fn fold(mut sum: u64) -> u16 {
    while sum > 0xffff {
        sum = (sum >> 16) + (sum & 0xffff);
    }
    sum as u16
}

#[cfg(test)]
mod tests {
    use super::*;
    use etherparse::{PacketBuilder, TcpHeaderSlice};
    use proptest::prelude::*;

    #[test]
    fn what_is_too_short_stays_as_it_is() {
        for len in [0, 19, 20, 37] {
            let mut packet = vec![0xaa; len];
            seal(&mut packet);
            assert_eq!(packet, vec![0xaa; len], "{len}");
        }
    }

    proptest! {
        #[test]
        fn what_is_left_to_the_link_is_the_rest(
            pieces in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..100), 0..6),
            addresses in any::<([u8; 4], [u8; 4])>(),
        ) {
            let text = pieces.concat();
            let builder = PacketBuilder::ethernet2([2; 6], [4; 6])
                .ipv4(addresses.0, addresses.1, 64)
                .tcp(80, 5_000, 1, 2);
            let mut whole = Vec::new();
            prop_assume!(builder.write(&mut whole, &text).is_ok());
            let mut frame = whole.clone();
            frame[SUMMED_FROM + FIELD_AT..][..2].fill(0x5a);
            frame[54..].fill(0x5a);
            let (mut sum, mut at) = (TextSum::new(true), 54);
            for piece in &pieces {
                sum.copy(&mut frame[at..at + piece.len()], piece);
                at += piece.len();
            }
            seal_with(&mut frame[ETHERNET_HEADER_BYTES..], sum);
            // Linux leaves the sum of the pseudo-header, folded and not complemented.
            let words = |bytes: &[u8]| -> u64 {
                bytes.as_chunks().0.iter().map(|&word| u64::from(u16::from_be_bytes(word))).sum()
            };
            let length = (frame.len() - SUMMED_FROM) as u64;
            let pseudo = fold(words(&frame[26..34]) + 6 + length);
            prop_assert_eq!(&frame[SUMMED_FROM + FIELD_AT..][..2], &pseudo.to_be_bytes());
            finish(&mut frame);
            prop_assert_eq!(frame, whole);
        }

        #[test]
        fn a_text_copied_in_pieces_has_the_same_sum(
            pieces in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..100), 0..6),
        ) {
            let text = pieces.concat();
            let builder = PacketBuilder::ipv4([10, 0, 0, 1], [10, 0, 0, 2], 64).tcp(80, 5_000, 1, 2);
            let mut whole = Vec::new();
            prop_assume!(builder.write(&mut whole, &text).is_ok());
            let mut packet = whole.clone();
            packet[36..38].fill(0x5a);
            packet[40..].fill(0x5a);
            let (mut sum, mut at) = (TextSum::default(), 40);
            for piece in &pieces {
                sum.copy(&mut packet[at..at + piece.len()], piece);
                at += piece.len();
            }
            seal_with(&mut packet, sum);
            prop_assert_eq!(packet, whole);
        }

        #[test]
        fn it_is_the_checksum_of_another_implementation(
            addresses in any::<([u8; 4], [u8; 4])>(),
            (seq, window) in any::<(u32, u16)>(),
            text in prop::collection::vec(any::<u8>(), 0..200),
            fill in prop::option::of(any::<u8>()),
        ) {
            // All the same are where carries are.
            let text = fill.map_or(text.clone(), |byte| vec![byte; text.len() * 300]);
            let builder = PacketBuilder::ipv4(addresses.0, addresses.1, 64).tcp(80, 5_000, seq, window);
            let mut packet = Vec::new();
            prop_assume!(builder.write(&mut packet, &text).is_ok());
            let want = TcpHeaderSlice::from_slice(&packet[20..]).expect("a header").checksum();
            packet[36..38].fill(0x5a);
            seal(&mut packet);
            let got = TcpHeaderSlice::from_slice(&packet[20..]).expect("a header").checksum();
            prop_assert_eq!(got, want);
        }
    }
}
