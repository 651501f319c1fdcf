//! Offsets of the kernel's own structures, as a compiler laid them out.
//!
//! What the kernel keeps in memory (connections, queues, buffers) is laid out
//! by its compiler and options, not by the rule of [`super::abi`]. A file in
//! `formats/kernel/` gives the sizes and offsets of one kernel; debug
//! information of a kernel file gives the same through [`Builder`].

mod declared;

use super::FormatError;
use declared::Declared;
use std::path::{Path, PathBuf};

/// The structures of one kernel that carving reads.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Structures {
    /// `13.2-amd64`; of a kernel file, its path.
    pub name: String,
    /// Releases for which it holds, in words.
    pub releases: String,
    /// How well it is known and from where, in words.
    pub status: String,
    /// By name.
    structures: Vec<Structure>,
}

/// One structure of a kernel.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Structure {
    pub name: String,
    pub doc: String,
    /// Bytes, trailing padding included.
    pub size: u64,
    pub fields: Vec<Field>,
}

/// One field of a structure.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Field {
    /// As the kernel calls it, nested parts joined by dots: `t_logs.stqh_first`.
    pub name: String,
    pub place: Place,
    pub doc: String,
}

/// Where a field lies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Place {
    /// Bytes from the start of the structure.
    pub offset: u32,
    /// Bytes to read.
    pub size: u32,
    /// Of a bit field, its lowest bit and how many there are, in the integer
    /// of `size` bytes at `offset` in the machine's byte order. Whole bytes
    /// are no bit field, whatever the C says: `t_logstate` is one byte.
    pub bits: Option<(u8, u8)>,
}

/// Larger structures are no kernel's.
pub const MAX_SIZE: u64 = 65_536;
/// More fields than any structure here has; `tcpcb` has about 230.
pub const MAX_FIELDS: usize = 4096;

/// Offsets that are embedded in this build.
const EMBEDDED: &[(&str, &str)] = &[
    (
        "kernel/11.0-amd64.toml",
        include_str!("../../formats/kernel/11.0-amd64.toml"),
    ),
    (
        "kernel/12.1-amd64.toml",
        include_str!("../../formats/kernel/12.1-amd64.toml"),
    ),
    (
        "kernel/13.0-amd64.toml",
        include_str!("../../formats/kernel/13.0-amd64.toml"),
    ),
    (
        "kernel/13.0-userland.toml",
        include_str!("../../formats/kernel/13.0-userland.toml"),
    ),
    (
        "kernel/13.2-amd64.toml",
        include_str!("../../formats/kernel/13.2-amd64.toml"),
    ),
    (
        "kernel/15-amd64.toml",
        include_str!("../../formats/kernel/15-amd64.toml"),
    ),
];

/// The embedded offsets and those of `paths`; a file replaces the one of its
/// name.
pub(super) fn read(paths: &[PathBuf]) -> Result<Vec<Structures>, FormatError> {
    let mut all: Vec<Structures> = Vec::new();
    let mut add = |path: &Path, text: &str| {
        let name = path.file_stem().unwrap_or_default().to_string_lossy();
        let read = Structures::parse(&name, text).map_err(|what| FormatError::Content {
            path: path.to_owned(),
            what,
        })?;
        all.retain(|old| old.name != read.name);
        all.push(read);
        Ok(())
    };
    for (name, text) in EMBEDDED {
        add(Path::new(name), text)?;
    }
    for path in paths {
        add(path, &super::read_text(path)?)?;
    }
    all.sort_by(|a, b| a.name.cmp(&b.name));
    Ok(all)
}

impl Structures {
    /// Reads the text of a format file; `name` is its name without `.toml`.
    /// A mistake is told with its line: `line 3: …`.
    pub fn parse(name: &str, text: &str) -> Result<Structures, String> {
        let declared: Declared =
            toml::from_str(text).map_err(|cause| super::place(text, &cause))?;
        declared.resolve(name, text)
    }

    /// Bytes of a structure.
    pub fn size(&self, structure: &str) -> Option<u64> {
        self.structure(structure).map(|found| found.size)
    }

