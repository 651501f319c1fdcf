//! A writer: takes the pieces of its lane and makes files of them.

use super::about::About;
use super::compress::Compress;
use super::part::{Part, Unfinished};
use super::queue::{Queue, Taken, Weight};
use super::shared::Shared;
use crate::bblog::Message;
use crate::input::Parcel;
use crate::output::files::stem;
use crate::output::pcapng::encode::Encoder;
use crate::select::{Picked, Split};
use nix::sys::resource::{Resource, getrlimit};
use std::collections::HashMap;
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::{Duration, Instant};

/// A piece of a message on its way to a writer.
pub struct Piece {
    pub parcel: Parcel,
    pub picked: Picked,
    /// Running number of the message.
    pub message: u64,
    /// Running number of the piece in it.
    pub part: u32,
    /// The same for all that may go into one file.
    pub group: u64,
}

impl Weight for Piece {
    fn weight(&self) -> usize {
        let spans = self.picked.spans.capacity() * size_of::<crate::select::Span>();
        self.parcel.capacity() + spans + size_of::<Piece>()
    }
}

/// Blocks of a message that are gathered before a file is asked for.
const CHUNK: usize = 1 << 20;
/// Blocks that are compressed together.
const FRAME: usize = 256 * 1024;
/// How long blocks wait to be compressed together.
const FRAME_AGE: Duration = Duration::from_secs(1);
/// Bytes that all groups of a writer may gather.
const MAX_GATHERED: usize = 16 << 20;
/// Files of a writer with an open descriptor, where the process may have so
/// many.
const MAX_OPEN: usize = 128;
/// Descriptors that are left for all but recordings.
const OTHER_DESCRIPTORS: usize = 64;
/// Files of a writer that grow.
const MAX_GROUPS: usize = 16 * 1024;
/// After this time without a message a connection's file is finished.
const IDLE: Duration = Duration::from_secs(300);
/// Names whose next number is kept in mind.
const MAX_NEXT: usize = 16 * 1024;
/// Files that wait to be finished.
const MAX_UNFINISHED: usize = 64 * 1024;
const TICK: Duration = Duration::from_millis(500);

/// The stem of a group's files, and what else tells it from others, as the
/// local address is not in the stem: the number of the message, or
/// [`Piece::group`].
type Key = (String, u64);

/// Writes one lane.
pub struct Writer<'a> {
    shared: &'a Shared,
    encoder: Encoder,
    current: Option<Current>,
    groups: HashMap<Key, Group>,
    /// Groups whose files were opened lately.
    opened: Vec<Key>,
    max_open: usize,
    gathered: usize,
    /// Next number to try, by stem.
    next: HashMap<String, u32>,
    unfinished: Vec<Unfinished>,
    frame: Vec<u8>,
    spare: Vec<u8>,
    ticked: Instant,
}

/// The message under way.
struct Current {
    message: u64,
    /// The piece that comes next.
    part: u32,
    key: Key,
    blocks: Vec<u8>,
    about: About,
    /// Some of its blocks are in the group already.
    spilled: bool,
    /// Some of its blocks are lost, and the others make no sense without.
    lost: bool,
    /// When its last piece came.
    touched: Instant,
}

struct Group {
    part: Option<Box<Part>>,
    /// Blocks that are in no frame yet, and what they hold.
    gathered: Vec<u8>,
    about: Option<About>,
    /// Since when something is gathered.
    since: Instant,
    used: Instant,
}

