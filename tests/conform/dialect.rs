//! The two ways in which every script is spoken: without any option, and with
//! all that a modern client offers, at sequence numbers about to wrap.

use etherparse::{TcpHeader, TcpOptionElement};

/// How the client speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Dialect {
    /// No options.
    Plain,
    /// MSS, SACK, timestamps and a window scale of 0 are offered, and the first
    /// request crosses 2^32.
    Modern,
}

impl Dialect {
    pub const ALL: [Dialect; 2] = [Dialect::Plain, Dialect::Modern];

    /// The client's initial sequence number.
    pub fn iss(self) -> u32 {
        match self {
            Dialect::Plain => 5_000,
            Dialect::Modern => u32::MAX - 10,
        }
    }
}

/// The options that were offered and accepted.
#[derive(Default)]
pub struct Negotiated {
    /// By the last SYN, and by the one that was answered.
    asked: Vec<u8>,
    offered: Vec<u8>,
    timestamps: bool,
    scale: Option<u8>,
    /// TSval of the last segment sent, and the last one heard.
    sent: u32,
    heard: u32,
}

const TIMESTAMPS: u8 = 8;
const SACK_PERMITTED: u8 = 4;
const WINDOW_SCALE: u8 = 3;

impl Negotiated {
    /// The options of a segment with these flags.
    pub fn options(&mut self, dialect: Dialect, flags: &str) -> Vec<u8> {
        let first = flags.contains('S') && !flags.contains('A');
        let mut options = Vec::new();
        if first && dialect == Dialect::Modern {
            options.extend([2, 4, 5, 180, 4, 2]);
        } else if !first && self.timestamps {
            options.extend([1, 1]);
        }
        if (first && dialect == Dialect::Modern) || (!first && self.timestamps) {
            self.sent += 1;
            options.extend([TIMESTAMPS, 10]);
            options.extend((1_000_000 + self.sent).to_be_bytes());
            options.extend(if first { 0 } else { self.heard }.to_be_bytes());
        }
        if first && dialect == Dialect::Modern {
            options.extend([1, WINDOW_SCALE, 3, 0]);
        }
        options
    }

    /// A SYN has offered these.
    pub fn offer(&mut self, options: &[u8]) {
        self.asked = kinds(options);
    }

    /// Takes what a segment of the server says.
    ///
    /// # Errors
    /// An option that was never offered (RFC 7323 §2.2 and §3.2, RFC 2018 §2), or
    /// one that is missing where it must be.
    pub fn hear(&mut self, tcp: &TcpHeader) -> Result<(), String> {
        if tcp.syn {
            self.offered = self.asked.clone();
        }
        let mut scale = None;
        let mut timestamps = None;
        for option in tcp.options_iterator().flatten() {
            let kind = match option {
                TcpOptionElement::Timestamp(value, _) => {
                    timestamps = Some(value);
                    TIMESTAMPS
                }
                TcpOptionElement::WindowScale(value) => {
                    scale = Some(value);
                    WINDOW_SCALE
                }
                TcpOptionElement::SelectiveAcknowledgementPermitted => SACK_PERMITTED,
                _ => continue,
            };
            if !self.offered.contains(&kind) && !tcp.rst {
                return Err(format!("option {kind} was never offered"));
            }
        }
        if tcp.syn {
            self.scale = scale;
            self.timestamps = timestamps.is_some();
            if !tcp.options_iterator().flatten().any(
                |option| matches!(option, TcpOptionElement::MaximumSegmentSize(mss) if mss >= 536),
            ) {
                return Err("a SYN-ACK without our MSS".into());
            }
        } else if self.timestamps && timestamps.is_none() && !tcp.rst {
            return Err("a segment without timestamps (RFC 7323 §3.2)".into());
        }
        self.heard = timestamps.unwrap_or(self.heard);
        Ok(())
    }

    /// The shift of the server's windows.
    pub fn scale(&self) -> u8 {
        self.scale.unwrap_or(0)
    }
}

/// The kinds of options in a list that may be malformed.
fn kinds(mut options: &[u8]) -> Vec<u8> {
    let mut kinds = Vec::new();
    while let [kind, rest @ ..] = options {
        options = match (kind, rest.first()) {
            (0, _) => return kinds,
            (1, _) => rest,
            (_, Some(&length)) if length >= 2 && usize::from(length) <= options.len() => {
                kinds.push(*kind);
                &options[usize::from(length)..]
            }
            _ => return kinds,
        };
    }
    kinds
}
