//! Messages for the tests of the sinks, made field by field through a layout.

use super::Sink;
use super::context::Context;
use crate::bblog::{Header, Known, Message};
use crate::format::layout::{Kind, Layout};
use crate::format::{Abi, Dialect, Formats, Order, VERBOSE};
use crate::meaning::StackNames;
use crate::select::{Criteria, Picked, Picker};
use std::sync::Arc;

pub fn context() -> Context {
    Context {
        formats: Formats::builtin(),
        release: None,
        stacks: StackNames::new(&[(1, "freebsd".to_owned())]),
        verbosity: 0,
        color: false,
        show_pointers: false,
        relative_seq: false,
        time: Default::default(),
    }
}

pub fn dialect(version: u32, abi: Abi, order: Order) -> Arc<Dialect> {
    let dialect = Formats::builtin().dialect(version, abi, order);
    Arc::clone(dialect.expect("builtin"))
}

pub fn v9() -> Arc<Dialect> {
    dialect(9, Abi::Lp64, Order::Little)
}

/// Sets a field, which may be part of a byte.
fn put(layout: &Layout, order: Order, bytes: &mut [u8], name: &str, value: u64) {
    let field = layout.field(name).expect(name);
    match field.kind {
        Kind::Bits { low, width } => {
            bytes[field.offset] |= (value as u8) << order.bit_shift(low, width);
        }
        Kind::Network => assert!(Order::Big.write(bytes, field.offset, field.size, value)),
        _ => assert!(order.write(bytes, field.offset, field.size, value)),
    }
}

fn put_bytes(layout: &Layout, bytes: &mut [u8], name: &str, value: &[u8]) {
    let field = layout.field(name).expect(name);
    assert!(value.len() <= field.size);
    bytes[field.offset..][..value.len()].copy_from_slice(value);
}

/// One message.
pub struct Sample {
    pub dialect: Arc<Dialect>,
    pub known: Known,
    pub header: Vec<u8>,
    pub records: Vec<u8>,
}

impl Sample {
    /// From 192.0.2.1:80 to 198.51.100.2:4000, booted one day after the epoch.
    pub fn new(dialect: Arc<Dialect>) -> Sample {
        let layout = dialect.header.clone();
        let mut sample = Sample {
            header: vec![0; layout.size],
            records: Vec::new(),
            known: Known::ALL,
            dialect,
        };
        for (name, value) in [
            ("tlh_version", u64::from(sample.dialect.version)),
            ("tlh_type", 1),
            ("tlh_ie.ie_fport", 4000),
            ("tlh_ie.ie_lport", 80),
            ("tlh_offset.tv_sec", 86_400),
            ("tlh_af", 2),
        ] {
            sample.set(name, value);
        }
        sample.text("tlh_ie.ie_laddr", b"\0\0\0\0\0\0\0\0\0\0\0\0\xc0\0\x02\x01");
        sample.text(
            "tlh_ie.ie_faddr",
            b"\0\0\0\0\0\0\0\0\0\0\0\0\xc6\x33\x64\x02",
        );
        sample.text("tlh_reason", b"error");
        sample
    }

    pub fn set(&mut self, name: &str, value: u64) {
        let order = self.dialect.order;
        put(&self.dialect.header, order, &mut self.header, name, value);
    }

    pub fn text(&mut self, name: &str, value: &[u8]) {
        put_bytes(&self.dialect.header, &mut self.header, name, value);
    }

    /// Adds a record; what is not given holds 0xa5 where a flag governs it,
    /// as a kernel's stale memory would, and zero elsewhere.
    pub fn record(&mut self, event: u8, sn: u32, fields: &[(&str, u64)]) -> &mut Sample {
        let dialect = Arc::clone(&self.dialect);
        let mut bytes = vec![0; dialect.record.size];
        for field in &dialect.record.fields {
            let governed = [
                "tlb_rxbuf",
                "tlb_txbuf",
                "tlb_stackinfo",
                "tlb_th",
                "tlb_opts",
            ];
            if governed.iter().any(|part| field.name.starts_with(part)) {
                bytes[field.offset..][..field.size].fill(0xa5);
            }
        }
        let mut set = |name: &str, value| {
            put(&dialect.record, dialect.order, &mut bytes, name, value);
        };
        set("tlb_eventid", u64::from(event));
        set("tlb_sn", u64::from(sn));
        set("tlb_stackid", 1);
        for (name, value) in fields {
            set(name, *value);
        }
        let flags = fields.iter().find(|(name, _)| *name == "tlb_eventflags");
        self.records.extend(bytes);
        if flags.is_some_and(|(_, flags)| flags & u64::from(VERBOSE) != 0) {
            let mut part = vec![0; dialect.verbose.size];
            put_bytes(&dialect.verbose, &mut part, "tlv_snd_frm", b"caller\xff");
            put_bytes(&dialect.verbose, &mut part, "tlv_trace_func", b"tcp_output");
            let order = dialect.order;
            put(&dialect.verbose, order, &mut part, "tlv_trace_line", 77);
            self.records.extend(part);
        }
        self
    }

    /// Puts a TCP header and options into the last record, a plain one.
    pub fn segment(&mut self, header_and_options: &[u8]) -> &mut Sample {
        let th = self.dialect.record_slots.th;
        let at = self.records.len() - self.dialect.record.size + usize::from(th.offset);
        self.records[at..][..header_and_options.len()].copy_from_slice(header_and_options);
        self
    }

    pub fn message(&self) -> Message<'_> {
        Message {
            header: Header::new(&self.header, &self.dialect).expect("whole header"),
            records: &self.records,
            known: self.known,
            first: true,
            last: true,
            offset: 0,
            stack_name: None,
            origins: &[],
        }
    }
}

/// Feeds messages to a sink.
pub fn feed(sink: &mut dyn Sink, samples: &[Sample]) {
    let select = Criteria::default().select(&|_: &str| Vec::new());
    let mut picker = Picker::new(select.expect("empty criteria"), Vec::new());
    let mut picked = Picked::default();
    for sample in samples {
        let message = sample.message();
        picker.pick(&message, &mut picked);
        sink.piece(&message, &picked).expect("memory does not fail");
    }
    sink.finish().expect("memory does not fail");
}

/// A TCP header with one NOP NOP timestamps option: seq 1000, ack 2000, PSH
/// and ACK, window 500, checksum 0x1234.
pub const SEGMENT: &[u8] = b"\0\x50\x0f\xa0\0\0\x03\xe8\0\0\x07\xd0\x80\x18\x01\xf4\x12\x34\0\0\
                             \x01\x01\x08\x0a\0\0\0\x01\0\0\0\x02";
