//! A second reader of version 9 LP64 little-endian streams, and of the blocks
//! of pcapng. Places are those of the kernel's structures, typed in here, so
//! that the library's computed ones are judged by something else.

pub const HEADER: usize = 208;
pub const RECORD: usize = 328;
pub const VERBOSE: usize = 72;
pub const INFO: usize = 268;

pub const RXBUF: u16 = 1;
pub const TXBUF: u16 = 2;
pub const HDR: u16 = 4;
pub const WITH_VERBOSE: u16 = 8;
pub const STACKINFO: u16 = 16;

pub fn u16_at(bytes: &[u8], at: usize) -> u16 {
    u16::from_le_bytes(bytes[at..at + 2].try_into().unwrap())
}

pub fn u32_at(bytes: &[u8], at: usize) -> u32 {
    u32::from_le_bytes(bytes[at..at + 4].try_into().unwrap())
}

pub fn u64_at(bytes: &[u8], at: usize) -> u64 {
    u64::from_le_bytes(bytes[at..at + 8].try_into().unwrap())
}

/// Bytes of text up to the first NUL.
pub fn text(bytes: &[u8]) -> &[u8] {
    bytes.split(|b| *b == 0).next().unwrap()
}

/// One message.
#[derive(Clone, Copy, Debug)]
pub struct Msg<'a> {
    pub offset: usize,
    pub bytes: &'a [u8],
}

/// One record, its verbose part included.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Rec<'a>(pub &'a [u8]);

impl<'a> Msg<'a> {
    pub fn header(self) -> &'a [u8] {
        &self.bytes[..HEADER]
    }

    pub fn id(self) -> &'a [u8] {
        text(&self.bytes[72..136])
    }

    pub fn reason(self) -> &'a [u8] {
        text(&self.bytes[136..168])
    }

    pub fn tag(self) -> &'a [u8] {
        text(&self.bytes[168..200])
    }

    /// Foreign and local port.
    pub fn ports(self) -> (u16, u16) {
        let port = |at: usize| u16::from_be_bytes([self.bytes[at], self.bytes[at + 1]]);
        (port(16), port(18))
    }

    pub fn is_ipv6(self) -> bool {
        self.bytes[200] == 28
    }

    /// Boot time, µs since the epoch.
    pub fn boot_us(self) -> i64 {
        u64_at(self.bytes, 56) as i64 * 1_000_000 + u64_at(self.bytes, 64) as i64
    }

    /// Everything that tells the connection.
    pub fn connection(self) -> [u8; 40] {
        self.bytes[16..56].try_into().unwrap()
    }

    pub fn records(self) -> Vec<Rec<'a>> {
        let mut rest = &self.bytes[HEADER..];
        let mut records = Vec::new();
        while !rest.is_empty() {
            let (record, behind) = rest.split_at(record_len(rest));
            records.push(Rec(record));
            rest = behind;
        }
        records
    }

    /// The message with other records.
    pub fn with_records<'b>(self, records: impl IntoIterator<Item = Rec<'b>>) -> Vec<u8> {
        let mut bytes = self.header().to_vec();
        for record in records {
            bytes.extend_from_slice(record.0);
        }
        let len = bytes.len() as u64;
        bytes[8..16].copy_from_slice(&len.to_le_bytes());
        bytes
    }
}

impl Rec<'_> {
    pub fn sn(self) -> u32 {
        u32_at(self.0, 20)
    }

    pub fn stack(self) -> u8 {
        self.0[24]
    }

    pub fn event(self) -> u8 {
        self.0[25]
    }

    pub fn flags(self) -> u16 {
        u16_at(self.0, 26)
    }

    pub fn uptime_us(self) -> i64 {
        u64_at(self.0, 0) as i64 * 1_000_000 + u64_at(self.0, 8) as i64
    }

    pub fn is_packet(self) -> bool {
        self.flags() & HDR != 0
    }

    /// Bytes of TCP payload.
    pub fn len(self) -> u32 {
        u32_at(self.0, 264)
    }

    /// The TCP header and those option bytes that belong to it.
    pub fn tcp(self) -> &'static [u8] {
        let len = usize::from(self.0[280] >> 4) * 4;
        self.0[268..268 + len.clamp(20, 60)].to_vec().leak()
    }

    /// The record with zeros behind flags that are not set, and behind the
    /// end of the TCP header.
    pub fn without_stale(self) -> Vec<u8> {
        let mut bytes = self.0.to_vec();
        for (flag, range) in [(RXBUF, 32..44), (TXBUF, 44..56), (STACKINFO, 160..264)] {
            if self.flags() & flag == 0 {
                bytes[range].fill(0);
            }
        }
        let end = if self.is_packet() {
            268 + usize::from(bytes[280] >> 4).clamp(5, 15) * 4
        } else {
            268
        };
        bytes[end..RECORD].fill(0);
        bytes
    }
}

