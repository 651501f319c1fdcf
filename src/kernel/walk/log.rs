//! Log IDs, the connections of each, and the queue of /dev/tcp_log.

use super::{Chain, Ends, MAX_ENTRIES, Walk, chain, ends};
use crate::kernel::view::Object;
use std::collections::HashSet;

/// A log ID: `struct tcp_log_id_bucket`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Bucket {
    pub address: u64,
    pub id: String,
    pub tag: String,
}

/// A connection of a log ID: `struct tcp_log_id_node`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Node {
    pub address: u64,
    /// Its log ID: [`Bucket::address`].
    pub bucket: Option<u64>,
    /// Its inpcb, to which the node holds a reference.
    pub inpcb: Option<u64>,
    /// Its tcpcb, while there is a connection: a closed node still points to
    /// where one was.
    pub tcpcb: Option<u64>,
    /// The connection is gone; endpoints and records are here.
    pub closed: bool,
    pub ends: Option<Ends>,
    pub log: Option<Chain>,
}

/// A message that waits for readers: `struct tcp_log_dev_log_queue`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Queued {
    pub address: u64,
    /// The expanded message (`struct tcp_log_header` and records), once a
    /// reader has begun with it.
    pub buffer: Option<u64>,
    pub id: String,
    pub reason: String,
    pub tag: String,
    pub ends: Option<Ends>,
    /// Its records, until it is expanded.
    pub log: Option<Chain>,
}

/// The lowest bits of a tree's link are its balance.
const LINK: u64 = !7;

impl<'a> Walk<'a> {
    pub(super) fn log_ids(&mut self) {
        let head = self.kernel.symbols.get("tcp_log_id_head").copied();
        let expire = self.kernel.symbols.get("tcp_log_expireq_head").copied();
        if head.or(expire).is_none() {
            // A kernel without TCP_BLACKBOX, or a stripped one.
            return self.problem("the kernel file has no symbol tcp_log_id_head");
        }
        if !(self.knows("tcp_log_id_bucket") && self.knows("tcp_log_id_node")) {
            return;
        }
        let mut seen = HashSet::new();
        if let Some(root) = head.and_then(|head| self.pointer("tcp_log_id_head", head)) {
            self.tree(root, &mut seen);
        }
        if let Some(first) = expire.and_then(|head| self.pointer("tcp_log_expireq_head", head)) {
            self.nodes(first, "tln_expireq.stqe_next", None, &mut seen);
        }
    }

    /// A node of the tree has three links: left, right and parent, in an order
    /// that changed within 13. Whoever follows all of them needs no order.
    fn tree(&mut self, root: u64, seen: &mut HashSet<u64>) {
        let mut known = HashSet::new();
        let mut next = vec![root & LINK];
        while let Some(at) = next.pop() {
            if at == 0 || !known.insert(at) {
                continue;
            }
            if known.len() > MAX_ENTRIES {
                return self.problem("the tree of log IDs is too large");
            }
            let Some(bucket) = self.view.object("tcp_log_id_bucket", at) else {
                self.problem(format!("log ID at {at:#x} is not in the image"));
                continue;
            };
            if let Some(links) = self.view.place("tcp_log_id_bucket", "tlb_rb") {
                next.extend(
                    (0..3)
                        .filter_map(|word| bucket.word(links, word))
                        .map(|at| at & LINK),
                );
            }
            self.walked.buckets.push(Bucket {
                address: at,
                id: bucket.text("tlb_id").unwrap_or_default(),
                tag: bucket.text("tlb_tag").unwrap_or_default(),
            });
            if let Some(first) = bucket.get("tlb_head.slh_first") {
                self.nodes(first, "tln_list.sle_next", Some(at), seen);
            }
        }
    }

    /// Nodes of a list, each once: one can be in the list of its bucket and
    /// in that of those that expire.
    fn nodes(&mut self, first: u64, link: &str, bucket: Option<u64>, seen: &mut HashSet<u64>) {
        let mut found = Vec::new();
        self.list("tcp_log_id_node", first, link, |_, node| {
            if seen.insert(node.address) {
                found.push(self::node(node, bucket));
            }
            seen.len() < MAX_ENTRIES
        });
        self.walked.nodes.extend(found);
    }

    pub(super) fn queue(&mut self) {
        let Some(head) = self.symbol("tcp_log_dev_queue_head") else {
            return;
        };
        if !(self.knows("tcp_log_dev_queue") && self.knows("tcp_log_dev_log_queue")) {
            return;
        }
        let Some(first) = self.pointer("tcp_log_dev_queue_head", head) else {
            return;
        };
        let expand = self.kernel.symbols.get("tcp_log_expandlogbuf").copied();
        let mut found = Vec::new();
        self.list(
            "tcp_log_dev_queue",
            first,
            "tldq_queue.stqe_next",
            |walk, entry| {
                let kind = entry.get("tldq_xform");
                if expand.is_some() && kind != expand {
                    let at = entry.address;
                    walk.problem(format!(
                        "the queue's entry at {at:#x} is of an unknown kind"
                    ));
                } else {
                    found.extend(walk.queued(entry));
                }
                found.len() < MAX_ENTRIES
            },
        );
        self.walked.queue = found;
    }

    fn queued(&mut self, common: &Object<'a>) -> Option<Queued> {
        let entry = self.view.object("tcp_log_dev_log_queue", common.address)?;
        let af = entry.get("tldl_af").unwrap_or(0);
        Some(Queued {
            address: common.address,
            buffer: common.get("tldq_buf").filter(|at| *at != 0),
            id: entry.text("tldl_id").unwrap_or_default(),
            reason: entry.text("tldl_reason").unwrap_or_default(),
            tag: entry.text("tldl_tag").unwrap_or_default(),
            ends: ends(&entry, "tldl_ie", af),
            log: chain(&entry, "tldl_entries", "tldl_count"),
        })
    }
}

/// A node knows its bucket only once the connection is gone; until then the
/// list in which it stands tells.
fn node(node: &Object<'_>, bucket: Option<u64>) -> Node {
    let pointer = |field: &str| node.get(field).filter(|at| *at != 0);
    let af = node.get("tln_af").unwrap_or(0);
    let closed = node.get("tln_closed").is_some_and(|closed| closed != 0);
    Node {
        address: node.address,
        bucket: bucket.or_else(|| pointer("tln_bucket")),
        inpcb: pointer("tln_inp"),
        tcpcb: pointer("tln_tp").filter(|_| !closed),
        closed,
        ends: ends(node, "tln_ie", af).filter(|_| closed),
        log: chain(node, "tln_entries", "tln_count"),
    }
}