impl<'a> Writer<'a> {
    pub fn new(shared: &'a Shared) -> Writer<'a> {
        let options = shared.settings.options.clone();
        let writers = shared.settings.writers;
        Writer {
            encoder: Encoder::new(options, shared.formats),
            shared,
            current: None,
            groups: HashMap::new(),
            opened: Vec::new(),
            max_open: max_open(writers),
            gathered: 0,
            next: HashMap::new(),
            unfinished: Vec::new(),
            frame: Vec::new(),
            spare: Vec::new(),
            ticked: Instant::now(),
        }
    }

    /// Writes what comes until the queue is closed and empty.
    pub fn run(mut self, queue: &Queue<Piece>, lane: usize) {
        loop {
            match queue.take(lane, TICK) {
                Taken::Piece(piece) => {
                    // Nothing here panics that is known of; but a lane that
                    // nobody empties would stop the reader for good.
                    let done = catch_unwind(AssertUnwindSafe(|| self.piece(&piece)));
                    if done.is_err() {
                        self.give_up(&piece);
                    }
                    self.shared.buffers.give(piece.parcel.into_bytes());
                }
                Taken::Nothing => {}
                Taken::End => break,
            }
            if self.ticked.elapsed() >= TICK {
                self.tick();
            }
        }
        self.end();
    }

    fn piece(&mut self, piece: &Piece) {
        let Some(message) = piece.parcel.message() else {
            return;
        };
        let follows = |current: &Current| {
            current.message == piece.message && current.part == piece.part && !piece.picked.begins
        };
        if !self.current.as_ref().is_some_and(follows) {
            // A message whose end never came, as it was dropped on the way.
            self.close_message(true);
            if !piece.picked.begins {
                self.shared
                    .counters
                    .dropped_records
                    .add(piece.picked.records(&message));
                return;
            }
            self.begin(piece, &message);
        }
        let Some(current) = &mut self.current else {
            return;
        };
        current.part += 1;
        current.touched = Instant::now();
        self.encoder
            .piece(&message, &piece.picked, &mut current.blocks);
        let stacks = &self.shared.settings.options.stacks;
        current.about.add(&message, &piece.picked, stacks);
        if message.last {
            self.close_message(false);
        } else if current.lost {
            current.blocks.clear();
        } else if current.blocks.len() >= CHUNK
            && current.about.records >= self.shared.settings.min_records
        {
            self.spill();
        }
    }

    /// Drops the message of a piece that could not be dealt with.
    fn give_up(&mut self, piece: &Piece) {
        self.current = None;
        let message = piece.parcel.message();
        let records = message.map_or(0, |message| piece.picked.records(&message));
        let cause = io::Error::other("a message could not be encoded");
        self.shared.failed(&cause, 1, records);
    }

    fn begin(&mut self, piece: &Piece, message: &Message<'_>) {
        let split = self.shared.settings.split;
        let number = match split {
            Split::Message => piece.message,
            Split::LogId | Split::Connection => piece.group,
        };
        self.encoder.set_dumptime(self.shared.now());
        self.current = Some(Current {
            message: piece.message,
            part: piece.part,
            key: (stem(message, split), number),
            blocks: std::mem::take(&mut self.spare),
            about: About::of(message),
            spilled: false,
            lost: false,
            touched: Instant::now(),
        });
    }

    /// Hands the blocks of the current message to its group, and goes on.
    fn spill(&mut self) {
        let Some(current) = &mut self.current else {
            return;
        };
        let rest = current.about.rest();
        let about = std::mem::replace(&mut current.about, rest);
        let key = current.key.clone();
        let mut blocks = std::mem::take(&mut current.blocks);
        current.spilled = true;
        self.gather(&key, &mut blocks, about);
        let written = self.write(&key);
        if let Some(current) = &mut self.current {
            current.blocks = blocks;
            current.lost = !written;
        }
    }

    /// The current message has ended; `cut`: not all of it came.
    fn close_message(&mut self, cut: bool) {
        let Some(mut current) = self.current.take() else {
            return;
        };
        current.about.cut |= cut;
        let settings = &self.shared.settings;
        if current.lost {
            // What was written of it stays; the index tells that it is cut.
            let mut about = current.about.rest();
            about.cut = true;
            let dropped = &self.shared.counters.dropped_records;
            dropped.add(current.about.records);
            current.blocks.clear();
            let group = self.groups.get_mut(&current.key);
            if let Some(part) = group.and_then(|group| group.part.as_mut()) {
                part.note(about);
            }
            self.finish(&current.key);
        } else if !current.spilled && current.about.records < settings.min_records {
            self.shared.counters.unwanted.add(current.about.records);
        } else {
            let ended = current.about.ended;
            self.gather(&current.key, &mut current.blocks, current.about);
            let alone = settings.split == Split::Message;
            if alone || settings.split == Split::Connection && ended {
                self.finish(&current.key);
            } else {
                self.write_if_due(&current.key);
            }
        }
        self.keep(current.blocks);
    }

    /// Keeps a buffer for the next message.
    fn keep(&mut self, mut blocks: Vec<u8>) {
        if blocks.capacity() > self.spare.capacity() {
            blocks.clear();
            self.spare = blocks;
        }
    }

    /// Adds blocks to a group; they are empty afterwards.
    fn gather(&mut self, key: &Key, blocks: &mut Vec<u8>, about: About) {
        if !self.groups.contains_key(key) && self.groups.len() >= MAX_GROUPS {
            self.finish_oldest();
        }
        let now = Instant::now();
        let group = self.groups.entry(key.clone()).or_insert_with(|| Group {
            part: None,
            gathered: Vec::new(),
            about: None,
            since: now,
            used: now,
        });
        if group.gathered.is_empty() {
            group.since = now;
            std::mem::swap(&mut group.gathered, blocks);
            self.gathered += group.gathered.len();
        } else {
            self.gathered += blocks.len();
            group.gathered.append(blocks);
        }
        group.used = now;
        match &mut group.about {
            None => group.about = Some(about),
            Some(all) => all.absorb(about),
        }
    }

    fn write_if_due(&mut self, key: &Key) {
        let compress = self.shared.settings.compress;
        let due = self
            .groups
            .get(key)
            .is_some_and(|group| compress == Compress::None || group.gathered.len() >= FRAME);
        if due {
            self.write(key);
        }
        if self.gathered >= MAX_GATHERED {
            let keys: Vec<Key> = self.groups.keys().cloned().collect();
            for key in &keys {
                self.write(key);
            }
        }
        let size = self.shared.settings.rotate_size;
        let part = self.groups.get(key).and_then(|group| group.part.as_ref());
        if part.is_some_and(|part| part.len >= size) {
            self.finish(key);
        }
    }

    /// Writes what a group gathered; false if that failed.
    fn write(&mut self, key: &Key) -> bool {
        let Some(group) = self.groups.get_mut(key) else {
            return true;
        };
        let Some(about) = group.about.take() else {
            return true;
        };
        let blocks = std::mem::take(&mut group.gathered);
        self.gathered = self.gathered.saturating_sub(blocks.len());
        let result = self.append(key, &blocks, about.clone());
        match &result {
            Ok(()) => {
                self.shared.counters.written.add(about.records);
                self.shared.works();
            }
            Err(cause) => {
                self.shared.failed(cause, about.messages, about.records);
                // The index tells that the file has a gap.
                let mut gap = about.rest();
                gap.cut = true;
                let group = self.groups.get_mut(key);
                if let Some(part) = group.and_then(|group| group.part.as_mut()) {
                    part.note(gap);
                }
            }
        }
        self.keep(blocks);
        result.is_ok()
    }

    fn append(&mut self, key: &Key, blocks: &[u8], about: About) -> io::Result<()> {
        let settings = &self.shared.settings;
        let frame = match settings.compress {
            Compress::None => blocks,
            kind => {
                kind.frame(blocks, &mut self.frame)?;
                &self.frame
            }
        };
        let Some(group) = self.groups.get_mut(key) else {
            return Ok(());
        };
        let opens = group.part.as_ref().is_none_or(|part| part.is_released());
        let part = match &mut group.part {
            Some(part) => part,
            none => {
                let directory = self.shared.home.directory();
                let from = self.next.get(&key.0).copied().unwrap_or(0);
                let part = Part::create(directory, &key.0, from, settings.compress)?;
                if self.next.len() >= MAX_NEXT {
                    self.next.clear();
                }
                self.next
                    .insert(key.0.clone(), part.number().saturating_add(1));
                self.shared.counters.growing.add(1);
                none.insert(Box::new(part))
            }
        };
        if let Err(cause) = part.append(frame) {
            if part.len == 0 {
                self.shared.counters.growing.subtract(1);
                if let Some(part) = group.part.take() {
                    part.discard();
                }
            }
            return Err(cause);
        }
        part.note(about);
        self.shared.budget.grew(frame.len() as u64);
        self.shared.enforce_budget();
        if opens {
            self.opened.push(key.clone());
            if self.opened.len() > self.max_open {
                self.release();
            }
        }
        Ok(())
    }

    /// Gives the descriptors back.
    fn release(&mut self) {
        for key in self.opened.drain(..) {
            let group = self.groups.get_mut(&key);
            if let Some(part) = group.and_then(|group| group.part.as_mut()) {
                part.release();
            }
        }
    }

    /// Writes and finishes a group.
    fn finish(&mut self, key: &Key) {
        self.write(key);
        let Some(group) = self.groups.remove(key) else {
            return;
        };
        if let Some(part) = group.part {
            self.finish_part(part);
        }
    }

    fn finish_part(&mut self, part: Box<Part>) {
        let sync = self.shared.settings.sync;
        let here = Arc::ptr_eq(part.directory(), &self.shared.home.directory());
        match part.finish(sync, self.shared.now(), false) {
            Ok(file) => {
                self.shared.counters.growing.subtract(1);
                self.shared.counters.files.add(1);
                if here {
                    self.shared.budget.finished(file);
                }
            }
            // Its directory is gone, and the file with it.
            Err(Unfinished { part, cause }) if cause.kind() == io::ErrorKind::NotFound => {
                self.shared.counters.growing.subtract(1);
                self.shared.counters.written.subtract(part.records());
                self.shared.budget.shrank(part.len);
                let messages = part.about().map_or(0, |about| about.messages);
                self.shared.failed(&cause, messages, part.records());
            }
            Err(unfinished) => {
                self.shared.failed(&unfinished.cause, 0, 0);
                if self.unfinished.len() < MAX_UNFINISHED {
                    self.unfinished.push(unfinished);
                }
            }
        }
    }

    /// Finishes a quarter of the groups, those that rested longest.
    fn finish_oldest(&mut self) {
        let mut rested: Vec<(Instant, Key)> = self
            .groups
            .iter()
            .map(|(key, group)| (group.used, key.clone()))
            .collect();
        rested.sort_by_key(|(used, _)| *used);
        rested.truncate(MAX_GROUPS / 4);
        for (_, key) in rested {
            self.finish(&key);
        }
    }

    /// What is due by time.
    fn tick(&mut self) {
        self.ticked = Instant::now();
        // Its end was dropped, and no other message followed.
        let rests = |current: &Current| current.touched.elapsed() >= IDLE;
        if self.current.as_ref().is_some_and(rests) {
            self.close_message(true);
        }
        for unfinished in std::mem::take(&mut self.unfinished) {
            self.finish_part(unfinished.part);
        }
        let home = self.shared.home.directory();
        let busy = self.current.as_ref().map(|current| current.key.clone());
        let age = self.shared.settings.rotate_age;
        let (mut due, mut finished) = (Vec::new(), Vec::new());
        for (key, group) in &self.groups {
            let elsewhere = |part: &Part| !Arc::ptr_eq(part.directory(), &home);
            let part = group.part.as_deref();
            let old = part.is_some_and(|part| part.since.elapsed() >= age || elsewhere(part));
            if (old || group.used.elapsed() >= IDLE) && busy.as_ref() != Some(key) {
                finished.push(key.clone());
            } else if !group.gathered.is_empty() && group.since.elapsed() >= FRAME_AGE {
                due.push(key.clone());
            }
        }
        for key in &due {
            self.write(key);
        }
        finished.iter().for_each(|key| self.finish(key));
    }

    /// Nothing more comes.
    fn end(mut self) {
        self.close_message(true);
        let keys: Vec<Key> = self.groups.keys().cloned().collect();
        keys.iter().for_each(|key| self.finish(key));
        for unfinished in std::mem::take(&mut self.unfinished) {
            self.finish_part(unfinished.part);
        }
        // The next start finishes the rest.
        self.shared.left_over(self.unfinished.len() as u64);
    }
}

/// The writer's part of the descriptors that the process may have.
fn max_open(writers: usize) -> usize {
    let Ok((limit, _)) = getrlimit(Resource::RLIMIT_NOFILE) else {
        return MAX_OPEN;
    };
    // No limit is a negative number on some systems.
    let all = usize::try_from(limit).unwrap_or(usize::MAX);
    let each = all.saturating_sub(OTHER_DESCRIPTORS) / writers.max(1);
    each.clamp(1, MAX_OPEN)
}
