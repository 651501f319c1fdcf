//! Segments as tcpdump writes them.

use super::words::{hex, number};
use crate::bblog::Record;
use crate::bblog::tcp::{ACK, FIN, RST, SYN, TcpHeader, URG, flag_letters};
use crate::format::EventId;
use crate::meaning::SequenceBase;

/// Appends `Flags [P.], seq 1:1449, ack 1, win 500, options [...], length 1448`.
pub fn write(out: &mut Vec<u8>, record: &Record<'_>, base: SequenceBase) {
    let Some(tcp) = record.tcp() else { return };
    // Whose numbers are whose depends on who sent the segment.
    let (own, other) = if record.event() == EventId::IN {
        (base.peer, base.local)
    } else {
        (base.local, base.peer)
    };
    let flags = tcp.flags();
    out.extend_from_slice(b"Flags [");
    let start = out.len();
    flag_letters(flags, out);
    if out.len() == start {
        out.extend_from_slice(b"none");
    }
    out.push(b']');
    let len = record.payload_len();
    // A SYN's own number is what others count from.
    let seq = relative(tcp.seq(), own.filter(|_| flags & SYN == 0));
    if len > 0 || flags & (SYN | FIN | RST) != 0 {
        out.extend_from_slice(b", seq ");
        number(out, seq);
        if len > 0 {
            out.push(b':');
            number(out, seq.wrapping_add(len));
        }
    }
    if flags & ACK != 0 {
        out.extend_from_slice(b", ack ");
        number(out, relative(tcp.ack(), other));
    }
    out.extend_from_slice(b", win ");
    number(out, tcp.window());
    if flags & URG != 0 {
        out.extend_from_slice(b", urg ");
        number(out, tcp.urgent());
    }
    options(out, &tcp, other);
    out.extend_from_slice(b", length ");
    number(out, len);
}

fn relative(seq: u32, base: Option<u32>) -> u32 {
    base.map_or(seq, |base| seq.wrapping_sub(base))
}

/// Appends `, options [nop,nop,TS val 1 ecr 2]`, if there are any; what is cut
/// off or has a wrong length ends the list with `bad`.
fn options(out: &mut Vec<u8>, tcp: &TcpHeader<'_>, acked: Option<u32>) {
    let mut rest = tcp.options();
    if rest.is_empty() {
        return;
    }
    out.extend_from_slice(b", options [");
    let mut first = true;
    while let Some((&kind, after)) = rest.split_first() {
        if !std::mem::take(&mut first) {
            out.push(b',');
        }
        match kind {
            0 => {
                out.extend_from_slice(b"eol");
                break;
            }
            1 => {
                out.extend_from_slice(b"nop");
                rest = after;
                continue;
            }
            _ => {}
        }
        let len = after.first().copied().map_or(0, usize::from);
        let Some(body) = rest.get(2..len) else {
            out.extend_from_slice(b"bad");
            break;
        };
        option(out, kind, body, acked);
        rest = rest.get(len..).unwrap_or(&[]);
    }
    out.push(b']');
}

