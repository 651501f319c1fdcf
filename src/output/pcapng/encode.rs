//! Pieces of messages become blocks.
//!
//! Encoding one piece needs nothing but the piece, what was picked of it, and
//! the evidence that the pieces before gave, so pieces may be encoded in any
//! order and by any thread.
//!
//! Beyond tcplog_dumper's form: comments, the verbose part (private option 3),
//! the checksum that the record had (an option of ours), a mark on sections.
//! Parts of a record whose flag is not set are zero.

use super::block::{self, COMPAT_SNAPLEN, EVENT, LINKTYPE_NULL, SNAPLEN};
use super::comment;
use super::packet::Synthesis;
use crate::bblog::canonical::{Converter, HEADER_LEN, INFO_LEN};
use crate::bblog::endpoints::{AF_INET, AF_INET6};
use crate::bblog::private::{self, Extra, Mark, PEN};
use crate::bblog::{Captured, Endpoints, Known, Message, Record, TcpHeader};
use crate::format::{Abi, Dialect, EventId, Formats, Order, Release};
use crate::meaning::{Evidence, Meanings, Plan, StackNames};
use crate::output::words;
use crate::select::Picked;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Arc;

/// How to write pcapng.
#[derive(Clone, Debug)]
pub struct Options {
    /// Say in words what each block is.
    pub comments: bool,
    /// Byte for byte what tcplog_dumper writes.
    pub compat: bool,
    /// DUMPTIME: Unix seconds.
    pub dumptime: i64,
    /// Chooses between meanings of one number.
    pub release: Option<Release>,
    pub stacks: StackNames,
}

/// How the body of an event block begins: PEN 10949, type 1.
const EVENT_START: [u8; 8] = {
    let (pen, kind) = (PEN.to_le_bytes(), EVENT.to_le_bytes());
    [
        pen[0], pen[1], pen[2], pen[3], kind[0], kind[1], kind[2], kind[3],
    ]
};

/// Snap length of sections with whole packets: Wireshark's own limit.
const MAX_PACKET: u32 = 262_144;

/// Encodes pieces; holds buffers that are reused.
pub struct Encoder {
    options: Options,
    formats: &'static Formats,
    /// Only comments need them.
    meanings: Option<Meanings>,
    /// By version, ABI and byte order.
    converters: Vec<((u32, Abi, Order), Converter)>,
    body: Vec<u8>,
    comment: Vec<u8>,
}

/// What stays the same over the packets of one piece.
pub(super) struct Context {
    synthesis: Synthesis,
    boot_us: i64,
    plan: Option<Arc<Plan>>,
    converter: usize,
}

impl Encoder {
    pub fn new(options: Options, formats: &'static Formats) -> Encoder {
        let (release, stacks) = (options.release, options.stacks.clone());
        let meanings = options
            .comments
            .then(|| Meanings::new(formats, release, stacks, |_| Vec::new()));
        Encoder {
            options,
            formats,
            meanings,
            converters: Vec::new(),
            body: Vec::with_capacity(4096),
            comment: Vec::with_capacity(512),
        }
    }

    pub fn options(&self) -> &Options {
        &self.options
    }

    /// Sections from here on say that they were written at this time, Unix
    /// seconds.
    pub fn set_dumptime(&mut self, seconds: i64) {
        self.options.dumptime = seconds;
    }

    /// Goes on from what was learnt elsewhere; gives back what it knew.
    pub fn set_evidence(&mut self, evidence: Evidence) -> Evidence {
        match &mut self.meanings {
            Some(meanings) => meanings.set_evidence(evidence),
            None => evidence,
        }
    }

    /// Appends the blocks of one piece to `out`.
    pub fn piece(&mut self, message: &Message<'_>, picked: &Picked, out: &mut Vec<u8>) {
        if let Some(meanings) = &mut self.meanings {
            meanings.begin(message);
        }
        if !picked.is_empty() {
            self.wanted(message, picked, out);
        }
        if let Some(meanings) = &mut self.meanings {
            meanings.end(message);
        }
    }

    /// Appends the blocks of a piece of which something is wanted.
    fn wanted(&mut self, message: &Message<'_>, picked: &Picked, out: &mut Vec<u8>) {
        let mut context = self.context(message);
        let mut stack = picked.previous_stack;
        let mut begun = !picked.begins;
        if picked.spans.is_empty() {
            self.section(message, None, picked, false, out);
            return;
        }
        for span in &picked.spans {
            let bytes = message.records.get(span.records.clone()).unwrap_or(&[]);
            let mut skipped = span.skipped;
            for record in crate::bblog::Records::new(bytes, message.dialect()) {
                let id = record.stack_id();
                if stack != Some(id) {
                    self.section(message, Some(&record), picked, begun, out);
                    stack = Some(id);
                    begun = true;
                }
                if skipped > 0 {
                    self.skipped(skipped, out);
                    skipped = 0;
                }
                self.reach(message, &record, &mut context);
                self.record(message, &record, &context, None, out);
            }
        }
    }

