//! Files that an earlier run left unfinished: cut behind their last whole
//! block, and finished.

use super::about::About;
use super::compress::Compress;
use super::directory::{Directory, Entry};
use super::part::{Finished, PART, Part};
use super::shared::Shared;
use crate::bblog::Message;
use crate::format::Formats;
use crate::input::{Batch, Bytes, InputFormat, Reader, recognised};
use crate::meaning::StackNames;
use crate::output::pcapng::block::SECTION_HEADER;
use crate::select::{Picked, Picker, Select};
use std::fs::File;
use std::io::{self, BufRead, BufReader, Read, Seek, SeekFrom};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// Names of the unfinished files among those of a directory.
pub fn unfinished(entries: &[Entry]) -> Vec<String> {
    let names = entries.iter().filter_map(|entry| {
        let whole = entry.name.to_str()?.strip_suffix(PART)?;
        Compress::of_name(whole).map(|_| whole.to_owned())
    });
    names.collect()
}

/// Finishes the unfinished files `names`, until `stop` is true.
pub fn recover(shared: &Shared, directory: &Arc<Directory>, names: Vec<String>, stop: &AtomicBool) {
    if names.is_empty() {
        return;
    }
    let told = directory.index().last_names().unwrap_or_default();
    let all = names.len() as u64;
    for (done, name) in (0..).zip(names) {
        if stop.load(Ordering::Relaxed) {
            shared.left_over(all - done);
            break;
        }
        match recover_one(shared, directory, &name, &told) {
            Ok(Some(what)) => {
                shared.counters.recovered.add(1);
                shared.log.say(format_args!("{name}: {what}"));
            }
            Ok(None) => {}
            Err(cause) => {
                shared.counters.errors.add(1);
                shared.log.say(format_args!(
                    "{name}{PART} was left by an earlier run and cannot be finished: {cause}"
                ));
            }
        }
    }
}

fn recover_one(
    shared: &Shared,
    directory: &Arc<Directory>,
    name: &str,
    told: &[String],
) -> io::Result<Option<String>> {
    let temporary = format!("{name}{PART}");
    let is_told = told.iter().any(|other| other == name);
    if is_told && directory.are_one(&temporary, name) {
        // All was done but for the last step.
        let bytes = directory.size(&temporary)?;
        directory.remove(temporary.as_ref())?;
        let name = name.to_owned();
        shared.budget.recovered(Finished { name, bytes });
        return Ok(None);
    }
    if directory.has(name) && !directory.are_one(&temporary, name) {
        return Err(io::Error::other("its name is taken"));
    }
    let compress = Compress::of_name(name).unwrap_or_default();
    let mut file = directory.inspect(&temporary)?;
    let size = file.metadata()?.len();
    let len = whole(&mut file, compress)?;
    let about = match len {
        0 => None,
        _ => about(shared, &mut file, name, len)?,
    };
    let Some(about) = about else {
        directory.remove(temporary.as_ref())?;
        shared.budget.shrank(size);
        return Ok(Some(
            "left by an earlier run without a whole record; removed".to_owned(),
        ));
    };
    let records = about.records;
    let about = (!is_told).then_some(about);
    let part = Part::left_behind(
        Arc::clone(directory),
        name.to_owned(),
        compress,
        file,
        len,
        about,
    );
    let finished = Box::new(part).finish(shared.settings.sync, shared.now(), true);
    let finished = finished.map_err(|unfinished| unfinished.cause)?;
    shared.budget.shrank(size.saturating_sub(len));
    shared.budget.recovered(finished);
    Ok(Some(format!(
        "left by an earlier run; finished with {records} records, {} bytes cut off",
        size - len
    )))
}

