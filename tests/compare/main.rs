//! `compare`: genuine logs against the captures that were made beside them,
//! whole and with things taken away.

#[path = "../support/mod.rs"]
mod support;

mod altered;
mod capture;
mod ends;
mod forms;
mod genuine;
mod hostile;
mod ran;
mod sniffer;