    /// Learns from the records up to this one.
    fn reach(&mut self, message: &Message<'_>, record: &Record<'_>, context: &mut Context) {
        let Some(meanings) = &mut self.meanings else {
            return;
        };
        meanings.reach(message, record);
        let release = meanings.release(message.dialect());
        if context
            .plan
            .as_ref()
            .is_some_and(|plan| plan.release != release)
        {
            context.plan = Some(meanings.plan(message.dialect()));
        }
    }

    /// Appends the header of a merged section: the first message's boot time
    /// stands for all.
    pub fn merged_section(
        &mut self,
        first: &Message<'_>,
        text: &str,
        interfaces: &[MergedInterface],
        out: &mut Vec<u8>,
    ) {
        let header = self.canonical_header(first);
        self.comment.clear();
        self.comment.extend_from_slice(text.as_bytes());
        let mark = Mark {
            continued: false,
            merged: true,
            known: first.known,
        };
        // Records of several stacks: the section can name none.
        self.section_header(&header, 0, b"unknown", Some(mark), out);
        for interface in interfaces {
            self.interface_start();
            let name = interface.name.as_bytes();
            private::put_standard(&mut self.body, block::IF_NAME, name);
            for (number, known, header) in &interface.messages {
                private::put_extra(&mut self.body, Extra::Message(*number, *known, header));
            }
            block::end_options(&mut self.body);
            block::put(out, block::INTERFACE, &self.body);
        }
    }

    /// Appends one record of a merged section.
    pub fn merged_record(
        &mut self,
        message: &Message<'_>,
        record: &Record<'_>,
        place: MergedPlace,
        out: &mut Vec<u8>,
    ) {
        let context = self.context(message);
        self.record(message, record, &context, Some(place), out);
    }

    /// A message's header in canonical layout, length as read.
    pub fn canonical_header(&mut self, message: &Message<'_>) -> [u8; HEADER_LEN] {
        let mut header = [0; HEADER_LEN];
        let converter = self.converter(message.dialect());
        let length = message.header.length();
        self.converters[converter]
            .1
            .header(&message.header, length, &mut header);
        header
    }

    pub(super) fn context(&mut self, message: &Message<'_>) -> Context {
        Context {
            synthesis: Synthesis::new(&shown_endpoints(message)),
            boot_us: message.header.boot_us(),
            plan: self
                .meanings
                .as_mut()
                .map(|meanings| meanings.plan(message.dialect())),
            converter: self.converter(message.dialect()),
        }
    }

    fn converter(&mut self, dialect: &Dialect) -> usize {
        let key = (dialect.version, dialect.abi, dialect.order);
        let known = self.converters.iter().position(|(k, _)| *k == key);
        known.unwrap_or_else(|| {
            self.converters.push((key, Converter::new(dialect)));
            self.converters.len() - 1
        })
    }

    /// A section for the records from `first` on.
    fn section(
        &mut self,
        message: &Message<'_>,
        first: Option<&Record<'_>>,
        picked: &Picked,
        continued: bool,
        out: &mut Vec<u8>,
    ) {
        let header = self.canonical_header(message);
        let id = first.map_or(0, |record| record.stack_id());
        let name = first.and_then(|record| self.options.stacks.of(message, record));
        self.comment.clear();
        if let Some(meanings) = &self.meanings {
            let between = if continued { 0 } else { picked.skipped_between };
            let stack = first.and_then(|record| meanings.stack_of(message, record));
            comment::section(&mut self.comment, message, stack, id, continued, between);
        }
        let mark = Mark {
            continued,
            merged: false,
            known: message.known,
        };
        let name = name.unwrap_or("unknown").as_bytes().to_vec();
        self.section_header(&header, id, &name, Some(mark), out);
        // Of carved messages there may be whole packets.
        let is_carved = !message.origins.is_empty() || message.records.is_empty();
        self.interface_start_of(if is_carved {
            MAX_PACKET
        } else {
            self.snaplen()
        });
        block::end_options(&mut self.body);
        block::put(out, block::INTERFACE, &self.body);
    }

