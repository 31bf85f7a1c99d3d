//! Tests of rings and halves on anonymous memory, and of reception with a kernel.

mod frags;
mod halves;
mod metadata;
mod reception;
mod ring;
