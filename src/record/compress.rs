//! Compression in frames that stand alone: a file that ends behind any of
//! them is whole.

use std::fmt;
use std::io::{self, Write};
use std::str::FromStr;

/// How files are compressed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Compress {
    #[default]
    None,
    Gzip,
    Zstd,
    Xz,
}

impl Compress {
    pub const ALL: [Compress; 4] = [Compress::None, Compress::Gzip, Compress::Zstd, Compress::Xz];

    pub fn name(self) -> &'static str {
        match self {
            Compress::None => "none",
            Compress::Gzip => "gzip",
            Compress::Zstd => "zstd",
            Compress::Xz => "xz",
        }
    }

    /// What stands behind `.pcapng` in the names of files.
    pub fn suffix(self) -> &'static str {
        match self {
            Compress::None => "",
            Compress::Gzip => ".gz",
            Compress::Zstd => ".zst",
            Compress::Xz => ".xz",
        }
    }

    /// The compression of a file, told by its name.
    pub fn of_name(name: &str) -> Option<Compress> {
        Compress::ALL.into_iter().find(|kind| {
            let stem = name.strip_suffix(kind.suffix());
            stem.is_some_and(|stem| stem.ends_with(".pcapng"))
        })
    }

    /// Makes `out` one frame that holds `blocks`.
    pub fn frame(self, blocks: &[u8], out: &mut Vec<u8>) -> io::Result<()> {
        out.clear();
        match self {
            Compress::None => out.extend_from_slice(blocks),
            Compress::Gzip => {
                let mut to = flate2::write::GzEncoder::new(out, flate2::Compression::fast());
                to.write_all(blocks)?;
                to.finish()?;
            }
            Compress::Zstd => {
                let mut to = zstd::stream::write::Encoder::new(out, ZSTD_LEVEL)?;
                to.set_pledged_src_size(Some(blocks.len() as u64))?;
                to.include_checksum(true)?;
                to.write_all(blocks)?;
                to.finish()?;
            }
            Compress::Xz => {
                let mut to = liblzma::write::XzEncoder::new(out, XZ_PRESET);
                to.write_all(blocks)?;
                to.finish()?;
            }
        }
        Ok(())
    }
}

const ZSTD_LEVEL: i32 = 3;
/// As tcplog_dumper has it: records are many and shrink well at any preset.
const XZ_PRESET: u32 = 0;

impl fmt::Display for Compress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for Compress {
    type Err = String;

    fn from_str(text: &str) -> Result<Compress, String> {
        Compress::ALL
            .into_iter()
            .find(|kind| kind.name() == text)
            .ok_or_else(|| format!("{text:?} is none of none, gzip, zstd and xz"))
    }
}
