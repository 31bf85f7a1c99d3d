//! A world in virtual time: one server core, its clients, and a wire that does
//! to frames what real ones do.
//!
//! [`raw`] segments, [`files`] to be served, [`response`]s judged as they arrive;
//! honest [`client`]s follow [`script`]s, hostile ones make an [`attack`]
//! ([`attacks_blind`], [`attacks_connected`]); [`watch`] sees every frame,
//! and that the server keeps to the [`rules`],
//! [`world`] lets the time pass, a [`scenario`] says who does what (drawn from a
//! seed, or one of the [`cases`] made by hand), and the [`verdict`] says what must
//! hold in the end, except what is [`known`].

pub mod attack;
pub mod attacks_blind;
pub mod attacks_connected;
pub mod cases;
pub mod client;
pub mod draw;
pub mod files;
pub mod known;
pub mod phy;
pub mod raw;
pub mod response;
pub mod rules;
pub mod scenario;
pub mod script;
pub mod talk;
pub mod verdict;
pub mod watch;
pub mod world;
