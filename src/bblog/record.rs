//! `struct tcp_log_buffer`: one record, read in place.

use super::stackinfo::StackInfo;
use super::tcp::{FIN, RST, SYN, TcpHeader};
use super::until_nul;
use crate::format::dialect::Slot;
use crate::format::{Dialect, EventId, HDR, RXBUF, STACKINFO, TXBUF, VERBOSE};

/// One record: bytes plus the dialect that gives them meaning.
#[derive(Clone, Copy, Debug)]
pub struct Record<'a> {
    /// The record and, where its flag says so, the verbose part.
    bytes: &'a [u8],
    dialect: &'a Dialect,
    /// `tlb_eventflags`, which nearly every accessor asks.
    flags: u16,
}

/// A socket buffer at the moment of the record, in bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SockBuf {
    /// Available.
    pub acc: u32,
    /// Claimed, data that is not ready included.
    pub ccc: u32,
}

/// The verbose part: who logged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Verbose<'a> {
    /// `tlv_trace_func`: function that logged.
    pub function: &'a [u8],
    /// `tlv_snd_frm`: function that called `tcp_output`; mostly empty.
    pub caller: &'a [u8],
    /// Source line, of use only with that exact kernel.
    pub line: u32,
}

macro_rules! u32_fields {
    ($($name:ident,)*) => {
        impl Record<'_> {
            $(
                #[doc = concat!("`tlb_", stringify!($name), "`; 0 where the version has none.")]
                #[inline]
                pub fn $name(&self) -> u32 {
                    self.dialect.record_slots.$name.read(self.bytes, self.dialect.order) as u32
                }
            )*
        }
    };
}

u32_fields! {
    ticks, sn, starttime, iss, flags, snd_una, snd_max, snd_cwnd, snd_nxt,
    snd_recover, snd_wnd, snd_ssthresh, srtt, rttvar, rcv_up, rcv_adv, flags2,
    rcv_nxt, rcv_wnd, dupacks, flex1, flex2, fbyte_in, fbyte_out,
}

