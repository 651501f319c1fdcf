//! What a kernel writes, as data: layouts, events, flag bits and code tables.
//!
//! Everything stands in `formats/*.toml`, embedded in the binary; a directory
//! given at run time adds to it or overrides it. [`Formats`] is the loaded
//! whole.

pub mod abi;
pub mod dialect;
pub mod layout;
pub mod listing;
pub mod payload;
pub mod release;
pub mod structures;
pub mod table;
pub mod wireshark;

pub use abi::{Abi, Order};
pub use dialect::Dialect;
pub use payload::{Class, Payload, Payloads, Stack, Unit};
pub use release::{Release, ReleaseRange};
pub use structures::Structures;
pub use table::{BitTable, CodeTable, Event, EventId};

use layout::{Scope, Struct, Union};
use serde::Deserialize;
use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};

/// Event flag: the receive buffer fields are valid.
pub const RXBUF: u16 = 0x01;
/// Event flag: the send buffer fields are valid.
pub const TXBUF: u16 = 0x02;
/// Event flag: the TCP header and its options are valid.
pub const HDR: u16 = 0x04;
/// Event flag: the verbose part follows the record.
pub const VERBOSE: u16 = 0x08;
/// Event flag: the stack specific bytes are valid.
pub const STACKINFO: u16 = 0x10;

const EMBEDDED: &[(&str, &str)] = &[
    (
        "stackinfo.toml",
        include_str!("../../formats/stackinfo.toml"),
    ),
    ("v6.toml", include_str!("../../formats/v6.toml")),
    ("v7.toml", include_str!("../../formats/v7.toml")),
    ("v8.toml", include_str!("../../formats/v8.toml")),
    ("v9.toml", include_str!("../../formats/v9.toml")),
    ("events.toml", include_str!("../../formats/events.toml")),
    ("flags.toml", include_str!("../../formats/flags.toml")),
    ("codes.toml", include_str!("../../formats/codes.toml")),
];

/// Payloads are many, and only what explains records asks for them, so these
/// files are read when that is needed.
const EMBEDDED_PAYLOADS: &[(&str, &str)] = &[
    ("base.toml", include_str!("../../formats/base.toml")),
    ("rack.toml", include_str!("../../formats/rack.toml")),
    ("bbr.toml", include_str!("../../formats/bbr.toml")),
];

/// Why format files could not be loaded.
#[derive(Debug, thiserror::Error)]
pub enum FormatError {
    #[error("{}: {cause}", path.display())]
    Read {
        path: PathBuf,
        cause: std::io::Error,
    },

    #[error("{}: {cause}", path.display())]
    Layout {
        path: PathBuf,
        cause: layout::LayoutError,
    },
    #[error("{}: {what}", path.display())]
    Content { path: PathBuf, what: String },
}

/// One format file; every part is optional.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    version: Option<u32>,
    releases: Option<String>,
    status: Option<String>,
    header: Option<StructRef>,
    record: Option<StructRef>,
    #[serde(default, rename = "struct")]
    structs: Vec<Struct>,
    #[serde(default, rename = "union")]
    unions: Vec<Union>,
    #[serde(default, rename = "event")]
    events: Vec<Event>,
    #[serde(default)]
    bits: Vec<BitTable>,
    #[serde(default)]
    codes: Vec<CodeTable>,
    #[serde(default)]
    cells: Vec<payload::CellSet>,
    #[serde(default)]
    payload: Vec<payload::Declared>,
}

/// Path, sets of cells and payloads of one file.
type DeclaredPayloads = (PathBuf, Vec<payload::CellSet>, Vec<payload::Declared>);

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct StructRef {
    #[serde(rename = "struct")]
    name: String,
}

/// A record version that this build knows.
#[derive(Clone, Debug)]
pub struct Version {
    /// `TCP_LOG_BUF_VER`.
    pub number: u32,
    /// Releases that write it, in words.
    pub releases: String,
    /// How well the layout is known, in words.
    pub status: String,
}

/// All formats: those of this build and those of a directory.
#[derive(Clone, Debug)]
pub struct Formats {
    pub versions: Vec<Version>,
    pub dialects: Vec<Arc<Dialect>>,
    pub events: table::Events,
    pub bits: Vec<BitTable>,
    pub codes: Vec<CodeTable>,
    /// Where in `codes` the TCP states stand: they are looked up per record.
    states: Option<usize>,
    payloads: OnceLock<Payloads>,
    structures: OnceLock<Vec<Structures>>,
}

