//! Symbols of a kernel file, and the constants that some of them name.

use super::wanted::SYMBOLS;
use object::{Object, ObjectSection, ObjectSymbol};
use std::collections::BTreeMap;

/// Bytes of all names together: many symbols can share a very long one.
const MAX_NAMES: usize = 1 << 30;
/// What a name costs that is none: its end was searched everywhere.
const UNENDED: usize = 1 << 20;

/// The addresses of the wanted symbols, from `.symtab` or else `.dynsym`. Of
/// two of a name the global one counts, or else the first.
pub(super) fn read<'d>(file: &'d impl Object<'d>) -> BTreeMap<String, u64> {
    let mut budget = MAX_NAMES;
    let mut found: BTreeMap<String, (bool, u64)> = BTreeMap::new();
    for symbol in file.symbols().chain(file.dynamic_symbols()) {
        let name = symbol.name();
        budget = budget.saturating_sub(name.map_or(UNENDED, str::len));
        if budget == 0 {
            break;
        }
        let Ok(name) = name else { continue };
        let address = symbol.address();
        if address == 0 || symbol.is_undefined() || !SYMBOLS.contains(&name) {
            continue;
        }
        let new = (symbol.is_global(), address);
        match found.get(name) {
            Some((global, _)) if *global || !new.0 => {}
            _ => {
                found.insert(name.to_owned(), new);
            }
        }
    }
    let plain = |(name, (_, address))| (name, address);
    found.into_iter().map(plain).collect()
}

/// The text that begins at an address, up to its NUL or line end.
pub(super) fn text<'d>(file: &'d impl Object<'d>, address: u64) -> Option<String> {
    let bytes = data(file, address, 256)?;
    let end = bytes.iter().position(|byte| matches!(byte, 0 | b'\n'))?;
    let text = String::from_utf8_lossy(bytes.get(..end)?).into_owned();
    let clean = !text.is_empty() && !text.chars().any(char::is_control);
    clean.then_some(text)
}

/// The `int` at an address.
pub(super) fn number<'d>(file: &'d impl Object<'d>, address: u64) -> Option<u32> {
    let bytes: [u8; 4] = data(file, address, 4)?.get(..4)?.try_into().ok()?;
    Some(match file.is_little_endian() {
        true => u32::from_le_bytes(bytes),
        false => u32::from_be_bytes(bytes),
    })
}

/// At most `len` bytes of the section that lies at an address.
fn data<'d>(file: &'d impl Object<'d>, address: u64, len: usize) -> Option<&'d [u8]> {
    file.sections().find_map(|section| {
        let start = usize::try_from(address.checked_sub(section.address())?).ok()?;
        if section.address() == 0 || address - section.address() >= section.size() {
            return None;
        }
        let bytes = section.data().ok()?.get(start..)?;
        Some(bytes.get(..len).unwrap_or(bytes))
    })
}
