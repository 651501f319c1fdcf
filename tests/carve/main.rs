//! `tcplog carve` as a whole: what it gets out of genuine memory, in every
//! container and in none, and that it gets nothing out of anything else.

mod forms;
mod genuine;
mod hostile;
mod nothing;
mod places;
#[path = "../support/mod.rs"]
mod support;
mod truth;
