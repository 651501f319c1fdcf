//! The layouts that a compiler gave for a genuine kernel, as a tree of types.

use serde_json::Value;

#[derive(Clone, Debug)]
pub struct Layout {
    pub name: String,
    pub size: u64,
    pub fields: Vec<Flat>,
}

/// A field as stored: nested parts joined by dots.
#[derive(Clone, Debug)]
pub struct Flat {
    pub name: String,
    pub offset: u64,
    pub size: u64,
    /// Of a bit field: its first bit, from the start of the structure, and
    /// how many.
    pub bits: Option<(u64, u64)>,
    pub c_type: String,
}

/// A member with those inside it. Bits count from the start of what is around it.
#[derive(Clone, Debug)]
pub struct Node {
    pub name: String,
    pub bit: u64,
    pub size: u64,
    pub width: Option<u64>,
    pub c_type: String,
    pub children: Vec<Node>,
}

pub fn read(stored: &[u8]) -> (Value, Vec<Layout>) {
    let json: Value = serde_json::from_slice(stored).unwrap();
    let number = |field: &Value, key: &str| field[key].as_u64();
    let mut all: Vec<Layout> = Vec::new();
    for (name, layout) in json["structs"].as_object().unwrap() {
        let fields = layout["fields"].as_array().unwrap().iter().map(|field| {
            let offset = number(field, "offset").unwrap();
            Flat {
                name: field["name"].as_str().unwrap().to_owned(),
                offset,
                size: number(field, "size").unwrap(),
                bits: number(field, "bits")
                    .map(|bits| (offset * 8 + number(field, "bit").unwrap(), bits)),
                c_type: field["type"].as_str().unwrap().to_owned(),
            }
        });
        all.push(Layout {
            name: name.clone(),
            size: number(layout, "size").unwrap(),
            fields: fields.collect(),
        });
    }
    let field = |name: &str, offset, size, c_type: &str| Flat {
        name: name.to_owned(),
        offset,
        size,
        bits: None,
        c_type: c_type.to_owned(),
    };
    // Not among the stored layouts; the stacks of the dump are found with it.
    all.push(Layout {
        name: "tcp_function".to_owned(),
        size: 56,
        fields: vec![
            field("tf_next", 0, 16, "struct {...}"),
            field("tf_next.tqe_next", 0, 8, "struct tcp_function *"),
            field("tf_next.tqe_prev", 8, 8, "struct tcp_function **"),
            field("tf_name", 16, 32, "char [32]"),
            field("tf_fb", 48, 8, "struct tcp_function_block *"),
        ],
    });
    (json, all)
}

impl Layout {
    /// Members, and in them theirs. In an mbuf, all after its head are in a
    /// union without a name, as in the kernel.
    pub fn tree(&self) -> Vec<Node> {
        let mut roots = children(&self.fields, "", 0);
        if self.name == "mbuf" {
            let (head, mut rest): (Vec<Node>, Vec<Node>) =
                roots.into_iter().partition(|node| node.bit < 32 * 8);
            for node in &mut rest {
                node.bit -= 32 * 8;
            }
            roots = head;
            roots.push(Node {
                name: String::new(),
                bit: 32 * 8,
                size: self.size - 32,
                width: None,
                c_type: "union {...}".to_owned(),
                children: rest,
            });
        }
        roots
    }
}

fn children(fields: &[Flat], prefix: &str, base: u64) -> Vec<Node> {
    let direct = fields.iter().filter_map(|field| {
        let name = field.name.strip_prefix(prefix)?;
        (!name.contains('.')).then_some((field, name))
    });
    let direct = direct.map(|(field, name)| {
        let bit = field.bits.map_or(field.offset * 8, |(bit, _)| bit);
        let inside = match name {
            "" => Vec::new(),
            _ => children(fields, &format!("{}.", field.name), field.offset),
        };
        Node {
            name: name.to_owned(),
            bit: bit - base * 8,
            size: field.size,
            width: field.bits.map(|(_, bits)| bits),
            c_type: field.c_type.clone(),
            children: inside,
        }
    });
    direct.collect()
}