impl Formats {
    /// The formats embedded in this build.
    pub fn builtin() -> &'static Formats {
        static BUILTIN: OnceLock<Formats> = OnceLock::new();
        BUILTIN.get_or_init(|| {
            Formats::load(None).expect("the embedded format files are tested to load")
        })
    }

    /// The embedded formats, with those of the `*.toml` files in `dir` added.
    /// A version, event, table or code given there replaces the embedded one.
    pub fn load(dir: Option<&Path>) -> Result<Formats, FormatError> {
        let mut files = Vec::new();
        for (name, text) in EMBEDDED {
            files.push(parse(Path::new(name), text)?);
        }
        if let Some(dir) = dir {
            let paths = format_files(dir)?;
            let kernels = dir.join("kernel");
            let kernels = match kernels.is_dir() {
                true => format_files(&kernels)?,
                false => Vec::new(),
            };
            if paths.is_empty() && kernels.is_empty() {
                return Err(FormatError::Content {
                    path: dir.to_owned(),
                    what: "no *.toml file in this directory".to_owned(),
                });
            }
            let embedded = files.len();
            for path in paths {
                let text = read_text(&path)?;
                files.push(parse(&path, &text)?);
            }
            // Payloads name cells, so whoever cuts these anew can spoil them.
            let cuts = |(_, file): &&(PathBuf, File)| {
                file.version.is_some() || !(file.structs.is_empty() && file.unions.is_empty())
            };
            let given = files.get(embedded..).unwrap_or_default();
            let blamed = given.iter().rfind(cuts).map(|(path, _)| path.clone());
            let blamed = blamed.unwrap_or_else(|| dir.to_owned());
            let mut formats = Formats::assemble(files, Some(&blamed))?;
            formats.structures = OnceLock::from(structures::read(&kernels)?);
            return Ok(formats);
        }
        Formats::assemble(files, None)
    }

    /// `blamed`: the directory, or the file of it, that is at fault if the
    /// embedded payloads no longer fit; `None` where there is no directory.
    fn assemble(
        files: Vec<(PathBuf, File)>,
        blamed: Option<&Path>,
    ) -> Result<Formats, FormatError> {
        let mut formats = Formats {
            versions: Vec::new(),
            dialects: Vec::new(),
            events: table::Events::default(),
            bits: Vec::new(),
            codes: Vec::new(),
            states: None,
            payloads: OnceLock::new(),
            structures: OnceLock::new(),
        };
        // Structures that are not part of a version serve every version; the
        // last file that defines a name wins.
        let shared: (Vec<Struct>, Vec<Union>) = files
            .iter()
            .rev()
            .filter(|(_, file)| file.version.is_none())
            .fold(Default::default(), |mut all, (_, file)| {
                all.0.extend(file.structs.iter().cloned());
                all.1.extend(file.unions.iter().cloned());
                all
            });
        for (path, file) in files.iter().filter(|(_, file)| file.version.is_none()) {
            check_structs(path, file, &shared)?;
        }
        let mut declared = Vec::new();
        for (path, file) in files {
            if !(file.cells.is_empty() && file.payload.is_empty()) {
                declared.push((path.clone(), file.cells.clone(), file.payload.clone()));
            }
            if let Some(number) = file.version {
                formats.add_version(&path, number, &file, &shared)?;
            }
            formats.events.extend(file.events);
            for table in file.bits {
                formats.bits.retain(|old| old.name != table.name);
                formats.bits.push(table);
            }
            for table in file.codes {
                formats.codes.retain(|old| old.name != table.name);
                formats.codes.push(table);
            }
        }
        formats.versions.sort_by_key(|v| v.number);
        formats.states = formats.codes.iter().position(|t| t.name == "tcp_states");
        let known_flags = formats.bits("tlb_eventflags").map_or(u64::MAX, |table| {
            table.bit.iter().fold(0, |all, bit| all | bit.mask)
        });
        let states = formats.codes("tcp_states").map(|table| {
            let values = || table.iter().map(|code| code.value as i32);
            (values().min().unwrap_or(0), values().max().unwrap_or(0))
        });
        for dialect in &mut formats.dialects {
            let dialect = Arc::make_mut(dialect);
            dialect.known_flags = known_flags as u16;
            dialect.states = states.unwrap_or(dialect.states);
        }
        if blamed.is_some() {
            let payloads = formats.read_payloads(declared, blamed)?;
            formats.payloads = OnceLock::from(payloads);
        }
        Ok(formats)
    }

    /// What the cells of each event mean.
    pub fn payloads(&self) -> &Payloads {
        self.payloads.get_or_init(|| {
            self.read_payloads(Vec::new(), None)
                .expect("the embedded format files are tested to load")
        })
    }

    /// Offsets of kernel structures, one entry per kernel, by name.
    pub fn structures(&self) -> &[Structures] {
        self.structures.get_or_init(|| {
            structures::read(&[]).expect("the embedded format files are tested to load")
        })
    }

    /// The embedded payloads; those `given` for an event and a stack replace
    /// the embedded ones of both. A mistake is reported for the file where it
    /// is, or for `blamed` if an embedded payload no longer fits.
    fn read_payloads(
        &self,
        given: Vec<DeclaredPayloads>,
        blamed: Option<&Path>,
    ) -> Result<Payloads, FormatError> {
        let (mut bits, mut codes) = (self.bits.clone(), self.codes.clone());
        let mut files = Vec::new();
        for (name, text) in EMBEDDED_PAYLOADS {
            let (path, file) = parse(Path::new(name), text)?;
            // A directory's tables are there already, and win.
            for table in file.bits {
                if bits.iter().all(|known| known.name != table.name) {
                    bits.push(table);
                }
            }
            for table in file.codes {
                if codes.iter().all(|known| known.name != table.name) {
                    codes.push(table);
                }
            }
            files.push((path, file.cells, file.payload));
        }
        let embedded = files.len();
        for (path, cells, payloads) in given {
            let replaced = |old: &payload::Declared| payloads.iter().any(|p| p.key() == old.key());
            for (_, _, old) in &mut files {
                old.retain(|old| !replaced(old));
            }
            files.push((path, cells, payloads));
        }
        // The last file that defines a set wins.
        let sets: Vec<payload::CellSet> = files
            .iter()
            .rev()
            .flat_map(|(_, sets, _)| sets.iter().rev().cloned())
            .collect();
        let Some(cells) = self.view(table::DEFAULT_VIEW) else {
            return Ok(Payloads::default());
        };
        let names = payload::Names {
            cells,
            bits: &bits,
            codes: &codes,
            sets: &sets,
        };
        // What was embedded is right by itself, so a directory has spoilt it:
        // with a set of cells that it uses, or with the cells themselves.
        let at_fault = |file: usize, uses: &[String]| -> &Path {
            let own = files.get(file).map_or(Path::new(""), |(path, ..)| path);
            let Some(blamed) = blamed.filter(|_| file < embedded) else {
                return own;
            };
            let mut given = files.iter().skip(embedded).rev();
            let set = given.find(|(_, sets, _)| sets.iter().any(|set| uses.contains(&set.name)));
            set.map_or(blamed, |(path, ..)| path)
        };
        let mut all = Vec::new();
        // Of each payload, its file and the sets it uses.
        let mut origins = Vec::new();
        for (file, (_, sets, declared)) in files.iter().enumerate() {
            for set in sets {
                set.check(names)
                    .map_err(|mistake| mistake.in_file(at_fault(file, &[])))?;
            }
            for payload in declared {
                let resolved = payload.resolve(names);
                all.push(
                    resolved.map_err(|mistake| mistake.in_file(at_fault(file, payload.sets())))?,
                );
                origins.push((file, payload.sets()));
            }
        }
        Payloads::new(all, bits, codes).map_err(|(at, mistake)| {
            let origin = origins.get(at).copied();
            let (file, uses) = origin.unwrap_or_default();
            mistake.in_file(at_fault(file, uses))
        })
    }

    /// A way to cut the stack specific bytes, the same in all versions and ABIs.
    pub fn view(&self, name: &str) -> Option<&layout::Layout> {
        let mut views = self.dialects.iter().filter_map(|d| d.record.view(name));
        views.next().map(|view| &view.layout)
    }

    fn add_version(
        &mut self,
        path: &Path,
        number: u32,
        file: &File,
        shared: &(Vec<Struct>, Vec<Union>),
    ) -> Result<(), FormatError> {
        let content = |what: &str| FormatError::Content {
            path: path.to_owned(),
            what: what.to_owned(),
        };
        let (Some(header), Some(record)) = (&file.header, &file.record) else {
            return Err(content("a version needs [header] and [record]"));
        };
        if !(1..=255).contains(&number) {
            return Err(content("version must be 1 to 255"));
        }
        let scope = Scope {
            structs: &[&file.structs, &shared.0],
            unions: &[&file.unions, &shared.1],
        };
        self.versions.retain(|v| v.number != number);
        self.dialects.retain(|d| d.version != number);
        self.versions.push(Version {
            number,
            releases: file.releases.clone().unwrap_or_default(),
            status: file.status.clone().unwrap_or_default(),
        });
        for abi in Abi::ALL {
            let lay = |name: &str| {
                layout::layout(scope, name, abi).map_err(|cause| FormatError::Layout {
                    path: path.to_owned(),
                    cause,
                })
            };
            let (header, record) = (lay(&header.name)?, lay(&record.name)?);
            let verbose = lay("tcp_log_verbose")?;
            for order in Order::ALL {
                let dialect = Dialect::new(
                    number,
                    abi,
                    order,
                    header.clone(),
                    record.clone(),
                    verbose.clone(),
                );
                dialect.check().map_err(content)?;
                self.dialects.push(Arc::new(dialect));
            }
        }
        Ok(())
    }

    /// The dialect of `version` under `abi` in `order`.
    pub fn dialect(&self, version: u32, abi: Abi, order: Order) -> Option<&Arc<Dialect>> {
        self.dialects
            .iter()
            .find(|d| d.version == version && d.abi == abi && d.order == order)
    }

    /// The layout of pcapng's private options: version 9, LP64, little endian,
    /// as embedded; a directory cannot change what Wireshark expects.
    pub fn canonical() -> &'static Arc<Dialect> {
        Formats::builtin()
            .dialect(9, Abi::Lp64, Order::Little)
            .expect("version 9 is embedded")
    }

    /// The name of a TCP state.
    #[inline]
    pub fn state_name(&self, state: i32, release: Release) -> Option<&str> {
        self.codes.get(self.states?)?.get(i64::from(state), release)
    }

    /// The flag bits of the field `name`.
    pub fn bits(&self, name: &str) -> Option<&BitTable> {
        self.bits.iter().find(|t| t.name == name)
    }

    /// The code table `name`.
    pub fn codes(&self, name: &str) -> Option<&CodeTable> {
        self.codes.iter().find(|t| t.name == name)
    }
}