fn option(out: &mut Vec<u8>, kind: u8, body: &[u8], acked: Option<u32>) {
    let word = |at: usize| {
        let bytes = body.get(at..at + 4).and_then(|b| b.try_into().ok());
        bytes.map(u32::from_be_bytes)
    };
    match (kind, body) {
        (2, &[high, low]) => {
            out.extend_from_slice(b"mss ");
            number(out, u16::from_be_bytes([high, low]));
        }
        (3, &[shift]) => {
            out.extend_from_slice(b"wscale ");
            number(out, shift);
        }
        (4, []) => out.extend_from_slice(b"sackOK"),
        (5, blocks) if !blocks.is_empty() && blocks.len().is_multiple_of(8) => {
            out.extend_from_slice(b"sack ");
            number(out, blocks.len() / 8);
            out.push(b' ');
            for at in (0..blocks.len()).step_by(8) {
                out.push(b'{');
                number(out, relative(word(at).unwrap_or(0), acked));
                out.push(b':');
                number(out, relative(word(at + 4).unwrap_or(0), acked));
                out.push(b'}');
            }
        }
        (8, body) if body.len() == 8 => {
            out.extend_from_slice(b"TS val ");
            number(out, word(0).unwrap_or(0));
            out.extend_from_slice(b" ecr ");
            number(out, word(4).unwrap_or(0));
        }
        (19, _) => out.extend_from_slice(b"md5"),
        (34, cookie) => {
            out.extend_from_slice(b"tfo ");
            if cookie.is_empty() {
                out.extend_from_slice(b" cookiereq");
            } else {
                out.extend_from_slice(b" cookie ");
                hex(out, cookie);
            }
        }
        (kind, body) => {
            out.extend_from_slice(b"unknown-");
            number(out, kind);
            if !body.is_empty() {
                out.extend_from_slice(b" 0x");
                hex(out, body);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::output::samples::{SEGMENT, Sample, v9};

    fn text(event: u8, len: u64, header: &[u8], base: SequenceBase) -> String {
        let mut sample = Sample::new(v9());
        let fields = [("tlb_eventflags", 4), ("tlb_len", len)];
        sample.record(event, 1, &fields).segment(header);
        let message = sample.message();
        let mut out = Vec::new();
        write(
            &mut out,
            &message.records().next().expect("one record"),
            base,
        );
        String::from_utf8(out).expect("UTF-8")
    }

    /// A header with these flags and options, from seq 1000, ack 2000.
    fn header(flags: u8, options: &[u8]) -> Vec<u8> {
        let mut header = SEGMENT[..20].to_vec();
        header[12] = ((20 + options.len()) * 4) as u8;
        header[13] = flags;
        header.extend(options);
        header
    }

    #[test]
    fn as_tcpdump_writes_them() {
        let none = SequenceBase::default();
        assert_eq!(
            text(2, 100, SEGMENT, none),
            "Flags [P.], seq 1000:1100, ack 2000, win 500, \
             options [nop,nop,TS val 1 ecr 2], length 100"
        );
        assert_eq!(
            text(1, 0, &header(0x10, b""), none),
            "Flags [.], ack 2000, win 500, length 0"
        );
        assert_eq!(
            text(
                1,
                0,
                &header(0x02, b"\x02\x04\x05\xb4\x04\x02\x03\x03\x07\0\0\0"),
                none
            ),
            "Flags [S], seq 1000, win 500, options [mss 1460,sackOK,wscale 7,eol], length 0"
        );
    }

    #[test]
    fn relative_to_who_sends() {
        let base = SequenceBase {
            local: Some(900),
            peer: Some(1990),
        };
        let sack = header(0x10, b"\x01\x01\x05\x0a\0\0\x07\xd0\0\0\x07\xd1");
        assert_eq!(
            text(2, 1, &sack, base),
            "Flags [.], seq 100:101, ack 10, win 500, options [nop,nop,sack 1 {10:11}], length 1"
        );
        let swapped = SequenceBase {
            local: base.peer,
            peer: base.local,
        };
        assert_eq!(text(1, 1, &sack, swapped), text(2, 1, &sack, base));
    }

    #[test]
    fn damaged_options_end_the_list() {
        for bad in [
            b"\x08\x0a\0\0".as_slice(),
            b"\x02\x01\0\0",
            b"\x01\x01\x01\x05",
        ] {
            let text = text(1, 0, &header(0x10, bad), SequenceBase::default());
            assert!(text.contains("bad], length 0"), "{text}");
        }
        let odd = text(
            1,
            0,
            &header(0x10, b"\x03\x04\x07\x07"),
            SequenceBase::default(),
        );
        assert!(odd.contains("options [unknown-3 0x0707]"), "{odd}");
    }
}
