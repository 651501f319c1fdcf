//! Names of TCP stacks by their id.
//!
//! An id is given out at registration, so it is valid for one boot of one
//! host, and the stream does not carry the names.

use crate::bblog::{Message, Record};

/// Stack names that the user gave.
#[derive(Clone, Debug, Default)]
pub struct StackNames {
    names: Vec<Option<String>>,
}

impl StackNames {
    /// Of `ID=NAME` pairs; later ones win.
    pub fn new(pairs: &[(u8, String)]) -> StackNames {
        let mut names = StackNames::default();
        for (id, name) in pairs {
            let at = usize::from(*id);
            if names.names.len() <= at {
                names.names.resize(at + 1, None);
            }
            names.names[at] = Some(name.clone());
        }
        names
    }

    pub fn by_id(&self) -> Vec<Option<String>> {
        self.names.clone()
    }

    /// The name that the user gave for `id`.
    pub fn given(&self, id: u8) -> Option<&str> {
        self.names.get(usize::from(id))?.as_deref()
    }

    /// The name of the stack of `record`: what the user said, else what the
    /// source says.
    pub fn of<'a>(&'a self, message: &Message<'a>, record: &Record<'_>) -> Option<&'a str> {
        self.given(record.stack_id())
            .or(message.stack_name.map(|name| name.as_ref()))
    }
}