    /// Appends a section header block; the comment stands in `self.comment`.
    pub(super) fn section_header(
        &mut self,
        header: &[u8; HEADER_LEN],
        stack_id: u8,
        stack_name: &[u8],
        mark: Option<Mark>,
        out: &mut Vec<u8>,
    ) {
        let body = &mut self.body;
        body.clear();
        body.extend_from_slice(&0x1a2b_3c4du32.to_le_bytes());
        body.extend_from_slice(&[1, 0, 0, 0]);
        body.extend_from_slice(&(-1i64).to_le_bytes());
        if !self.options.compat {
            if !self.comment.is_empty() {
                private::put_standard(body, block::OPT_COMMENT, &self.comment);
            }
            private::put_standard(body, block::SHB_USERAPPL, block::APPLICATION.as_bytes());
        }
        private::put(body, private::VERSION, &[&9u32.to_le_bytes()]);
        private::put(
            body,
            private::DUMPTIME,
            &[&self.options.dumptime.to_le_bytes()],
        );
        private::put(body, private::DUMPINFO, &[header]);
        let stack_name = &stack_name[..stack_name.len().min(255)];
        private::put(body, private::STACKNAME, &[&[stack_id], stack_name]);
        if let Some(mark) = mark.filter(|_| !self.options.compat) {
            private::put_extra(body, Extra::Section(mark));
        }
        block::end_options(body);
        block::put(out, block::SECTION_HEADER, body);
    }

    fn snaplen(&self) -> u32 {
        if self.options.compat {
            COMPAT_SNAPLEN
        } else {
            SNAPLEN
        }
    }

    pub(super) fn interface_start(&mut self) {
        self.interface_start_of(self.snaplen());
    }

    fn interface_start_of(&mut self, snaplen: u32) {
        self.body.clear();
        self.body.extend_from_slice(&LINKTYPE_NULL.to_le_bytes());
        self.body.extend_from_slice(&[0; 2]);
        self.body.extend_from_slice(&snaplen.to_le_bytes());
    }

    pub(super) fn body(&mut self) -> &mut Vec<u8> {
        &mut self.body
    }

    fn skipped(&mut self, count: u32, out: &mut Vec<u8>) {
        self.skipped_of(None, count, out);
    }

    /// Appends the block of serial numbers that are missing in a merged
    /// section, where nothing else tells of which connection.
    pub fn merged_skipped(&mut self, message: &Message<'_>, count: u32, out: &mut Vec<u8>) {
        self.skipped_of(Some(message), count, out);
    }

    fn skipped_of(&mut self, message: Option<&Message<'_>>, count: u32, out: &mut Vec<u8>) {
        if !self.options.comments {
            block::put_skipped(out, count);
            return;
        }
        self.body.clear();
        for word in [PEN, block::SKIPPED, count] {
            self.body.extend_from_slice(&word.to_le_bytes());
        }
        self.comment.clear();
        comment::skipped(&mut self.comment, count);
        if let Some(message) = message {
            self.comment.extend_from_slice(b"; ");
            words::endpoints(&mut self.comment, message);
            if let Some(id) = message.header.log_id() {
                self.comment.push(b' ');
                words::quoted(&mut self.comment, id);
            }
        }
        private::put_standard(&mut self.body, block::OPT_COMMENT, &self.comment);
        block::end_options(&mut self.body);
        block::put(out, block::CUSTOM, &self.body);
    }

    /// Appends the block of one record.
    #[inline]
    pub(super) fn record(
        &mut self,
        message: &Message<'_>,
        record: &Record<'_>,
        context: &Context,
        merged: Option<MergedPlace>,
        out: &mut Vec<u8>,
    ) {
        self.body.clear();
        let packet = self.put_record(message, record, context, merged);
        let kind = if packet {
            block::ENHANCED_PACKET
        } else {
            block::CUSTOM
        };
        block::put(out, kind, &self.body);
    }

    /// Appends the block of a packet that has no record, in the section of its
    /// connection.
    pub fn captured(&mut self, message: &Message<'_>, packet: &Captured<'_>, out: &mut Vec<u8>) {
        let family = match packet.bytes.first() {
            Some(first) if first >> 4 == 6 => AF_INET6,
            _ => AF_INET,
        };
        let boot_us = message.header.boot_us();
        let time = boot_us.saturating_add(packet.uptime_us.unwrap_or(0)).max(0) as u64;
        let captured = packet.bytes.len() as u32 + 4;
        self.body.clear();
        for word in [
            0,
            (time >> 32) as u32,
            time as u32,
            captured,
            packet.length.saturating_add(4).max(captured),
            family.into(),
        ] {
            self.body.extend_from_slice(&word.to_le_bytes());
        }
        self.body.extend_from_slice(packet.bytes);
        self.body.resize(self.body.len().next_multiple_of(4), 0);
        if self.options.comments {
            self.comment.clear();
            comment::captured(&mut self.comment, packet);
            private::put_standard(&mut self.body, block::OPT_COMMENT, &self.comment);
        }
        if let Some(inbound) = packet.inbound {
            self.body.extend_from_slice(&block::direction(inbound));
        }
        block::end_options(&mut self.body);
        block::put(out, block::ENHANCED_PACKET, &self.body);
    }

