//! The wire as a recorder: packets out of pcap and pcapng files.

pub mod ip;
pub mod link;
mod pcap;
mod pcapng;
mod window;

use crate::input::Damage;
use pcap_file::pcap::PcapHeader;
use std::io::{self, Read};
use window::Window;

/// Packets larger than this are refused: none of TCP comes near it.
const MAX_PACKET: usize = 16 * 1024 * 1024;

/// Why a capture cannot be read at all.
#[derive(Debug, thiserror::Error)]
pub enum CaptureError {
    #[error("{name}: not a capture: neither pcap nor pcapng begins with {head}")]
    Unknown { name: String, head: String },
    #[error("{name}: read failed at byte {offset}: {cause}")]
    Read {
        name: String,
        offset: u64,
        cause: io::Error,
    },
    #[error(
        "{name}: no packets of this link type can be read: {links}; there are Ethernet, raw IP, \
         NULL, LOOP, and Linux cooked (SLL, SLL2)"
    )]
    Link { name: String, links: String },
}

/// One packet of a capture.
#[derive(Clone, Copy, Debug)]
pub struct Packet<'a> {
    /// From 1, as Wireshark counts them.
    pub number: u64,
    /// Nanoseconds since the Unix epoch, where the file says.
    pub time: Option<i64>,
    /// LINKTYPE_ value.
    pub link: u16,
    /// Its bytes on the wire.
    pub length: u32,
    /// As many of them as were captured.
    pub data: &'a [u8],
}

/// A packet that lies in the window.
struct Found {
    time: Option<i64>,
    link: u16,
    length: u32,
    /// Offset and length of its data from the start of the window.
    at: usize,
    captured: usize,
    /// Bytes of the file that it takes.
    takes: usize,
}

/// What comes next in a file.
enum Step {
    Packet(Found),
    /// Something that is no packet takes so many bytes.
    Skip(usize),
    /// Something is wrong here. How far to go on is for the form to say.
    Damaged(String),
    End,
}

enum Form {
    Pcap(pcap::Pcap),
    Pcapng(pcapng::Pcapng),
}

/// Reads the packets of one capture.
///
/// Holds one packet or block at a time, 16 MiB at most.
pub struct Capture {
    pub name: String,
    window: Window,
    form: Form,
    /// Packets read so far.
    pub packets: u64,
    pub damage: Vec<Damage>,
}

impl Capture {
    /// `source`: the capture's bytes, decompressed.
    pub fn open(name: &str, source: impl Read + Send + 'static) -> Result<Capture, CaptureError> {
        let name = name.to_owned();
        let mut window = Window::new(source);
        window.fill(24).map_err(|cause| CaptureError::Read {
            name: name.clone(),
            offset: 0,
            cause,
        })?;
        let head = window.bytes();
        let form = if let Some(form) = pcapng::Pcapng::begins(head) {
            Form::Pcapng(form)
        } else if let Ok((_, header)) = PcapHeader::from_slice(head) {
            window.skip(24);
            Form::Pcap(pcap::Pcap::new(&header))
        } else {
            let head: Vec<String> = head.iter().take(8).map(|b| format!("{b:02x}")).collect();
            let head = if head.is_empty() {
                "nothing".to_owned()
            } else {
                head.join(" ")
            };
            return Err(CaptureError::Unknown { name, head });
        };
        Ok(Capture {
            name,
            window,
            form,
            packets: 0,
            damage: Vec::new(),
        })
    }

    pub fn form(&self) -> &'static str {
        match self.form {
            Form::Pcap(_) => "pcap",
            Form::Pcapng(_) => "pcapng",
        }
    }

    /// Packets that the capture itself says it has lost, where it says so.
    pub fn dropped(&self) -> Option<u64> {
        match &self.form {
            Form::Pcap(_) => None,
            Form::Pcapng(form) => form.dropped(),
        }
    }

    /// The next packet. Damage is noted in [`Capture::damage`] and costs as
    /// little as can be; a read that fails ends the capture with what came
    /// before it.
    pub fn next_packet(&mut self) -> Option<Packet<'_>> {
        let found = loop {
            let step = match &mut self.form {
                Form::Pcap(form) => form.step(&mut self.window),
                Form::Pcapng(form) => form.step(&mut self.window),
            };
            match step {
                Ok(Step::Packet(found)) => break found,
                Ok(Step::Skip(len)) => self.window.skip(len),
                Ok(Step::End) => return None,
                Ok(Step::Damaged(what)) => self.resync(what),
                Err(cause) => {
                    let offset = self.window.offset;
                    let what = format!("reading stopped here: {cause}");
                    self.note(offset, 0, what);
                    self.window.end();
                }
            }
        };
        self.packets += 1;
        // The packet stays in the window until the next step.
        self.window.skip_later(found.takes);
        let bytes = self.window.bytes();
        let end = found.at.saturating_add(found.captured);
        Some(Packet {
            number: self.packets,
            time: found.time,
            link: found.link,
            length: found.length,
            data: bytes.get(found.at..end).unwrap_or(&[]),
        })
    }

    /// Goes on at the next place that looks right.
    fn resync(&mut self, what: String) {
        let offset = self.window.offset;
        let found = match &self.form {
            Form::Pcap(form) => form.resync(&mut self.window),
            Form::Pcapng(form) => form.resync(&mut self.window),
        };
        let lost = match found {
            Some(at) => at.max(1),
            None => self.window.bytes().len().max(1),
        };
        self.window.skip(lost);
        self.note(offset, lost as u64, what);
    }

    fn note(&mut self, offset: u64, lost: u64, what: String) {
        // What goes on where the last damage ended is one with it.
        if let Some(last) = self.damage.last_mut()
            && last.lost > 0
            && last.offset + last.lost == offset
        {
            last.lost += lost;
            return;
        }
        self.damage.push(Damage { offset, lost, what });
    }
}