/// Bytes of the record at the start of `bytes`.
pub fn record_len(bytes: &[u8]) -> usize {
    if u16_at(bytes, 26) & WITH_VERBOSE != 0 {
        RECORD + VERBOSE
    } else {
        RECORD
    }
}

/// The messages of a stream that is whole.
pub fn messages(stream: &[u8]) -> Vec<Msg<'_>> {
    let mut at = 0;
    let mut messages = Vec::new();
    while at < stream.len() {
        assert_eq!(
            (u32_at(stream, at), u32_at(stream, at + 4)),
            (9, 1),
            "at {at}"
        );
        let len = u64_at(stream, at + 8) as usize;
        messages.push(Msg {
            offset: at,
            bytes: &stream[at..at + len],
        });
        at += len;
    }
    messages
}

/// The stream with zeros wherever a record is stale.
pub fn without_stale(stream: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(stream.len());
    for message in messages(stream) {
        out.extend_from_slice(message.header());
        for record in message.records() {
            out.extend_from_slice(&record.without_stale());
        }
    }
    out
}

/// One block of a little-endian pcapng file.
#[derive(Clone, Copy, Debug)]
pub struct Block<'a> {
    pub kind: u32,
    /// The whole block.
    pub bytes: &'a [u8],
}

pub const SECTION: u32 = 0x0a0d_0d0a;
pub const INTERFACE: u32 = 1;
pub const PACKET: u32 = 6;
pub const CUSTOM: u32 = 0xbad;

impl<'a> Block<'a> {
    pub fn body(self) -> &'a [u8] {
        &self.bytes[8..self.bytes.len() - 4]
    }

    /// 1 an event, 2 missing serial numbers; of a custom block.
    pub fn custom_kind(self) -> u32 {
        assert_eq!((self.kind, u32_at(self.body(), 0)), (CUSTOM, 10_949));
        u32_at(self.body(), 4)
    }

    /// A packet or an event.
    pub fn is_record(self) -> bool {
        self.kind == PACKET || (self.kind == CUSTOM && self.custom_kind() == 1)
    }

    /// The bytes of a packet that were kept.
    pub fn packet(self) -> &'a [u8] {
        &self.body()[20..20 + u32_at(self.body(), 12) as usize]
    }

    /// Code and value of each option.
    pub fn options(self) -> Vec<(u16, &'a [u8])> {
        let skip = match self.kind {
            SECTION => 16,
            INTERFACE => 8,
            PACKET => 20 + self.packet().len().next_multiple_of(4),
            CUSTOM => match self.custom_kind() {
                1 => 8,
                _ => 12,
            },
            other => panic!("block of type {other}"),
        };
        let mut rest = &self.body()[skip..];
        let mut options = Vec::new();
        while !rest.is_empty() {
            let (code, len) = (u16_at(rest, 0), usize::from(u16_at(rest, 2)));
            if code == 0 {
                assert_eq!((len, rest.len()), (0, 4), "bytes behind the last option");
                break;
            }
            options.push((code, &rest[4..4 + len]));
            rest = &rest[4 + len.next_multiple_of(4)..];
        }
        options
    }

    /// The comments.
    pub fn comments(self) -> Vec<&'a str> {
        let is_comment = |(code, value): (u16, &'a [u8])| {
            (code == 1).then(|| std::str::from_utf8(value).expect("a comment that is not UTF-8"))
        };
        self.options().into_iter().filter_map(is_comment).collect()
    }

    /// The private option of this type.
    pub fn private(self, kind: u32) -> Option<&'a [u8]> {
        self.options().into_iter().find_map(|(code, value)| {
            let ours = code == 2_989 && u32_at(value, 0) == 10_949 && u32_at(value, 4) == kind;
            ours.then(|| &value[8..])
        })
    }

    /// The 268 bytes of a record.
    pub fn info(self) -> &'a [u8] {
        let info = self.private(2).expect("a record without TCPINFO");
        assert_eq!(info.len(), INFO);
        info
    }
}

/// The blocks of a file.
pub fn blocks(file: &[u8]) -> Vec<Block<'_>> {
    let mut rest = file;
    let mut blocks = Vec::new();
    while !rest.is_empty() {
        let len = u32_at(rest, 4) as usize;
        assert_eq!(u32_at(rest, len - 4) as usize, len, "trailing length");
        let (bytes, behind) = rest.split_at(len);
        blocks.push(Block {
            kind: u32_at(bytes, 0),
            bytes,
        });
        rest = behind;
    }
    blocks
}
