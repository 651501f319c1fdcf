//! Writes layouts as FreeBSD's CTF, version 2 or 3.

use crate::layouts::{Layout, Node};
use std::io::Write;

struct Ctf {
    version: u8,
    types: Vec<u8>,
    count: u32,
    strings: Vec<u8>,
}

pub fn write(layouts: &[Layout], version: u8, compressed: bool) -> Vec<u8> {
    let mut ctf = Ctf {
        version,
        types: Vec::new(),
        count: 0,
        strings: vec![0],
    };
    // What a reader must step over: a function with an odd number of
    // arguments, an enumeration.
    ctf.head("f", 5, 3, 0);
    for _ in 0..4 {
        ctf.word(0);
    }
    ctf.head("e", 8, 2, 4);
    ctf.types.extend([0; 16]);
    for layout in layouts {
        ctf.composite(&layout.name, 6, layout.size, &layout.tree());
    }
    let mut header = 0xcff1u16.to_le_bytes().to_vec();
    header.extend([version, u8::from(compressed)]);
    let (types, strings) = (ctf.types.len() as u32, ctf.strings.len() as u32);
    for value in [0, 0, 0, 0, 0, 0, types, strings] {
        header.extend(value.to_le_bytes());
    }
    let mut body = ctf.types;
    body.extend(ctf.strings);
    if compressed {
        let mut zlib = flate2::write::ZlibEncoder::new(Vec::new(), flate2::Compression::fast());
        zlib.write_all(&body).unwrap();
        body = zlib.finish().unwrap();
    }
    header.extend(body);
    header
}

impl Ctf {
    /// A type id, an argument: two bytes in version 2.
    fn word(&mut self, value: u32) {
        match self.version {
            2 => self.types.extend((value as u16).to_le_bytes()),
            _ => self.types.extend(value.to_le_bytes()),
        }
    }

    fn string(&mut self, text: &str) -> u32 {
        let at = self.strings.len() as u32;
        self.strings.extend(text.bytes());
        self.strings.push(0);
        at
    }

    fn head(&mut self, name: &str, kind: u32, count: u32, size_or_type: u32) -> u32 {
        let name = if name.is_empty() {
            0
        } else {
            self.string(name)
        };
        self.types.extend(name.to_le_bytes());
        let long = self.version == 2 && size_or_type >= 0xffff;
        let size = if long { 0xffff } else { size_or_type };
        match self.version {
            2 => self.word(kind << 11 | 1 << 10 | count),
            _ => self.word(kind << 26 | 1 << 25 | count),
        }
        self.word(size);
        if long {
            self.types.extend(0u32.to_le_bytes());
            self.types.extend(size_or_type.to_le_bytes());
        }
        self.count += 1;
        self.count
    }

    fn composite(&mut self, name: &str, kind: u32, size: u64, nodes: &[Node]) -> u32 {
        let types: Vec<u32> = nodes.iter().map(|node| self.type_of(node)).collect();
        let id = self.head(name, kind, nodes.len() as u32, size as u32);
        for (node, type_) in nodes.iter().zip(types) {
            let name = if node.name.is_empty() {
                0
            } else {
                self.string(&node.name)
            };
            self.types.extend(name.to_le_bytes());
            self.word(type_);
            if self.version == 2 && size >= 8192 {
                self.types.extend([0xee; 2]);
                self.types.extend(((node.bit >> 32) as u32).to_le_bytes());
                self.types.extend((node.bit as u32).to_le_bytes());
            } else {
                self.word(node.bit as u32);
            }
        }
        id
    }

    fn integer(&mut self, size: u64, bits: u64) -> u32 {
        let id = self.head("int", 1, 0, size as u32);
        self.types.extend((bits as u32).to_le_bytes());
        id
    }

    fn type_of(&mut self, node: &Node) -> u32 {
        if let Some(width) = node.width {
            return self.integer(node.size, width);
        }
        let is_union = node.c_type.starts_with("union");
        let composite =
            is_union || node.c_type.starts_with("struct ") && !node.c_type.contains('*');
        if composite && !node.c_type.contains('[') {
            return self.composite("", if is_union { 7 } else { 6 }, node.size, &node.children);
        }
        if node.c_type.contains('[') {
            let element = self.integer(1, 8);
            let id = self.head("", 4, 0, 0);
            self.word(element);
            self.word(element);
            self.types.extend((node.size as u32).to_le_bytes());
            return id;
        }
        if node.c_type.contains('*') {
            return self.head("", 3, 0, 0);
        }
        let base = self.integer(node.size, node.size * 8);
        let volatile = self.head("", 11, 0, base);
        self.head("u_int", 10, 0, volatile)
    }
}