    /// Where a field lies. 15 began to put an underscore before names
    /// (`_t_logstate`): they are found without it.
    pub fn place(&self, structure: &str, field: &str) -> Option<Place> {
        let fields = &self.structure(structure)?.fields;
        let find = |matches: &dyn Fn(&str) -> bool| {
            let found = fields.iter().find(|known| matches(&known.name));
            found.map(|known| known.place)
        };
        find(&|known| known == field)
            .or_else(|| find(&|known| known.strip_prefix('_') == Some(field)))
    }

    pub fn structure(&self, name: &str) -> Option<&Structure> {
        let at = self
            .structures
            .binary_search_by(|known| known.name.as_str().cmp(name));
        self.structures.get(at.ok()?)
    }

    /// All of them, by name.
    pub fn iter(&self) -> impl Iterator<Item = &Structure> {
        self.structures.iter()
    }

    pub fn is_empty(&self) -> bool {
        self.structures.is_empty()
    }
}

impl Place {
    /// The bytes of the field in those of its structure.
    pub fn of<'a>(&self, structure: &'a [u8]) -> Option<&'a [u8]> {
        let start = usize::try_from(self.offset).ok()?;
        let end = start.checked_add(usize::try_from(self.size).ok()?)?;
        structure.get(start..end)
    }

    /// A place counted in bits from the start of the structure, the way the
    /// machine counts: lowest bit first where it is little endian.
    pub fn from_bits(start: u64, width: u64, big_endian: bool) -> Option<Place> {
        let offset = u32::try_from(start / 8).ok()?;
        let first = start % 8;
        let size = first.checked_add(width)?.div_ceil(8);
        if width == 0 || size > 8 {
            return None;
        }
        let low = match big_endian {
            true => size * 8 - first - width,
            false => first,
        };
        let whole = width == size * 8;
        Some(Place {
            offset,
            size: u32::try_from(size).ok()?,
            bits: (!whole).then_some((low as u8, width as u8)),
        })
    }
}

/// Puts structures together from debug information.
#[derive(Debug, Default)]
pub struct Builder {
    structures: Vec<Structure>,
}

impl Builder {
    /// Adds a structure. The first of a name stays; one that breaks the rules
    /// of a format file (a field outside, too large) is left out, and a field
    /// named twice (views of a union) counts where it stands first.
    pub fn add(&mut self, mut structure: Structure) -> bool {
        if self.has(&structure.name) {
            return false;
        }
        let mut seen = std::collections::HashSet::new();
        structure
            .fields
            .retain(|field| seen.insert(field.name.clone()));
        if check(&structure).is_err() {
            return false;
        }
        self.structures.push(structure);
        true
    }

    pub fn has(&self, name: &str) -> bool {
        self.structures.iter().any(|known| known.name == name)
    }

    pub fn len(&self) -> usize {
        self.structures.len()
    }

    pub fn is_empty(&self) -> bool {
        self.structures.is_empty()
    }

    pub fn build(mut self, name: &str, releases: &str, status: &str) -> Structures {
        self.structures.sort_by(|a, b| a.name.cmp(&b.name));
        Structures {
            name: name.to_owned(),
            releases: releases.to_owned(),
            status: status.to_owned(),
            structures: self.structures,
        }
    }
}

