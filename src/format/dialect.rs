//! One dialect: a record version under one ABI in one byte order, with the
//! places of its fields resolved for reading without look-ups.

use super::abi::{Abi, Order};
use super::layout::{Kind, Layout};

/// Largest header and record that a format file may declare; framing looks
/// that far ahead.
const MAX_HEADER: usize = 512;
const MAX_RECORD: usize = 448;

/// The place of an integer in a structure; size 0 where the version has none.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Slot {
    pub offset: u16,
    pub size: u8,
    /// For a bit field, how far to shift right, and how many bits to keep.
    pub shift: u8,
    pub width: u8,
}

impl Slot {
    fn resolve(layout: &Layout, name: &str, order: Order) -> Slot {
        let Some(field) = layout.field(name) else {
            return Slot::default();
        };
        let (shift, width) = match field.kind {
            Kind::Bits { low, width } => (order.bit_shift(low, width), width),
            _ => (0, 0),
        };
        Slot {
            offset: field.offset as u16,
            size: field.size.min(255) as u8,
            shift,
            width,
        }
    }

    pub fn exists(self) -> bool {
        self.size != 0
    }

    /// The bytes of the slot; empty where the version has none.
    pub fn bytes(self, structure: &[u8]) -> &[u8] {
        let start = usize::from(self.offset);
        structure
            .get(start..start + usize::from(self.size))
            .unwrap_or(&[])
    }

    /// Zero where the version has no such field.
    #[inline]
    pub fn read(self, structure: &[u8], order: Order) -> u64 {
        let start = usize::from(self.offset);
        let value = order
            .read(structure, start, usize::from(self.size))
            .unwrap_or(0);
        if self.width == 0 {
            value
        } else {
            (value >> self.shift) & ((1 << self.width) - 1)
        }
    }

    /// As [`Slot::read`], sign-extended from the slot's size.
    #[inline]
    pub fn read_signed(self, structure: &[u8], order: Order) -> i64 {
        let value = self.read(structure, order);
        let unused = 64 - 8 * u32::from(self.size.clamp(1, 8));
        ((value << unused) as i64) >> unused
    }
}