/// The `*.toml` files of a directory, in order.
fn format_files(dir: &Path) -> Result<Vec<PathBuf>, FormatError> {
    let read = |cause| FormatError::Read {
        path: dir.to_owned(),
        cause,
    };
    let mut paths = Vec::new();
    for entry in std::fs::read_dir(dir).map_err(read)? {
        let path = entry.map_err(read)?.path();
        if path.extension().is_some_and(|e| e == "toml") {
            paths.push(path);
        }
    }
    paths.sort();
    Ok(paths)
}

fn read_text(path: &Path) -> Result<String, FormatError> {
    let text = std::fs::read_to_string(path).map_err(|cause| FormatError::Read {
        path: path.to_owned(),
        cause,
    })?;
    check_texts(path, &text)?;
    Ok(text)
}

/// Lays out the structures of a file that is no version, so that a mistake in
/// them is reported for this file and not for the first version that uses it.
fn check_structs(
    path: &Path,
    file: &File,
    shared: &(Vec<Struct>, Vec<Union>),
) -> Result<(), FormatError> {
    let scope = Scope {
        structs: &[&file.structs, &shared.0],
        unions: &[&file.unions, &shared.1],
    };
    for declared in &file.structs {
        for abi in Abi::ALL {
            layout::layout(scope, &declared.name, abi).map_err(|cause| FormatError::Layout {
                path: path.to_owned(),
                cause,
            })?;
        }
    }
    Ok(())
}

