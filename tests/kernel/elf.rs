//! Writes a kernel's ELF file: 64-bit, little endian, sections and symbols.

use std::collections::BTreeMap;

pub struct Section {
    pub name: &'static str,
    pub address: u64,
    pub content: Vec<u8>,
    /// SHF_COMPRESSED
    pub compressed: bool,
}

impl Section {
    pub fn plain(name: &'static str, content: Vec<u8>) -> Section {
        Section {
            name,
            address: 0,
            content,
            compressed: false,
        }
    }

    /// As the compiler's -gz does it: a header of its own, and zlib.
    pub fn compress(mut self) -> Section {
        use std::io::Write;
        let mut packed = Vec::new();
        packed.extend(1u32.to_le_bytes());
        packed.extend(0u32.to_le_bytes());
        packed.extend((self.content.len() as u64).to_le_bytes());
        packed.extend(1u64.to_le_bytes());
        let mut zlib = flate2::write::ZlibEncoder::new(packed, flate2::Compression::fast());
        zlib.write_all(&self.content).unwrap();
        self.content = zlib.finish().unwrap();
        self.compressed = true;
        self
    }
}

pub fn write(sections: &[Section], symbols: &BTreeMap<String, u64>) -> Vec<u8> {
    let (mut symtab, mut strtab) = (vec![0; 24], vec![0]);
    for (name, address) in symbols {
        symtab.extend((strtab.len() as u32).to_le_bytes());
        // STB_GLOBAL, STT_OBJECT; absolute.
        symtab.extend([0x11, 0]);
        symtab.extend(0xfff1u16.to_le_bytes());
        symtab.extend(address.to_le_bytes());
        symtab.extend(0u64.to_le_bytes());
        strtab.extend(name.bytes());
        strtab.push(0);
    }
    let mut names = vec![0];
    let mut file = vec![0; 64];
    let mut headers = vec![0; 64];
    let strings = sections.len() as u32 + 2;
    let mut add = |name: &str, kind: u32, flags: u64, address: u64, content: &[u8], link: u32| {
        let entry: u64 = if kind == 2 { 24 } else { 0 };
        headers.extend((names.len() as u32).to_le_bytes());
        headers.extend(kind.to_le_bytes());
        for value in [flags, address, file.len() as u64, content.len() as u64] {
            headers.extend(value.to_le_bytes());
        }
        headers.extend(link.to_le_bytes());
        headers.extend(u32::from(kind == 2).to_le_bytes());
        headers.extend(1u64.to_le_bytes());
        headers.extend(entry.to_le_bytes());
        names.extend(name.bytes());
        names.push(0);
        file.extend(content);
    };
    for section in sections {
        let flags = u64::from(section.compressed) << 11 | u64::from(section.address != 0) << 1;
        add(section.name, 1, flags, section.address, &section.content, 0);
    }
    add(".symtab", 2, 0, 0, &symtab, strings);
    add(".strtab", 3, 0, 0, &strtab, 0);
    add(".shstrtab", 3, 0, 0, &[], 0);
    // The last section holds the names, its own included.
    let at = headers.len() - 64;
    headers[at + 32..at + 40].copy_from_slice(&(names.len() as u64).to_le_bytes());
    headers[at + 24..at + 32].copy_from_slice(&(file.len() as u64).to_le_bytes());
    file.extend(&names);
    let start = file.len() as u64;
    let count = (headers.len() / 64) as u16;
    file.extend(&headers);
    let mut head = vec![0x7f, b'E', b'L', b'F', 2, 1, 1, 9];
    head.extend([0; 8]);
    head.extend(2u16.to_le_bytes());
    head.extend(62u16.to_le_bytes());
    head.extend(1u32.to_le_bytes());
    head.extend(0u64.to_le_bytes());
    head.extend(0u64.to_le_bytes());
    head.extend(start.to_le_bytes());
    head.extend(0u32.to_le_bytes());
    for value in [64, 0, 0, 64, count, count - 1] {
        head.extend(u16::to_le_bytes(value));
    }
    file[..64].copy_from_slice(&head);
    file
}