impl<'a> Record<'a> {
    /// The record at the start of `bytes`; `None` if it does not fit in there.
    #[inline]
    pub fn new(bytes: &'a [u8], dialect: &'a Dialect) -> Option<Record<'a>> {
        let plain = bytes.get(..dialect.record.size)?;
        let flags = dialect.record_slots.eventflags.read(plain, dialect.order) as u16;
        let bytes = bytes.get(..dialect.record_len(flags))?;
        Some(Record {
            bytes,
            dialect,
            flags,
        })
    }

    /// The record as the kernel wrote it, verbose part included.
    pub fn bytes(&self) -> &'a [u8] {
        self.bytes
    }

    pub fn dialect(&self) -> &'a Dialect {
        self.dialect
    }

    /// `tlb_tv`: uptime in microseconds.
    pub fn uptime_us(&self) -> i64 {
        let (slots, order) = (&self.dialect.record_slots, self.dialect.order);
        let sec = slots.tv_sec.read_signed(self.bytes, order);
        sec.saturating_mul(1_000_000).saturating_add(self.tv_usec())
    }

    /// When the record was written, uptime in microseconds; `None` where that is
    /// garbage: kernels do not set the time of [`EventId::ACCOUNTING`].
    #[inline]
    pub fn time_us(&self) -> Option<i64> {
        let is_time = (0..1_000_000).contains(&self.tv_usec());
        (is_time && self.event() != EventId::ACCOUNTING).then(|| self.uptime_us())
    }

    /// The microseconds of `tlb_tv`; outside 0 to 999,999 the time is garbage.
    pub fn tv_usec(&self) -> i64 {
        let (slots, order) = (&self.dialect.record_slots, self.dialect.order);
        slots.tv_usec.read_signed(self.bytes, order)
    }

    /// `tlb_stackid`: number of the TCP stack, valid for one boot.
    #[inline]
    pub fn stack_id(&self) -> u8 {
        let slot = self.dialect.record_slots.stackid;
        slot.read(self.bytes, self.dialect.order) as u8
    }

    /// `tlb_eventid`.
    #[inline]
    pub fn event(&self) -> EventId {
        let slot = self.dialect.record_slots.eventid;
        EventId(slot.read(self.bytes, self.dialect.order) as u8)
    }

    /// `tlb_eventflags`: which parts are valid.
    #[inline]
    pub fn event_flags(&self) -> u16 {
        self.flags
    }

    /// `tlb_len`: bytes of payload, or an amount that some events put here.
    #[inline]
    pub fn payload_len(&self) -> u32 {
        let slot = self.dialect.record_slots.len;
        slot.read(self.bytes, self.dialect.order) as u32
    }

    /// True if the record is a segment on its way out that repeats sequence
    /// space: it is logged before `tlb_snd_max` moves.
    pub fn is_retransmission(&self) -> bool {
        self.retransmitted_bytes().is_some()
    }

    /// The bytes of payload that a retransmission repeats: those before
    /// `tlb_snd_max`, so 0 of a lone SYN or FIN. `None` if the record is no
    /// retransmission; a reset is none, whatever it carries.
    pub fn retransmitted_bytes(&self) -> Option<u32> {
        if self.event() != EventId::OUT {
            return None;
        }
        let (tcp, len) = (self.tcp()?, self.payload_len());
        let flags = tcp.flags();
        let takes_space = len > 0 || flags & (SYN | FIN) != 0;
        if !takes_space || flags & RST != 0 {
            return None;
        }
        // More than half of the numbers are ahead, not behind.
        let old = self.snd_max().wrapping_sub(tcp.seq());
        let is_behind = (1..1 << 31).contains(&old);
        // The SYN takes the number before the payload's.
        let syn = u32::from(flags & SYN != 0);
        is_behind.then(|| (old - syn).min(len))
    }

    /// `tlb_errno`; -1 is "not known".
    pub fn errno(&self) -> i32 {
        let slot = self.dialect.record_slots.errno;
        slot.read_signed(self.bytes, self.dialect.order) as i32
    }

    /// `tlb_state`.
    pub fn state(&self) -> i32 {
        let slot = self.dialect.record_slots.state;
        slot.read_signed(self.bytes, self.dialect.order) as i32
    }

    /// `tlb_segqlen`: segments in the reassembly queue.
    pub fn segqlen(&self) -> i32 {
        let slot = self.dialect.record_slots.segqlen;
        slot.read_signed(self.bytes, self.dialect.order) as i32
    }

    /// `tlb_snd_numholes`: SACK holes.
    pub fn snd_numholes(&self) -> i32 {
        let slot = self.dialect.record_slots.snd_numholes;
        slot.read_signed(self.bytes, self.dialect.order) as i32
    }

    /// Send and receive window scale.
    pub fn scales(&self) -> (u8, u8) {
        let (slots, order) = (&self.dialect.record_slots, self.dialect.order);
        let snd = slots.snd_scale.read(self.bytes, order) as u8;
        (snd, slots.rcv_scale.read(self.bytes, order) as u8)
    }

    fn sockbuf(&self, flag: u16, acc: Slot, ccc: Slot) -> Option<SockBuf> {
        (self.event_flags() & flag != 0).then(|| SockBuf {
            acc: acc.read(self.bytes, self.dialect.order) as u32,
            ccc: ccc.read(self.bytes, self.dialect.order) as u32,
        })
    }

    /// The receive buffer, if the record has it.
    pub fn rxbuf(&self) -> Option<SockBuf> {
        let slots = &self.dialect.record_slots;
        self.sockbuf(RXBUF, slots.rxbuf_acc, slots.rxbuf_ccc)
    }

    /// The send buffer, if the record has it.
    pub fn txbuf(&self) -> Option<SockBuf> {
        let slots = &self.dialect.record_slots;
        self.sockbuf(TXBUF, slots.txbuf_acc, slots.txbuf_ccc)
    }

    /// The stack specific bytes, if the record has them.
    pub fn stackinfo(&self) -> Option<StackInfo<'a>> {
        if self.event_flags() & STACKINFO == 0 {
            return None;
        }
        StackInfo::of_record(self.bytes, self.dialect)
    }

    /// The TCP header, if the record has it.
    #[inline]
    pub fn tcp(&self) -> Option<TcpHeader<'a>> {
        if self.event_flags() & HDR == 0 {
            return None;
        }
        TcpHeader::new(self.bytes.get(self.tcp_range())?)
    }

    /// Local and foreign port, if the record has a TCP header.
    pub fn ports(&self) -> Option<(u16, u16)> {
        let tcp = self.tcp()?;
        Some(match self.event() {
            EventId::IN => (tcp.dst_port(), tcp.src_port()),
            _ => (tcp.src_port(), tcp.dst_port()),
        })
    }

    fn tcp_range(&self) -> std::ops::Range<usize> {
        let start = usize::from(self.dialect.record_slots.th.offset);
        start..start + 60
    }

    /// The verbose part as the kernel wrote it, if the record has it.
    #[inline]
    pub fn verbose_bytes(&self) -> Option<&'a [u8]> {
        if self.event_flags() & VERBOSE == 0 {
            return None;
        }
        self.bytes.get(self.dialect.record.size..)
    }

    /// Who logged, if the record says so.
    pub fn verbose(&self) -> Option<Verbose<'a>> {
        let part = self.verbose_bytes()?;
        Some(Verbose {
            function: until_nul(part.get(32..64)?),
            caller: until_nul(part.get(..32)?),
            line: self.dialect.order.read(part, 64, 4)? as u32,
        })
    }
}

/// The records of a message in serial order; ends before a cut record.
#[derive(Clone, Debug)]
pub struct Records<'a> {
    rest: &'a [u8],
    dialect: &'a Dialect,
}

impl<'a> Records<'a> {
    pub fn new(bytes: &'a [u8], dialect: &'a Dialect) -> Records<'a> {
        Records {
            rest: bytes,
            dialect,
        }
    }

    /// Bytes not yet walked.
    pub fn rest(&self) -> &'a [u8] {
        self.rest
    }
}

impl<'a> Iterator for Records<'a> {
    type Item = Record<'a>;

    #[inline]
    fn next(&mut self) -> Option<Record<'a>> {
        let record = Record::new(self.rest, self.dialect)?;
        self.rest = &self.rest[record.bytes.len()..];
        Some(record)
    }
}
