//! What a segment deserves that belongs to no connection.
//!
//! RFC 9293 §3.10.7.2 (SEGMENT ARRIVES in LISTEN), in its order: RST is
//! ignored, an ACK is answered with RST, a SYN opens a connection, anything
//! else is dropped. A SYN with FIN is no way to open one: dropped, as Linux
//! does.

use super::demux::Flags;

/// The verdict on a first segment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Deserves {
    /// No answer.
    Silence,
    /// `<SEQ=SEG.ACK><CTL=RST>`.
    Reset,
    /// A connection.
    Connection,
}

/// Judges a first segment by its control bits.
pub fn deserves(flags: Flags) -> Deserves {
    match flags {
        Flags { rst: true, .. } => Deserves::Silence,
        Flags { ack: true, .. } => Deserves::Reset,
        Flags {
            syn: true,
            fin: false,
            ..
        } => Deserves::Connection,
        _ => Deserves::Silence,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_combination_of_control_bits() {
        use Deserves::*;
        for (bits, want) in [
            ("", Silence),
            ("S", Connection),
            ("A", Reset),
            ("R", Silence),
            ("F", Silence),
            ("SA", Reset),
            ("SR", Silence),
            ("SF", Silence),
            ("AR", Silence),
            ("AF", Reset),
            ("RF", Silence),
            ("SAR", Silence),
            ("SAF", Reset),
            ("SRF", Silence),
            ("ARF", Silence),
            ("SARF", Silence),
        ] {
            let has = |bit| bits.contains(bit);
            let flags = Flags {
                syn: has('S'),
                ack: has('A'),
                rst: has('R'),
                fin: has('F'),
            };
            assert_eq!(deserves(flags), want, "{bits}");
        }
    }
}
