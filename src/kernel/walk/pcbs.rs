//! All connections of all network stack instances.

use super::globals::Vnet;
use super::{AF_INET, AF_INET6, Chain, Ends, MAX_ENTRIES, Walk, chain, ends};
use crate::kernel::view::Object;

/// One connection. Fields are as in the kernel; `None` where the kernel does
/// not have them, or the image not the page.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WalkedPcb {
    /// Its `struct vnet`.
    pub vnet: Option<u64>,
    pub inpcb: u64,
    /// `None` in TIME_WAIT, until 13.
    pub tcpcb: Option<u64>,
    /// The short form of a connection in TIME_WAIT.
    pub tcptw: Option<u64>,
    pub ends: Option<Ends>,
    pub inp_flags: Option<u32>,
    pub socket: Option<u64>,
    pub t_state: Option<u8>,
    pub t_flags: Option<u32>,
    pub t_flags2: Option<u32>,
    pub t_logstate: Option<u8>,
    pub snd_una: Option<u32>,
    pub snd_max: Option<u32>,
    pub snd_nxt: Option<u32>,
    pub rcv_nxt: Option<u32>,
    pub iss: Option<u32>,
    pub irs: Option<u32>,
    /// Ticks.
    pub t_starttime: Option<u32>,
    /// Id and name of its TCP stack.
    pub stack: Option<(u8, String)>,
    /// Its records; `None` where there are none.
    pub log: Option<Chain>,
    pub t_lognum: Option<u32>,
    pub t_loglimit: Option<u32>,
    /// The serial number that its next record will have.
    pub t_logsn: Option<u32>,
    /// Its `struct tcp_log_id_node`, if it has a log ID.
    pub node: Option<u64>,
    /// Its `struct tcp_log_id_bucket`, if it has a log ID.
    pub bucket: Option<u64>,
    pub t_output_caller: Option<u64>,
    /// `struct mbufq` of the packets received (TCPPCAP).
    pub t_inpkts: Option<u64>,
    /// `struct mbufq` of the packets sent (TCPPCAP).
    pub t_outpkts: Option<u64>,
}

/// `inp_flags`: `inp_ppcb` is a `struct tcptw`.
const INP_TIMEWAIT: u32 = 0x0100_0000;
/// `inp_vflag`
const INP_IPV6: u64 = 2;

impl Walk<'_> {
    pub(super) fn pcbs(&mut self) {
        if !(self.knows("inpcbinfo") && self.knows("inpcb") && self.knows("tcpcb")) {
            return;
        }
        for vnet in self.walked.vnets.clone() {
            self.pcbs_of(vnet);
        }
    }

    fn pcbs_of(&mut self, vnet: Vnet) {
        let Some(first) = self.first_inpcb(vnet.tcbinfo) else {
            return self.problem(format!(
                "tcbinfo at {:#x} is not in the image",
                vnet.tcbinfo
            ));
        };
        let mut found = std::mem::take(&mut self.walked.pcbs);
        self.list("inpcb", first, "inp_list", |walk, inpcb| {
            let info = inpcb.get("inp_pcbinfo");
            if info.is_some_and(|info| info != vnet.tcbinfo) {
                walk.problem(format!("what is at {:#x} is no TCP inpcb", inpcb.address));
                return false;
            }
            found.push(walk.pcb(vnet, inpcb));
            found.len() < MAX_ENTRIES
        });
        self.walked.pcbs = found;
    }

    /// Since 14 the list head is part of inpcbinfo; before, it was elsewhere.
    fn first_inpcb(&self, tcbinfo: u64) -> Option<u64> {
        let info = self.view.object("inpcbinfo", tcbinfo)?;
        let first = info.first_word("ipi_listhead")?;
        let parts = ["ipi_listhead.clh_first", "ipi_listhead.lh_first"];
        let mut parts = parts.iter();
        match parts.any(|part| self.view.place("inpcbinfo", part).is_some()) {
            true => Some(first),
            false if first == 0 => Some(0),
            false => self.view.pointer(first),
        }
    }

    fn pcb(&mut self, vnet: Vnet, inpcb: &Object<'_>) -> WalkedPcb {
        let flags = inpcb.get32("inp_flags");
        let (tcpcb, tcptw) = self.control_block(inpcb, flags);
        let af = match inpcb.get("inp_vflag") {
            Some(vflag) if vflag & INP_IPV6 != 0 => AF_INET6,
            _ => AF_INET,
        };
        let object = match (tcpcb, tcptw) {
            (Some(at), _) => self.view.object("tcpcb", at),
            (_, Some(at)) => self.view.object("tcptw", at),
            _ => None,
        };
        if object.is_none() && tcpcb.or(tcptw).is_some() {
            let at = tcpcb.or(tcptw).unwrap_or_default();
            self.problem(format!("the control block at {at:#x} is not in the image"));
        }
        let number = |field: &str| object.as_ref()?.get32(field);
        let byte = |field: &str| u8::try_from(object.as_ref()?.get(field)?).ok();
        let pointer = |field: &str| object.as_ref()?.get(field).filter(|at| *at != 0);
        let place = |field: &str| object.as_ref()?.address_of(field);
        WalkedPcb {
            vnet: vnet.address,
            inpcb: inpcb.address,
            tcpcb,
            tcptw,
            ends: ends(inpcb, "inp_inc.inc_ie", af),
            inp_flags: flags,
            socket: inpcb.get("inp_socket").filter(|at| *at != 0),
            t_state: byte("t_state"),
            t_flags: number("t_flags"),
            t_flags2: number("t_flags2"),
            t_logstate: byte("t_logstate"),
            snd_una: number("snd_una"),
            snd_max: number("snd_max"),
            snd_nxt: number("snd_nxt"),
            rcv_nxt: number("rcv_nxt"),
            iss: number("iss"),
            irs: number("irs"),
            t_starttime: number("t_starttime"),
            stack: pointer("t_fb").and_then(|block| self.stack(block)),
            log: object
                .as_ref()
                .and_then(|pcb| chain(pcb, "t_logs", "t_lognum")),
            t_lognum: number("t_lognum"),
            t_loglimit: number("t_loglimit"),
            t_logsn: number("t_logsn"),
            node: pointer("t_lin"),
            bucket: pointer("t_lib"),
            t_output_caller: pointer("t_output_caller"),
            t_inpkts: place("t_inpkts"),
            t_outpkts: place("t_outpkts"),
        }
    }

    /// Since 14 the inpcb is inside the tcpcb; before, it pointed to it, or in
    /// TIME_WAIT to a tcptw.
    fn control_block(&self, inpcb: &Object<'_>, flags: Option<u32>) -> (Option<u64>, Option<u64>) {
        let inside = self.view.place("tcpcb", "t_inpcb");
        let inside = inside.filter(|place| place.size > u32::from(self.kernel.pointer));
        if let Some(inside) = inside {
            return (inpcb.address.checked_sub(inside.offset.into()), None);
        }
        let control = inpcb.get("inp_ppcb").filter(|at| *at != 0);
        match flags.is_some_and(|flags| flags & INP_TIMEWAIT != 0) {
            true => (None, control),
            false => (control, None),
        }
    }
}
