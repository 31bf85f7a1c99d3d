//! The table: all scripts, by subject.

mod ack;
mod closing;
mod data;
mod frames;
mod handshake;
mod listen;
mod options;
mod reset;
mod syn;
mod time_wait;
mod window;

use super::script::Script;

/// All scripts.
pub fn scripts() -> Vec<Script> {
    [
        listen::scripts(),
        handshake::scripts(),
        options::scripts(),
        reset::scripts(),
        syn::scripts(),
        ack::scripts(),
        data::scripts(),
        window::scripts(),
        frames::scripts(),
        closing::scripts(),
        time_wait::scripts(),
    ]
    .concat()
}
