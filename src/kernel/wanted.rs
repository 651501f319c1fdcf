//! What is looked for in a kernel file.

use crate::format::structures::Builder;

/// Structures that carving reads, those of `formats/kernel/`.
pub(super) const STRUCTURES: &[&str] = &[
    "bintime",
    "inpcb",
    "inpcbinfo",
    "mbuf",
    "mbufq",
    "tcp_function",
    "tcp_function_block",
    "tcp_log_dev_log_queue",
    "tcp_log_dev_queue",
    "tcp_log_id_bucket",
    "tcp_log_id_node",
    "tcp_log_mem",
    "tcpcb",
    "tcptw",
    "timehands",
    "vnet",
];

/// Not every release has these, so nobody searches a whole kernel for them.
const OPTIONAL: &[&str] = &["mbufq", "tcptw"];

/// Files whose units are read first: they define what is private, and use
/// the rest.
pub(super) const UNITS: &[&str] = &[
    "tcp_log_buf.c",
    "tcp_log_dev.c",
    "tcp_pcap.c",
    "tcp_subr.c",
    "tcp_timewait.c",
    "vnet.c",
    "kern_tc.c",
];

/// Symbols that carving resolves. A VNET's variables are `vnet_entry_…`.
pub(super) const SYMBOLS: &[&str] = &[
    "KPML4phys",
    "__start_set_vnet",
    "__stop_set_vnet",
    "boottimebin",
    "dmaplimit",
    "hz",
    "kernbase",
    "kernphys",
    "osreldate",
    "t_functions",
    "tcbinfo",
    "tcp_def_funcblk",
    "tcp_log_dev_queue_head",
    "tcp_log_dev_reader_head",
    "tcp_log_expandlogbuf",
    "tcp_log_expireq_head",
    "tcp_log_free_queue",
    "tcp_log_id_head",
    "tcp_log_zone",
    "tcp_pcap_packets",
    "ticks",
    "ticksl",
    "timehands",
    "uma_kegs",
    "uma_zones",
    "version",
    "vnet0",
    "vnet_entry_tcbinfo",
    "vnet_entry_tcp_pcap_packets",
    "vnet_head",
];

/// All that every release has were found.
pub(super) fn complete(structures: &Builder) -> bool {
    STRUCTURES
        .iter()
        .filter(|name| !OPTIONAL.contains(name))
        .all(|name| structures.has(name))
}
