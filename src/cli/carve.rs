//! `tcplog carve`: records and packets out of memory images.

use super::Status;
use super::args::{self, Common, Meaning, Selection};
use super::drive::stop_on_signals;
use super::progress::Progress;
use super::say::say;
use crate::bblog::Life;
use crate::carve::join::{TWO_SIGNS, Wanted};
use crate::carve::run::{self, Outcome, Settings, Step};
use crate::carve::symbols::Symbols;
use crate::format::{Formats, Structures};
use crate::kernel::{self, KernelFile};
use crate::memory::{self, Container, Image, Machine, OpenOptions, PhysicalRange};
use crate::output::Sink;
use crate::output::carved::{self, Written};
use crate::output::escape::Escaped;
use crate::output::files::Output;
use crate::output::json::JsonSink;
use crate::output::pcapng::{Options, PcapngSink, SplitSink};
use crate::output::stream::{Form, StreamSink};
use crate::select::{Picker, Split};
use anyhow::{Context, anyhow};
use clap::{Args, ValueEnum};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

/// Get records and saved packets out of memory images
///
/// Finds black box records, those that were freed and can still be read as
/// well, messages queued for the device, and the packets that TCPPCAP kept, in
/// crash dumps, process cores, raw memory, and live memory. No kernel and no
/// symbols are needed. Several raw images count as consecutive parts of one.
#[derive(Debug, Args)]
#[command(group = clap::ArgGroup::new("destination").required(true).args(["output", "directory"]))]
pub struct Carve {
    /// Crash dumps, cores, raw images, or devices; compressed or not
    #[arg(required = true, value_name = "IMAGE")]
    images: Vec<PathBuf>,
    /// Write everything to this file; `-` is standard output
    #[arg(short, long, value_name = "FILE")]
    output: Option<PathBuf>,
    /// Write one pcapng file per group into this directory
    #[arg(short = 'D', long, value_name = "DIR")]
    directory: Option<PathBuf>,
    /// What makes a group: log-id, connection or message
    #[arg(
        long,
        value_name = "GROUP",
        conflicts_with = "output",
        default_value = "log-id"
    )]
    split: Split,
    /// Form of the output
    #[arg(
        long,
        value_name = "FORM",
        default_value = "pcapng",
        conflicts_with = "directory"
    )]
    format: FormArg,
    /// Leave out findings that are less sure, 0 to 100; two independent signs give 50
    #[arg(long, value_name = "N", default_value_t = TWO_SIGNS, value_parser = clap::value_parser!(u8).range(0..=100))]
    min_confidence: u8,
    /// Leave out what the kernel had freed
    #[arg(long)]
    live_only: bool,
    /// Boot time of the machine, if the image does not hold it: RFC 3339 or Unix seconds
    #[arg(long, value_name = "T", value_parser = boot_time, allow_hyphen_values = true)]
    boot_time: Option<i64>,
    /// Kernel file of the dump, with symbols and debug information
    #[arg(long, value_name = "FILE")]
    kernel: Option<PathBuf>,
    /// Machine of a raw image [default: 64 bits, little endian]
    #[arg(long, value_name = "NAME")]
    machine: Option<MachineArg>,
    /// Of a raw image of physical memory: where bytes of the file lie, in numbers like 0x1000
    #[arg(long, value_name = "OFFSET:ADDRESS:LENGTH", value_parser = physical_range)]
    physical_map: Vec<PhysicalRange>,
    /// Leave the comments out
    #[arg(long)]
    no_comments: bool,
    /// Time of writing to put into the file, Unix seconds [default: SOURCE_DATE_EPOCH, else now]
    #[arg(long, value_name = "SECONDS", allow_hyphen_values = true)]
    dumptime: Option<i64>,
    #[command(flatten)]
    selection: Selection,
    #[command(flatten)]
    meaning: Meaning,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum FormArg {
    /// pcapng, for Wireshark
    Pcapng,
    /// What /dev/tcp_log hands out; without packets
    Stream,
    /// One object per finding
    Json,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum MachineArg {
    Amd64,
    Arm64,
    Riscv64,
    I386,
    Arm,
    Powerpc64,
}

impl From<MachineArg> for Machine {
    fn from(machine: MachineArg) -> Machine {
        match machine {
            MachineArg::Amd64 => Machine::Amd64,
            MachineArg::Arm64 => Machine::Arm64,
            MachineArg::Riscv64 => Machine::Riscv64,
            MachineArg::I386 => Machine::I386,
            MachineArg::Arm => Machine::Arm,
            MachineArg::Powerpc64 => Machine::Powerpc64,
        }
    }
}

fn boot_time(text: &str) -> Result<i64, String> {
    let time = match text.parse::<jiff::Timestamp>() {
        Ok(time) => Some(time.as_microsecond()),
        Err(_) => text
            .parse::<f64>()
            .ok()
            .filter(|seconds| seconds.abs() < 1e11)
            .map(|seconds| (seconds * 1e6).round() as i64),
    };
    time.ok_or_else(|| "give RFC 3339 (2026-11-21T10:00:00Z) or Unix seconds".to_owned())
}

fn physical_range(text: &str) -> Result<PhysicalRange, String> {
    let number = |text: &str| match text.strip_prefix("0x") {
        Some(digits) => u64::from_str_radix(digits, 16).ok(),
        None => text.parse().ok(),
    };
    let mut parts = text.split(':').map(number);
    match [parts.next(), parts.next(), parts.next(), parts.next()] {
        [
            Some(Some(offset)),
            Some(Some(physical)),
            Some(Some(len)),
            None,
        ] => Ok(PhysicalRange {
            offset,
            physical,
            len,
        }),
        _ => {
            Err("give it as OFFSET:ADDRESS:LENGTH, for example 0x0:0x100000:0x80000000".to_owned())
        }
    }
}

/// A sink that becomes an output in the end.
enum Out {
    Pcapng(PcapngSink<Output>),
    Split(SplitSink),
    Stream(StreamSink<Output>),
    Json(JsonSink<Output>),
}

impl Out {
    fn sink(&mut self) -> &mut dyn Sink {
        match self {
            Out::Pcapng(sink) => sink,
            Out::Split(sink) => sink,
            Out::Stream(sink) => sink,
            Out::Json(sink) => sink,
        }
    }

    fn finish(mut self, any: bool) -> std::io::Result<()> {
        self.sink().finish()?;
        match self {
            // A pcapng file without a record would be no pcapng file.
            Out::Pcapng(sink) if any => sink.into_inner().finish(),
            Out::Pcapng(_) | Out::Split(_) => Ok(()),
            Out::Stream(sink) => sink.into_inner().finish(),
            Out::Json(sink) => sink.into_inner().finish(),
        }
    }
}

impl Carve {
    pub fn run(&self, common: &Common) -> anyhow::Result<Status> {
        let formats = common.load_formats()?;
        let select = self.selection.select(formats)?;
        let stop = stop_on_signals()?;
        let kernel = self.kernel_file()?;
        let (images, failed) = self.open(&stop)?;
        if let Some(kernel) = &kernel {
            images.iter().try_for_each(|image| kernel.fits(image))?;
        }
        let mut out = self.out(common, formats)?;
        let mut any = false;
        let mut damaged = false;
        for image in &images {
            damaged |= !image.notes.is_empty();
            for line in image.notes.iter().chain(&image.remarks) {
                if !common.quiet {
                    say(Escaped(line.as_bytes()));
                }
            }
            out.sink().source(&image.name);
            let mut picker = Picker::new(select.clone(), self.meaning.stacks().by_id());
            let kernel = kernel.as_ref();
            let written =
                self.image(common, formats, image, kernel, &stop, &mut picker, &mut out)?;
            any |= written.any();
        }
        let written = || match (&self.output, &self.directory) {
            (Some(path), _) | (None, Some(path)) => format!("writing {}", path.display()),
            (None, None) => String::new(),
        };
        out.finish(any).with_context(written)?;
        Ok(
            match (failed || damaged && common.strict, any && !damaged) {
                (true, _) => Status::Failed,
                (false, true) => Status::Done,
                (false, false) => Status::Partial,
            },
        )
    }

    /// Loads the kernel file, if there is one.
    fn kernel_file(&self) -> anyhow::Result<Option<Kernel>> {
        let Some(path) = &self.kernel else {
            return Ok(None);
        };
        let file = kernel::load(path)?;
        let name = path.display();
        if file.symbols.is_empty() {
            return Err(anyhow!(
                "{name}: no symbols of a FreeBSD kernel in it; give the kernel's own file, \
                 /boot/kernel/kernel or kernel.debug, as it was when the image was made"
            ));
        }
        let machine = kernel_machine(path).with_context(|| name.to_string())?;
        Ok(Some(Kernel {
            name: name.to_string(),
            file,
            machine,
        }))
    }

    /// Opens every image; raw ones that follow each other, or an image that is
    /// not whole, as one with it. True if some could not be opened.
    fn open(&self, stop: &Arc<AtomicBool>) -> anyhow::Result<(Vec<Image>, bool)> {
        let options = OpenOptions {
            physical_map: self.physical_map.clone(),
            machine: self.machine.map(Machine::from),
            stop: Some(Arc::clone(stop)),
            ..OpenOptions::default()
        };
        let mut groups: Vec<(Vec<PathBuf>, Image)> = Vec::new();
        let mut failed = false;
        for path in &self.images {
            let image = match memory::open(path, &options) {
                Ok(image) => image,
                Err(e) => {
                    failed = true;
                    say(Escaped(e.to_string().as_bytes()));
                    continue;
                }
            };
            let is_raw = |image: &Image| image.container == Container::Raw && !image.is_live;
            let goes_on = |image: &Image| is_raw(image) || !image.notes.is_empty();
            match groups.last_mut() {
                Some((paths, before)) if goes_on(before) && is_raw(&image) => {
                    paths.push(path.clone());
                }
                _ => groups.push((vec![path.clone()], image)),
            }
        }
        let mut images = Vec::new();
        for (paths, first) in groups {
            if paths.len() == 1 {
                images.push(first);
                continue;
            }
            let whole = memory::open_parts(&paths, &options)?;
            if is_better(&whole, &first) {
                images.push(whole);
                continue;
            }
            // The raw ones are not the rest of the first.
            images.push(first);
            images.push(memory::open_parts(paths.get(1..).unwrap_or(&[]), &options)?);
        }
        if images.is_empty() {
            return Err(anyhow!("no image could be opened"));
        }
        Ok((images, failed))
    }

    fn out(&self, common: &Common, formats: &'static Formats) -> anyhow::Result<Out> {
        let options = Options {
            comments: !self.no_comments,
            compat: false,
            dumptime: args::dumptime(self.dumptime)?,
            release: self.meaning.release,
            stacks: self.meaning.stacks(),
        };
        if let Some(dir) = &self.directory {
            std::fs::create_dir_all(dir).with_context(|| dir.display().to_string())?;
            return Ok(Out::Split(SplitSink::new(
                options,
                formats,
                dir.clone(),
                self.split,
            )));
        }
        let path: &Path = self.output.as_deref().unwrap_or(Path::new("-"));
        if self.format != FormArg::Json {
            args::refuse_terminal(path, "the output")?;
        }
        args::refuse_input(path, &self.images)?;
        let output = Output::create(path, false).with_context(|| path.display().to_string())?;
        Ok(match self.format {
            FormArg::Pcapng => Out::Pcapng(PcapngSink::new(options, formats, output)),
            FormArg::Stream => Out::Stream(StreamSink::new(Form::Stream, output)),
            FormArg::Json => {
                Out::Json(JsonSink::new(output, self.meaning.context(common, formats)))
            }
        })
    }

    #[expect(clippy::too_many_arguments, reason = "what goes in and what comes out")]
    fn image(
        &self,
        common: &Common,
        formats: &'static Formats,
        image: &Image,
        kernel: Option<&Kernel>,
        stop: &AtomicBool,
        picker: &mut Picker,
        out: &mut Out,
    ) -> anyhow::Result<Written> {
        let settings = Settings {
            threads: common.threads(),
            wanted: Wanted {
                min_confidence: self.min_confidence,
                live_only: self.live_only,
                boot_us: self.boot_time,
            },
            machine: self.machine.map(Machine::from).or(image.machine),
            is_complete: image.container != Container::Raw
                && !image.is_live
                && image.notes.is_empty(),
        };
        // Twice over the image: for records, and for what holds them.
        let progress = Mutex::new(Progress::new(
            common,
            &image.name,
            Some(image.size.saturating_mul(2)),
        ));
        let done = AtomicU64::new(0);
        let candidates = AtomicU64::new(0);
        let tell = |step: Step, bytes: u64| {
            if step == Step::Candidates {
                let all = candidates.fetch_add(bytes, Ordering::Relaxed) + bytes;
                if let Ok(mut progress) = progress.try_lock() {
                    progress.found(all);
                }
                return true;
            }
            let at = done.fetch_add(bytes, Ordering::Relaxed) + bytes;
            // Some images are gone over more often.
            let at = at.min(image.size.saturating_mul(2));
            if let Ok(mut progress) = progress.try_lock() {
                progress.at(at);
            }
            !stop.load(Ordering::Relaxed)
        };
        // Of several that fit equally well, those of the kernel file.
        let own = kernel.map(|kernel| &kernel.file.structures);
        let own = own.filter(|own| !own.is_empty());
        let known = formats.structures().iter();
        let structures: Vec<Structures> = own.into_iter().chain(known).cloned().collect();
        let carved = run::carve_with(
            image,
            formats,
            &structures,
            kernel.map(|kernel| &kernel.file),
            &settings,
            &tell,
            |outcome| {
                let written = carved::write(&outcome, picker, out.sink())?;
                let mut lines = summary(image, &outcome, written);
                if let (Some(kernel), Some(symbols)) = (kernel, &outcome.symbols) {
                    kernel.tell(image, symbols, &mut lines);
                }
                Ok::<_, anyhow::Error>((written, lines))
            },
        );
        drop(progress);
        let Some(carved) = carved else {
            return Err(anyhow!("interrupted; nothing unfinished is left behind"));
        };
        let (written, summary) = carved?;
        if !common.quiet {
            for line in summary {
                say(Escaped(line.as_bytes()));
            }
        }
        Ok(written)
    }
}

/// Whether an image is more whole with the parts that follow it.
fn is_better(whole: &Image, first: &Image) -> bool {
    first.container == Container::Raw
        || whole.container == first.container && whole.notes.len() < first.notes.len()
}

/// What was found, joined and rejected, in words.
fn summary(image: &Image, outcome: &Outcome<'_>, written: Written) -> Vec<String> {
    let counts = &outcome.counts;
    let mut lines = vec![format!(
        "{}: {}{}",
        image.name,
        image.container.name(),
        image
            .machine
            .map_or(String::new(), |machine| format!(", {}", machine.name()))
    )];
    for (what, text) in [
        ("kernel", &image.version_string),
        ("host", &image.hostname),
        ("panic", &image.panic_string),
    ] {
        if let Some(text) = text.as_ref().filter(|text| !text.trim().is_empty()) {
            lines.push(format!("  {what}: {}", text.trim_end()));
        }
    }
    let found = counts.live + counts.dead + counts.unknown;
    lines.push(format!(
        "  records: {found} ({} live, {} freed, {} live or freed), {} with addresses, on {} connections and {} without addresses",
        counts.live, counts.dead, counts.unknown, counts.joined, counts.connections, counts.unjoined
    ));
    let packets = outcome.packets.len();
    let of = |life| {
        let lives = outcome.packets.iter().map(|saved| saved.packet.life);
        lives.filter(|found| *found == life).count()
    };
    lines.push(format!(
        "  TCPPCAP packets: {packets} ({} live, {} freed, {} live or freed)",
        of(Life::Live),
        of(Life::Dead),
        of(Life::Unknown)
    ));
    lines.push(format!(
        "  left out: {} further copies, {} with too few signs, {} not live, {} packets with too few signs or not live",
        counts.copies, counts.doubtful, counts.not_live, outcome.packets_left_out
    ));
    let rejected = &outcome.rejected;
    if rejected.poison > 0 {
        lines.push(format!(
            "  overwritten when freed (0xdeadc0de): {} places of the size of an mbuf",
            rejected.poison
        ));
    }
    if written.changed > 0 {
        lines.push(format!(
            "  left out: {} records that changed while they were read",
            written.changed
        ));
    }
    if let Some((kernel, connections)) = &outcome.kernel {
        lines.push(format!(
            "  structures of {kernel} fit {connections} connections"
        ));
    }
    if counts.conflicts > 0 {
        lines.push(format!(
            "  {} connections have two different endpoints",
            counts.conflicts
        ));
    }
    if outcome.is_learnt {
        lines.push("  addresses were learnt from the records".to_owned());
    }
    lines.push(format!(
        "  written: {} records, {} packets",
        written.records, written.packets
    ));
    lines
}

/// The kernel file and what it is of.
struct Kernel {
    name: String,
    file: KernelFile,
    machine: Option<Machine>,
}

/// Problems of the walk that are told.
const MOST_TOLD: usize = 5;

impl Kernel {
    /// Refuses the file if it is of another machine than the image.
    fn fits(&self, image: &Image) -> anyhow::Result<()> {
        match (self.machine, image.machine) {
            (Some(ours), Some(theirs)) if ours != theirs => Err(anyhow!(
                "{} is a kernel of {}, but {} is of {}",
                self.name,
                ours.name(),
                image.name,
                theirs.name()
            )),
            _ => Ok(()),
        }
    }

    /// What the symbols told, and where the search says something else.
    fn tell(&self, image: &Image, symbols: &Symbols, lines: &mut Vec<String>) {
        let walked = &symbols.walked;
        // The header of a dump has the first line of it, or a part of that.
        let in_header = || {
            let (file, header) = (self.file.version.as_ref()?, image.version_string.as_ref()?);
            let header = header.lines().next()?.trim_end();
            let is_same = walked.version.is_some() || file.starts_with(header);
            (!is_same).then(|| (file.clone(), header.to_owned()))
        };
        if let Some((file, found)) = symbols.versions.clone().or_else(in_header) {
            lines.push(format!(
                "  warning: {} is {file:?}, but the image is of {found:?}",
                self.name
            ));
        }
        lines.push(format!(
            "  symbols: {} records of {} lists, {} connections, {} log IDs, {} messages in the queue{}",
            symbols.reached.len(),
            symbols.holders,
            walked.pcbs.len(),
            walked.buckets.len(),
            walked.queue.len(),
            match symbols.is_exact {
                true => "",
                false => "; not taken for all that there is",
            }
        ));
        if symbols.adopted > 0 {
            lines.push(format!(
                "  symbols: {} records that the search did not see",
                symbols.adopted
            ));
        }
        lines.extend(more(
            &walked.problems,
            walked.problems.len(),
            MOST_TOLD,
            "symbols",
        ));
        if symbols.disagreements > 0 {
            let what = "symbols and search disagree";
            lines.extend(more(&symbols.told, symbols.disagreements, MOST_TOLD, what));
        }
    }
}

/// The first of some lines, and how many more there are.
fn more(all: &[String], count: usize, most: usize, what: &str) -> Vec<String> {
    let mut lines: Vec<String> = all
        .iter()
        .take(most)
        .map(|line| format!("  {what}: {line}"))
        .collect();
    if count > lines.len() {
        lines.push(format!("  {what}: and {} more", count - lines.len()));
    }
    lines
}

/// The machine that an ELF file says it is for.
fn kernel_machine(path: &Path) -> std::io::Result<Option<Machine>> {
    use std::io::Read;
    let mut head = [0; 20];
    std::fs::File::open(path)?.read_exact(&mut head)?;
    let [.., a, b] = head;
    let is_big = head.get(5) == Some(&2);
    let number = match is_big {
        true => u16::from_be_bytes([a, b]),
        false => u16::from_le_bytes([a, b]),
    };
    // EM_ of each, as ELF numbers them.
    Ok(match number {
        62 => Some(Machine::Amd64),
        183 => Some(Machine::Arm64),
        243 => Some(Machine::Riscv64),
        3 => Some(Machine::I386),
        40 => Some(Machine::Arm),
        21 => Some(Machine::Powerpc64),
        _ => None,
    })
}