    /// Appends the body of a record's block to `self.body`; true: a packet.
    #[inline]
    fn put_record(
        &mut self,
        message: &Message<'_>,
        record: &Record<'_>,
        context: &Context,
        merged: Option<MergedPlace>,
    ) -> bool {
        let tcp = record.tcp();
        match &tcp {
            Some(tcp) => self.put_packet(record, tcp, context, merged),
            None => self.body.extend_from_slice(&EVENT_START),
        }
        if let (Some(meanings), Some(plan)) = (&self.meanings, &context.plan) {
            self.comment.clear();
            let explained = meanings.explain(plan, message, record);
            comment::record(
                &mut self.comment,
                message,
                record,
                self.formats,
                &explained,
                merged.is_some(),
            );
            private::put_standard(&mut self.body, block::OPT_COMMENT, &self.comment);
        }
        let converter = &self.converters[context.converter].1;
        private::put_head(&mut self.body, private::TCPINFO, INFO_LEN);
        let start = self.body.len();
        if self.options.compat {
            converter.info_with_stale(record, &mut self.body);
        } else {
            converter.info(record, &mut self.body);
        }
        if let Some(place) = merged
            && let Some(tv) = self.body.get_mut(start..start + 16)
        {
            private::shift_time(tv, context.boot_us.wrapping_sub(place.boot_us));
        }
        if !self.options.compat {
            if let Some(verbose) = converter.verbose(record) {
                private::put(&mut self.body, private::TCPVERBOSE, &[&verbose]);
            }
            if let Some(sum) = tcp.as_ref().map(|tcp| tcp.checksum()).filter(|s| *s != 0) {
                private::put_extra(&mut self.body, Extra::Checksum(sum));
            }
            if let Some(place) = merged {
                private::put_extra(&mut self.body, Extra::Record(place.message, place.position));
            }
        }
        if tcp.is_some() {
            let inbound = record.event() == EventId::IN;
            self.body.extend_from_slice(&block::direction(inbound));
        }
        block::end_options(&mut self.body);
        tcp.is_some()
    }

    #[inline]
    fn put_packet(
        &mut self,
        record: &Record<'_>,
        tcp: &TcpHeader<'_>,
        context: &Context,
        merged: Option<MergedPlace>,
    ) {
        let body = &mut self.body;
        let time = context.boot_us.saturating_add(record.uptime_us()).max(0) as u64;
        let interface = merged.map_or(0, |place| place.interface);
        // Both lengths, the last eight bytes, are filled in below.
        let mut head = [0; 20];
        head[..4].copy_from_slice(&interface.to_le_bytes());
        head[4..8].copy_from_slice(&((time >> 32) as u32).to_le_bytes());
        head[8..12].copy_from_slice(&(time as u32).to_le_bytes());
        body.extend_from_slice(&head);
        let start = body.len();
        let inbound = record.event() == EventId::IN;
        let compat = self.options.compat;
        let length = context
            .synthesis
            .put(body, tcp, inbound, record.payload_len(), compat);
        let mut captured = (body.len() - start) as u32;
        if self.options.compat {
            // tcplog_dumper fills up to the snap length with zeros.
            captured = length.min(COMPAT_SNAPLEN).max(captured);
        }
        body.resize(start + (captured as usize).next_multiple_of(4), 0);
        body[start - 8..start - 4].copy_from_slice(&captured.to_le_bytes());
        body[start - 4..start].copy_from_slice(&length.to_le_bytes());
    }
}

/// A connection of a merged section.
#[derive(Clone, Debug)]
pub struct MergedInterface {
    pub name: String,
    /// Numbers and headers of its messages, and what is known of them.
    pub messages: Vec<(u32, Known, [u8; HEADER_LEN])>,
}

/// Where a record stands in a merged section.
#[derive(Clone, Copy, Debug)]
pub struct MergedPlace {
    pub interface: u32,
    /// Number of its message.
    pub message: u32,
    /// Records of its message before it.
    pub position: u32,
    /// Boot time of the section, µs since the epoch.
    pub boot_us: i64,
}

/// The endpoints that packets show. Unknown addresses are those that RFC 5737
/// keeps for documentation; comments say so.
pub fn shown_endpoints(message: &Message<'_>) -> Endpoints {
    let ends = message.header.endpoints();
    let Known { addresses, .. } = message.known;
    if addresses {
        return ends;
    }
    Endpoints {
        local: SocketAddr::new(IpAddr::V4(Ipv4Addr::new(192, 0, 2, 1)), ends.local.port()),
        foreign: SocketAddr::new(
            IpAddr::V4(Ipv4Addr::new(198, 51, 100, 1)),
            ends.foreign.port(),
        ),
        zone: 0,
    }
}