/// What must hold for every structure, and where it does not: the number of
/// the field, if it is about one.
fn check(structure: &Structure) -> Result<(), (Option<usize>, String)> {
    let name = &structure.name;
    if structure.size == 0 || structure.size > MAX_SIZE {
        return Err((None, format!("{name}: size must be 1 to {MAX_SIZE} bytes")));
    }
    if structure.fields.len() > MAX_FIELDS {
        return Err((None, format!("{name}: more than {MAX_FIELDS} fields")));
    }
    let mut seen = std::collections::HashSet::new();
    for (at, field) in structure.fields.iter().enumerate() {
        let wrong = |what: &str| Err((Some(at), format!("{name}: field {} {what}", field.name)));
        let Place { offset, size, bits } = field.place;
        if field.name.is_empty() {
            return wrong("has no name");
        }
        if u64::from(offset) + u64::from(size) > structure.size {
            return wrong("ends outside the structure");
        }
        if let Some((low, width)) = bits {
            let end = u32::from(low) + u32::from(width);
            if width == 0 || size > 8 || end > size * 8 {
                return wrong("has bits outside its bytes");
            }
        }
        if !seen.insert(field.name.as_str()) {
            return wrong("is there twice");
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Result<Structures, String> {
        Structures::parse("test", text)
    }

    fn file(body: &str) -> String {
        format!("releases = \"1\"\nstatus = \"made up\"\n\n[[struct]]\nname = \"vnet\"\n{body}\n")
    }

    #[test]
    fn embedded_files_load_and_have_the_places_that_are_known() {
        let formats = crate::format::Formats::builtin();
        let names: Vec<&str> = formats
            .structures()
            .iter()
            .map(|s| s.name.as_str())
            .collect();
        assert_eq!(
            names,
            [
                "11.0-amd64",
                "12.1-amd64",
                "13.0-amd64",
                "13.0-userland",
                "13.2-amd64",
                "15-amd64"
            ]
        );
        let of = |name: &str| {
            formats
                .structures()
                .iter()
                .find(|s| s.name == name)
                .unwrap()
        };
        let bytes = |offset, size| {
            let bits = None;
            Some(Place { offset, size, bits })
        };
        assert_eq!(of("13.2-amd64").size("tcpcb"), Some(728));
        assert_eq!(
            of("13.2-amd64").place("tcpcb", "t_logs.stqh_first"),
            bytes(536, 8)
        );
        assert_eq!(of("15-amd64").place("tcpcb", "t_logstate"), bytes(595, 1));
        assert_eq!(of("15-amd64").place("tcpcb", "t_inpcb"), bytes(0, 376));
        assert_eq!(of("11.0-amd64").place("tcpcb", "t_logs.stqh_first"), None);
        let state = Place {
            offset: 30,
            size: 1,
            bits: Some((0, 4)),
        };
        assert_eq!(of("12.1-amd64").place("tcpcb", "t_state"), Some(state));
        assert_eq!(of("13.0-userland").size("socket"), None);
    }

    #[test]
    fn mistakes_are_told_with_their_line() {
        let cases = [
            (
                "size = 8\nfields = [\n  [\"a\", 4, 8, \"\"],\n]",
                "line 8: vnet: field a ends outside",
            ),
            (
                "size = 8\nfields = [\n  [\"a\", 0, 4, \"\"],\n  [\"a\", 4, 4, \"\"],\n]",
                "line 9: vnet: field a is there twice",
            ),
            ("size = 70000\nfields = []", "line 6: vnet: size must be"),
            ("size = 0\nfields = []", "line 6: vnet: size must be"),
            (
                "size = 8\nfields = []\nbits = [[\"b\", 0, 1, 4, 5, \"\"]]",
                "line 8: vnet: field b has bits outside",
            ),
            ("size = 8\nfields = [[\"a\", -1, 4, \"\"]]", "line 7: "),
            ("size = 8\nfields = []\nlength = 3", "line 8: "),
            (
                "size = 8\nfields = []\n[[struct]]\nname = \"vnet\"\nsize = 8\nfields = []",
                "line 9: structure vnet is there twice",
            ),
        ];
        for (body, expected) in cases {
            let said = parse(&file(body)).unwrap_err();
            assert!(said.starts_with(expected), "{said:?} is not {expected:?}");
        }
        let good =
            file("size = 8\nfields = [[\"a\", 4, 4, \"\"]]\nbits = [[\"b\", 0, 2, 3, 9, \"\"]]");
        let bits = parse(&good).unwrap().place("vnet", "b").unwrap().bits;
        assert_eq!(bits, Some((3, 9)));
    }

    #[test]
    fn bits_become_bytes_where_they_are_whole() {
        let place = |offset, size, bits| Some(Place { offset, size, bits });
        assert_eq!(Place::from_bits(232, 24, false), place(29, 3, None));
        assert_eq!(Place::from_bits(240, 4, false), place(30, 1, Some((0, 4))));
        assert_eq!(Place::from_bits(245, 7, false), place(30, 2, Some((5, 7))));
        // The first bit of a big endian machine is the highest.
        assert_eq!(Place::from_bits(240, 4, true), place(30, 1, Some((4, 4))));
        assert_eq!(Place::from_bits(0, 0, false), None);
        assert_eq!(Place::from_bits(1, 64, false), None);
        assert_eq!(Place::from_bits(u64::MAX, u64::MAX, false), None);
    }
}