/// Bytes of a file up to the end of its last whole block, or frame.
fn whole(file: &mut File, compress: Compress) -> io::Result<u64> {
    file.seek(SeekFrom::Start(0))?;
    let mut from = Counted {
        inner: BufReader::with_capacity(256 * 1024, &*file),
        count: 0,
    };
    let mut len = 0;
    // An error is what a torn end looks like.
    match compress {
        Compress::None => {
            while skip_block(&mut from).is_ok_and(|more| more) {
                len = from.count;
            }
        }
        Compress::Gzip => {
            while has_more(&mut from) && drain(flate2::bufread::GzDecoder::new(&mut from), len == 0)
            {
                len = from.count;
            }
        }
        Compress::Zstd => {
            while has_more(&mut from) {
                let decoder = zstd::stream::read::Decoder::with_buffer(&mut from)?;
                if !drain(decoder.single_frame(), len == 0) {
                    break;
                }
                len = from.count;
            }
        }
        Compress::Xz => {
            while has_more(&mut from)
                && drain(liblzma::bufread::XzDecoder::new(&mut from), len == 0)
            {
                len = from.count;
            }
        }
    }
    Ok(len)
}

fn has_more(from: &mut impl BufRead) -> bool {
    from.fill_buf().is_ok_and(|bytes| !bytes.is_empty())
}

/// Reads to the end; false if that fails. The first frame of a file begins a
/// section: what does not is not read to its end, which may be far.
fn drain(mut from: impl Read, is_first: bool) -> bool {
    let mut start = [0; 4];
    if is_first
        && (from.read_exact(&mut start).is_err() || u32::from_le_bytes(start) != SECTION_HEADER)
    {
        return false;
    }
    io::copy(&mut from, &mut io::sink()).is_ok()
}

/// Skips one pcapng block; false at the end.
fn skip_block(from: &mut impl BufRead) -> io::Result<bool> {
    if !has_more(from) {
        return Ok(false);
    }
    let word = |from: &mut dyn Read| {
        let mut word = [0; 4];
        from.read_exact(&mut word)
            .map(|()| u32::from_le_bytes(word))
    };
    let damaged = || io::Error::from(io::ErrorKind::InvalidData);
    word(from)?;
    // What this program writes is little-endian.
    let len = word(from)?;
    let body = len.checked_sub(12).filter(|body| body % 4 == 0);
    let body = u64::from(body.ok_or_else(damaged)?);
    let skipped = io::copy(&mut from.by_ref().take(body), &mut io::sink())?;
    if skipped != body || word(from)? != len {
        return Err(damaged());
    }
    Ok(true)
}

/// Counts what was consumed.
struct Counted<R> {
    inner: R,
    count: u64,
}

impl<R: BufRead> Read for Counted<R> {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        let read = self.fill_buf()?.read(out)?;
        self.consume(read);
        Ok(read)
    }
}

impl<R: BufRead> BufRead for Counted<R> {
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        self.inner.fill_buf()
    }

    fn consume(&mut self, amount: usize) {
        self.count += amount as u64;
        self.inner.consume(amount);
    }
}

/// What the first `len` bytes of a file hold.
fn about(shared: &Shared, file: &mut File, name: &str, len: u64) -> io::Result<Option<About>> {
    file.seek(SeekFrom::Start(0))?;
    let copy = file.try_clone()?.take(len);
    let bytes = Bytes::from_reader(name, copy);
    let formats: &Formats = shared.formats;
    let opened = recognised(bytes, Some(InputFormat::Pcapng), formats).map_err(io::Error::other)?;
    let mut reader = Reader::new(opened, formats).map_err(io::Error::other)?;
    let stacks = &shared.settings.options.stacks;
    let mut picker = Picker::new(Select::default(), stacks.by_id());
    let mut batch = Batch::default();
    let mut picked = Picked::default();
    let mut all: Option<About> = None;
    while reader.next_batch(&mut batch).map_err(io::Error::other)? {
        for message in batch.messages() {
            picker.pick(&message, &mut picked);
            let about = about_piece(&message, &picked, all.as_ref(), stacks);
            match &mut all {
                None => all = Some(about),
                Some(all) => all.absorb(about),
            }
        }
        // No file of ours is damaged inside its whole blocks, and what is not
        // ours may be without end.
        if !batch.damage.is_empty() {
            break;
        }
    }
    Ok(all.filter(|about| about.records > 0))
}

fn about_piece(
    message: &Message<'_>,
    picked: &Picked,
    before: Option<&About>,
    stacks: &StackNames,
) -> About {
    let mut about = match before {
        Some(before) if !message.first => before.rest(),
        _ => About::of(message),
    };
    about.add(message, picked, stacks);
    about
}