macro_rules! slots {
    ($(#[$doc:meta])* $type:ident { $($slot:ident = $name:literal,)* }) => {
        $(#[$doc])*
        #[derive(Clone, Debug, Default, PartialEq, Eq)]
        pub struct $type { $(pub $slot: Slot,)* }

        impl $type {
            fn resolve(layout: &Layout, order: Order) -> Self {
                Self { $($slot: Slot::resolve(layout, $name, order),)* }
            }
        }
    };
}

slots! {
    /// Places in `struct tcp_log_header`.
    HeaderSlots {
        version = "tlh_version",
        kind = "tlh_type",
        length = "tlh_length",
        foreign_port = "tlh_ie.ie_fport",
        local_port = "tlh_ie.ie_lport",
        foreign_addr = "tlh_ie.ie_faddr",
        local_addr = "tlh_ie.ie_laddr",
        zone = "tlh_ie.ie6_zoneid",
        offset_sec = "tlh_offset.tv_sec",
        offset_usec = "tlh_offset.tv_usec",
        id = "tlh_id",
        reason = "tlh_reason",
        tag = "tlh_tag",
        af = "tlh_af",
        pad = "_pad",
    }
}

slots! {
    /// Places in `struct tcp_log_buffer`.
    RecordSlots {
        tv_sec = "tlb_tv.tv_sec",
        tv_usec = "tlb_tv.tv_usec",
        ticks = "tlb_ticks",
        sn = "tlb_sn",
        stackid = "tlb_stackid",
        eventid = "tlb_eventid",
        eventflags = "tlb_eventflags",
        errno = "tlb_errno",
        rxbuf_acc = "tlb_rxbuf.acc",
        rxbuf_ccc = "tlb_rxbuf.ccc",
        txbuf_acc = "tlb_txbuf.acc",
        txbuf_ccc = "tlb_txbuf.ccc",
        state = "tlb_state",
        starttime = "tlb_starttime",
        iss = "tlb_iss",
        flags = "tlb_flags",
        snd_una = "tlb_snd_una",
        snd_max = "tlb_snd_max",
        snd_cwnd = "tlb_snd_cwnd",
        snd_nxt = "tlb_snd_nxt",
        snd_recover = "tlb_snd_recover",
        snd_wnd = "tlb_snd_wnd",
        snd_ssthresh = "tlb_snd_ssthresh",
        srtt = "tlb_srtt",
        rttvar = "tlb_rttvar",
        rcv_up = "tlb_rcv_up",
        rcv_adv = "tlb_rcv_adv",
        flags2 = "tlb_flags2",
        rcv_nxt = "tlb_rcv_nxt",
        rcv_wnd = "tlb_rcv_wnd",
        dupacks = "tlb_dupacks",
        segqlen = "tlb_segqlen",
        snd_numholes = "tlb_snd_numholes",
        flex1 = "tlb_flex1",
        flex2 = "tlb_flex2",
        fbyte_in = "tlb_fbyte_in",
        fbyte_out = "tlb_fbyte_out",
        snd_scale = "tlb_snd_scale",
        rcv_scale = "tlb_rcv_scale",
        stackinfo = "tlb_stackinfo.cur_del_rate",
        len = "tlb_len",
        th = "tlb_th",
        opts = "tlb_opts",
    }
}

/// A record version under one ABI in one byte order.
#[derive(Clone, Debug)]
pub struct Dialect {
    /// `TCP_LOG_BUF_VER`.
    pub version: u32,
    pub abi: Abi,
    pub order: Order,
    /// `struct tcp_log_header`.
    pub header: Layout,
    /// `struct tcp_log_buffer`.
    pub record: Layout,
    /// `struct tcp_log_verbose`.
    pub verbose: Layout,
    pub header_slots: HeaderSlots,
    pub record_slots: RecordSlots,
    /// Every bit of `tlb_eventflags` that has a name.
    pub known_flags: u16,
    /// Lowest and highest value of `tlb_state` that has a name.
    pub states: (i32, i32),
}

impl Dialect {
    pub(super) fn new(
        version: u32,
        abi: Abi,
        order: Order,
        header: Layout,
        record: Layout,
        verbose: Layout,
    ) -> Dialect {
        Dialect {
            version,
            abi,
            order,
            header_slots: HeaderSlots::resolve(&header, order),
            record_slots: RecordSlots::resolve(&record, order),
            known_flags: u16::MAX,
            states: (i32::MIN, i32::MAX),
            header,
            record,
            verbose,
        }
    }

    /// What a declaration must have for its records to be read at all.
    pub(super) fn check(&self) -> Result<(), &'static str> {
        let (h, r) = (&self.header_slots, &self.record_slots);
        let header = [
            h.version,
            h.kind,
            h.length,
            h.foreign_port,
            h.local_port,
            h.af,
        ];
        let record = [
            r.tv_sec,
            r.tv_usec,
            r.sn,
            r.stackid,
            r.eventid,
            r.eventflags,
        ];
        if !header.iter().all(|slot| slot.exists()) || h.id.size != 64 {
            return Err("the header lacks a field that every version has");
        }
        if [h.version.offset, h.kind.offset, h.length.offset] != [0, 4, 8] {
            return Err("the header must begin with version, type and length");
        }
        if h.foreign_addr.size != 16 || h.local_addr.size != 16 {
            return Err("the header lacks the addresses");
        }
        if !record.iter().all(|slot| slot.exists()) {
            return Err("the record lacks a field that every version has");
        }
        if r.th.size != 20 || r.opts.size != 40 || r.stackinfo.size != 8 {
            return Err("the record lacks the TCP header, its options or the stack specific part");
        }
        if self.header.size > MAX_HEADER || self.record.size > MAX_RECORD {
            return Err("the header or the record is larger than this program reads");
        }
        if r.opts.offset != r.th.offset + 20 || self.verbose.size != 72 {
            return Err("options must follow the TCP header; the verbose part is 72 bytes");
        }
        Ok(())
    }

    /// `v9 lp64 little`
    pub fn name(&self) -> String {
        format!("v{} {} {}", self.version, self.abi, self.order)
    }

    /// True for the layout that pcapng's private options use. A format file
    /// may give version 9 another layout, which then is not canonical.
    pub fn is_canonical(&self) -> bool {
        let canonical = super::Formats::canonical();
        self.order == Order::Little
            && self.header == canonical.header
            && self.record == canonical.record
    }

    /// Bytes of a record whose event flags are `flags`.
    pub fn record_len(&self, flags: u16) -> usize {
        if flags & super::VERBOSE != 0 {
            self.record.size + self.verbose.size
        } else {
            self.record.size
        }
    }
}
