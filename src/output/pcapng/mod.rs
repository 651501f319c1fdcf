//! pcapng that Wireshark opens and dissects.
//!
//! One section per message and stack change, because Wireshark takes boot time
//! and stack from the section header. Records with a TCP header become packets,
//! the others private blocks, as tcplog_dumper writes them; see
//! [`encode::Encoder`] for what differs. Source of the numbers and of what
//! Wireshark accepts: tcplog_dumper, Wireshark's `packet-bblog.c`, and
//! measurements with tshark 4.0 to 4.6.

pub mod block;
pub mod comment;
pub mod compat;
pub mod copy;
pub mod encode;
pub mod merge;
pub mod packet;
pub mod pool;
pub mod sink;

pub use compat::CompatSink;
pub use copy::BlockCopy;
pub use encode::{Encoder, Options};
pub use merge::MergeSink;
pub use pool::Pool;
pub use sink::{PcapngSink, SplitSink};