fn parse(path: &Path, text: &str) -> Result<(PathBuf, File), FormatError> {
    let file = toml::from_str(text).map_err(|cause| FormatError::Content {
        path: path.to_owned(),
        what: place(text, &cause),
    })?;
    Ok((path.to_owned(), file))
}

/// Where a mistake stands, and what it is, in one line.
fn place(text: &str, cause: &toml::de::Error) -> String {
    let start = cause.span().map_or(0, |span| span.start);
    let before = text.get(..start).unwrap_or("");
    let line = before.matches('\n').count() + 1;
    format!("line {line}: {}", cause.message().replace('\n', ", "))
}

/// Texts of a file reach the terminal, so they must not steer it.
fn check_texts(path: &Path, text: &str) -> Result<(), FormatError> {
    fn steers(value: &toml::Value) -> Option<&str> {
        match value {
            toml::Value::String(text) => text.chars().any(char::is_control).then_some(text),
            toml::Value::Array(values) => values.iter().find_map(steers),
            toml::Value::Table(values) => values.values().find_map(steers),
            _ => None,
        }
    }
    let table: toml::Table = toml::from_str(text).unwrap_or_default();
    match table.values().find_map(steers) {
        None => Ok(()),
        Some(text) => Err(FormatError::Content {
            path: path.to_owned(),
            what: format!("control character in {text:?}"),
        }),
    }
}
